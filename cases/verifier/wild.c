#include "weld.h"

SEC("xdp") int wild(struct xdp_md *ctx)
{
	u8 *packet = (void *)(long)ctx->data;

	return *packet;
}

LICENSE("GPL");
