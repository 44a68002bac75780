#include "weld.h"

SEC("xdp") int one(struct xdp_md *ctx)
{
	return 1;
}

NOINLINE int no_context(int x)
{
	return x + 1;
}

LICENSE("GPL");
