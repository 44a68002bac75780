//@ cflags: -O2 -g0
#include "weld.h"

static NOINLINE int helper(int x)
{
	OPAQUE(x);
	return x + 10;
}

SEC("xdp") int bare(struct xdp_md *ctx)
{
	return helper(3);
}

LICENSE("GPL");
