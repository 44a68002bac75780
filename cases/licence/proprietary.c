#include "weld.h"

SEC("xdp") int plain(struct xdp_md *ctx)
{
	return 5;
}

SEC("xdp") int traces(struct xdp_md *ctx)
{
	// Verified, but never run: frames are longer than that.
	if (ctx->data_end - ctx->data < 8)
		trace_printk("never", 6);
	return 5;
}

LICENSE("Proprietary");
