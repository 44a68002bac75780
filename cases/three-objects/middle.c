#include "weld.h"

extern int deeper(struct xdp_md *ctx);

SEC("xdp") int middle(struct xdp_md *ctx)
{
	return deeper(ctx) + 10;
}

LICENSE("GPL");
