// A member without BTF.
//@ cflags: -O2 -g0
#include "weld.h"

static NOINLINE int helper(int x)
{
	OPAQUE(x);
	return x + 1;
}

SEC("xdp") int bare(struct xdp_md *ctx)
{
	return helper(1);
}

LICENSE("GPL");

//@ objects: bare.o
//@ packet: 64
//@ run: bare-alone
//@ verdicts: XDP_PASS
