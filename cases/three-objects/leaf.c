#include "weld.h"

SEC("xdp") int leaf(struct xdp_md *ctx)
{
	return unknown(1);
}

LICENSE("GPL");
