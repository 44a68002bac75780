#include "weld.h"

static volatile u32 packets = 9;

SEC("xdp") int other(struct xdp_md *ctx)
{
	return packets++;
}

LICENSE("GPL");
