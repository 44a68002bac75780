// A loaded program with functions that others may replace or watch.
#include "weld.h"

NOINLINE int slot(struct xdp_md *ctx)
{
	int verdict = XDP_PASS;

	OPAQUE(verdict);
	return verdict;
}

SEC("xdp") int target(struct xdp_md *ctx)
{
	return slot(ctx);
}

LICENSE("GPL");
