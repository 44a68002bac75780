#include "weld.h"

extern int next(struct xdp_md *ctx);

SEC("xdp") int link(struct xdp_md *ctx)
{
	return next(ctx) + 100;
}

LICENSE("GPL");
