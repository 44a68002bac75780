// Without the privilege for bpf(2): the message says which capability is missing and what works
// without it.
#include "weld.h"

SEC("xdp") int root(struct xdp_md *ctx)
{
	return XDP_PASS;
}

LICENSE("GPL");

//@ objects: root.o

//@ run: run
//@ needs: kernel
//@ unprivileged
//@ args: --engine kernel
//@ packet: 64
//@ error: CAP_BPF
//@ error: inspect

// Left to itself, the command runs it in the engine, and says so.
//@ run: run-anywhere
//@ needs: kernel
//@ unprivileged
//@ packet: 64
//@ verdicts: XDP_PASS
//@ warning: engine.*CAP_BPF
//@ json: engine == "engine"
//@ json: engine_reason ~ CAP_BPF

//@ run: check
//@ command: check
//@ unprivileged
//@ error: CAP_BPF

//@ run: inspect
//@ command: inspect
//@ unprivileged
//@ json: programs[0].name == "root"

// What is wrong with the objects is told all the same.
//@ run: link-errors-come-first
//@ unprivileged
//@ objects: root.o
//@ bind: nothing=root.o
//@ packet: 64
//@ error: nothing
