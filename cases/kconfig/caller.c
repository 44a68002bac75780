#include "weld.h"

extern int prog(struct xdp_md *ctx);
extern u16 CONFIG_U16 KCONFIG;

SEC("xdp") int root(struct xdp_md *ctx)
{
	return prog(ctx) * 1000 + CONFIG_U16;
}

LICENSE("GPL");

//@ objects: caller.o
//@ bind: prog=target.o
//@ packet: 64

//@ run: in-both
//@ kconfig: CONFIG_U16=12
//@ kconfig: CONFIG_LETTER=y
//@ codes: 121012

//@ run: missing-in-target
//@ kconfig: CONFIG_U16=12
//@ error: CONFIG_LETTER
//@ error: target\.o
