#include "weld.h"

SEC("xdp") int target(struct xdp_md *ctx)
{
	return 10;
}

LICENSE("GPL");
