#include "weld.h"

SEC("xdp") int target(struct xdp_md *ctx)
{
	if (ctx->data_end - ctx->data < 8)
		trace_printk("never", 6);
	return 1;
}

LICENSE("All rights reserved");
