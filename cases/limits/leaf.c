#include "weld.h"

SEC("xdp") int leaf(struct xdp_md *ctx)
{
	return 1;
}

LICENSE("GPL");
