//@ line-record-size: 24
#include "weld.h"

static NOINLINE int helper(int x)
{
	OPAQUE(x);
	return x * 3;
}

SEC("xdp") int wide(struct xdp_md *ctx)
{
	return helper(5);
}

LICENSE("GPL");
