#include "weld.h"

SEC("xdp") static int drops(struct xdp_md *ctx)
{
	return XDP_DROP;
}

LICENSE("GPL");
