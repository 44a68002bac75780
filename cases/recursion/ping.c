#include "weld.h"

extern int other(struct xdp_md *ctx);

SEC("xdp") int ping(struct xdp_md *ctx)
{
	return other(ctx) + 1;
}

LICENSE("GPL");
