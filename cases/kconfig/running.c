// Without --kconfig the values are those of the running kernel.
#include "weld.h"

extern bool CONFIG_BPF_SYSCALL KCONFIG;
extern bool CONFIG_NO_KERNEL_HAS_THIS KCONFIG WEAK;

SEC("xdp") int root(struct xdp_md *ctx)
{
	return CONFIG_BPF_SYSCALL * 10 + CONFIG_NO_KERNEL_HAS_THIS;
}

LICENSE("GPL");

//@ run: running-kernel
//@ needs: kconfig
//@ objects: running.o
//@ packet: 64
//@ codes: 10

// There is no kconfig map where all externs are functions.
//@ run: no-map-for-functions
//@ command: load
//@ objects: ../rfc-selftest/root.o
//@ bind: prog1=../rfc-selftest/dummy.o prog2=../rfc-selftest/drop.o
//@ json: pins[kind=program].name == "dispatcher"
//@ json: pins[*].name lacks ".kconfig"

//@ run: map-for-values
//@ command: load
//@ objects: running.o
//@ kconfig: CONFIG_BPF_SYSCALL=y
//@ json: pins[kind=map].name == ".kconfig"
