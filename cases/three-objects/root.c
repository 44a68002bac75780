// A target that has externs of its own: root calls middle, middle calls leaf.
#include "weld.h"

extern int next(struct xdp_md *ctx);

SEC("xdp") int root(struct xdp_md *ctx)
{
	return next(ctx) + 100;
}

LICENSE("GPL");

//@ run: explicit
//@ objects: root.o
//@ bind: next=middle.o:middle middle.o:deeper=leaf.o:leaf
//@ packet: 64
//@ codes: 111
//@ functions: root middle leaf
//@ lines: root.c middle.c leaf.c

// The extern that middle has resolves by name when nothing is said about it.
//@ run: by-name
//@ objects: root.o middle.o by-name.o
//@ bind: next=middle.o:middle
//@ packet: 64
//@ codes: 112

//@ run: middle-unbound
//@ objects: root.o
//@ bind: next=middle.o:middle
//@ packet: 64
//@ error: deeper
//@ error: middle\.c:\d+
