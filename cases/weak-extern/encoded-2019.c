// A weak extern in the encoding of 2019.
//@ extern-2019
#include "weld.h"

extern int maybe(struct xdp_md *ctx) WEAK;

SEC("xdp") int root(struct xdp_md *ctx)
{
	if (maybe)
		return maybe(ctx) + 100;
	return 7;
}

LICENSE("GPL");

//@ packet: 64

//@ run: unresolved-2019
//@ objects: encoded-2019.o
//@ codes: 7

//@ run: resolved-2019
//@ objects: encoded-2019.o there.o
//@ codes: 103
