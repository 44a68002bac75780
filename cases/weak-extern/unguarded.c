// The same without the guard: the call can be reached, and what stands there must not run.
#include "weld.h"

extern int maybe(struct xdp_md *ctx) WEAK;

SEC("xdp") int unguarded(struct xdp_md *ctx)
{
	return maybe(ctx);
}

LICENSE("GPL");

//@ objects: unguarded.o
//@ packet: 64

//@ run: unguarded
//@ documents: E0417
//@ needs: kernel
//@ error: maybe

//@ run: unguarded-resolved
//@ objects: unguarded.o there.o
//@ codes: 3
