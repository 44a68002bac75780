#include "weld.h"

SEC("xdp") int xdp_dummy_prog(struct xdp_md *ctx)
{
	return XDP_PASS;
}

LICENSE("GPL");
