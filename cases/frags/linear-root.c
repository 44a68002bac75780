#include "weld.h"

extern int prog(struct xdp_md *ctx);

SEC("xdp") int root(struct xdp_md *ctx)
{
	return prog(ctx) + 200;
}

LICENSE("GPL");
