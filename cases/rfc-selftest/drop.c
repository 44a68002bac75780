#include "weld.h"

SEC("xdp") int xdp_drop_prog(struct xdp_md *ctx)
{
	return XDP_DROP;
}

LICENSE("GPL");
