#include "weld.h"

int verdict(struct xdp_md *ctx)
{
	return XDP_DROP;
}

LICENSE("GPL");
