// Objects whose line_info records have different sizes: 16 bytes today, 24 in the target. What a
// later format puts behind the known fields is passed over.
#include "weld.h"

extern int prog(struct xdp_md *ctx);

SEC("xdp") int root(struct xdp_md *ctx)
{
	return prog(ctx) + 100;
}

LICENSE("GPL");

//@ objects: root.o
//@ packet: 64

//@ run: larger-target
//@ bind: prog=wide.o:wide
//@ codes: 115
//@ functions: root wide helper
//@ lines: root.c wide.c
