#include "weld.h"

SEC("xdp") int swap(struct xdp_md *ctx)
{
	struct ethhdr *eth = (void *)(long)ctx->data;
	u8 was[6];

	if ((void *)(eth + 1) > (void *)(long)ctx->data_end)
		return XDP_DROP;
	__builtin_memcpy(was, eth->dest, 6);
	__builtin_memcpy(eth->dest, eth->source, 6);
	__builtin_memcpy(eth->source, was, 6);
	return XDP_PASS;
}

// Room for a tag behind the addresses, and metadata.
SEC("xdp") int encapsulate(struct xdp_md *ctx)
{
	u8 *data;

	if (xdp_adjust_head(ctx, -4) || xdp_adjust_meta(ctx, -8))
		return XDP_ABORTED;
	data = (void *)(long)ctx->data;
	if ((void *)(data + 20) > (void *)(long)ctx->data_end)
		return XDP_DROP;
	for (int i = 0; i < 12; i++)
		data[i] = data[i + 4];
	data[12] = 0x81;
	data[13] = 0;
	data[14] = 0;
	data[15] = 5;
	return XDP_PASS;
}

SEC("xdp") int cut(struct xdp_md *ctx)
{
	return xdp_adjust_tail(ctx, -8) || ctx->data_end - ctx->data < 30 ? XDP_DROP : XDP_PASS;
}

LICENSE("GPL");
