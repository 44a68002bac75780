#include "weld.h"

SEC("xdp") int end(struct xdp_md *ctx)
{
	return 1;
}

LICENSE("GPL");
