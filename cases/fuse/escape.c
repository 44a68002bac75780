// A root that keeps the address of a number on its stack, on its stack.
#include "weld.h"

extern int first(struct xdp_md *ctx);

SEC("xdp") int chain(struct xdp_md *ctx)
{
	u64 number = XDP_PASS;
	u64 *volatile at = &number;

	if (first(ctx) != XDP_PASS)
		return XDP_ABORTED;
	return *at;
}

LICENSE("GPL");
