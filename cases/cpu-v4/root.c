// A target in the fourth version of the instruction set: sign-extending loads, signed division,
// byte swaps of registers, gotol. The linker copies what it does not have to understand.
#include "weld.h"

extern int prog(struct xdp_md *ctx);

SEC("xdp") int root(struct xdp_md *ctx)
{
	return prog(ctx) + 1000;
}

LICENSE("GPL");

//@ run: v4-target
//@ needs: feature:isa-v4
//@ objects: root.o
//@ bind: prog=v4.o
//@ packet: 64
// -100 / 7 = -14; bswap16(0x4000) = 0x0040
//@ codes: 1050
