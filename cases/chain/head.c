// Members that move the packet's head: `strip` takes 14 bytes off, `restore` puts them back. What runs in
// between sees the shorter packet, and leaves its length in a map.
#include "weld.h"

struct {
	NUM(type, MAP_ARRAY);
	TYPE(key, u32);
	TYPE(value, u64);
	NUM(max_entries, 1);
} length SEC(".maps");

SEC("xdp") int strip(struct xdp_md *ctx)
{
	return xdp_adjust_head(ctx, 14) ? XDP_ABORTED : XDP_PASS;
}

SEC("xdp") int measure(struct xdp_md *ctx)
{
	u32 zero = 0;
	u64 *n = map_lookup(&length, &zero);

	if (n)
		*n = (u64)ctx->data_end - (u64)ctx->data;
	return XDP_PASS;
}

SEC("xdp") int restore(struct xdp_md *ctx)
{
	return xdp_adjust_head(ctx, -14) ? XDP_ABORTED : XDP_PASS;
}

LICENSE("GPL");

//@ objects: head.o
//@ packet: 64
//@ run: head-alone
//@ entry: strip
//@ verdicts: XDP_PASS
