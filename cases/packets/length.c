#include "weld.h"

SEC("xdp") int length(struct xdp_md *ctx)
{
	return ctx->data_end - ctx->data;
}

LICENSE("GPL");
