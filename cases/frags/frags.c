#include "weld.h"

SEC("xdp.frags") int with(struct xdp_md *ctx)
{
	return 1;
}

LICENSE("GPL");
