#include "weld.h"

extern int first(struct xdp_md *ctx);
extern int second(struct xdp_md *ctx);

u32 calls, last;

SEC("xdp") int pair(struct xdp_md *ctx)
{
	int a = first(ctx);

	// The second instance sees every other packet.
	if (calls++ % 2 == 0)
		last = second(ctx);
	return a * 10 + last;
}

LICENSE("GPL");
