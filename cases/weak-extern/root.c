// A weak extern may stay unresolved: its address is 0, so `if (f)` is false and the verifier never
// looks at the call.
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

//@ run: unresolved
//@ objects: root.o
//@ codes: 7
//@ functions: root

//@ run: by-name
//@ objects: root.o there.o
//@ codes: 103
//@ functions: root maybe

//@ run: bound
//@ objects: root.o
//@ bind: maybe=entry.o
//@ codes: 104
//@ functions: root present

//@ run: unresolved-static-functions
//@ objects: root.o
//@ args: --static-functions
//@ codes: 7
