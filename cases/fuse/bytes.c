// Has a helper write to its frame, at the place where dynamic.c has its dynptr.
#include "weld.h"

SEC("xdp") int bytes(struct xdp_md *ctx)
{
	u8 start[24];

	if (xdp_load_bytes(ctx, 0, start, sizeof(start)))
		return XDP_ABORTED;
	return start[0] ? XDP_DROP : XDP_PASS;
}

LICENSE("GPL");
