#include "weld.h"

SEC("xdp/devmap") int for_devmap(struct xdp_md *ctx)
{
	return XDP_PASS;
}

LICENSE("GPL");
