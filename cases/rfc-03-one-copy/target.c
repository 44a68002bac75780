#include "weld.h"

static NOINLINE int helper(int x)
{
	OPAQUE(x);
	return x + 1;
}

SEC("xdp") int target(struct xdp_md *ctx)
{
	return helper(3);
}

LICENSE("GPL");
