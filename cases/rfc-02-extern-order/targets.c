#include "weld.h"

SEC("xdp") int one(struct xdp_md *ctx)
{
	return 1;
}

SEC("xdp") int two(struct xdp_md *ctx)
{
	return 2;
}

SEC("xdp") int three(struct xdp_md *ctx)
{
	return 3;
}

LICENSE("GPL");
