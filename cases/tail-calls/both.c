#include "weld.h"

extern int first(struct xdp_md *ctx);
extern int second(struct xdp_md *ctx);

SEC("xdp") int both(struct xdp_md *ctx)
{
	int a = first(ctx);

	return a * 100 + second(ctx);
}

LICENSE("GPL");
