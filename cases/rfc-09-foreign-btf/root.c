// Fault 9 of the RFC: func_info and line_info of the target were copied with the type ids and string
// offsets of the target's BTF, which mean something else in the caller's. Here the target's BTF begins
// with a lot that the root's does not have; names and lines still are its own.
#include "weld.h"

extern int prog(struct xdp_md *ctx);

SEC("xdp") int root(struct xdp_md *ctx)
{
	return prog(ctx);
}

LICENSE("GPL");

//@ run: names-and-lines
//@ objects: root.o
//@ bind: prog=target.o
//@ packet: 64
//@ codes: 6
//@ functions: root target subprogram
//@ lines: root.c target.c
