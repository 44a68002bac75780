#include "weld.h"

static NOINLINE int inner(int x)
{
	OPAQUE(x);
	return x + 10;
}

NOINLINE int outer(int x)
{
	OPAQUE(x);
	return inner(x) + 20;
}

SEC("xdp") int target(struct xdp_md *ctx)
{
	return outer(3);
}

LICENSE("GPL");
