// Fault 5 of the RFC: a target with subprograms of its own got too few func_info records, which the
// kernel refuses. Here root and target both have subprograms; in one run some lack BTF.
#include "weld.h"

extern int prog(struct xdp_md *ctx);

static NOINLINE int mine(int x)
{
	OPAQUE(x);
	return x + 100;
}

SEC("xdp") int root(struct xdp_md *ctx)
{
	return mine(prog(ctx));
}

LICENSE("GPL");

//@ objects: root.o
//@ packet: 64

//@ run: subprograms
//@ bind: prog=target.o
//@ codes: 133
//@ functions: root mine target outer inner
//@ lines: root.c target.c

//@ run: subprograms-without-btf
//@ bind: prog=bare.o
//@ codes: 133
//@ functions: root mine target outer inner
//@ lines: root.c
