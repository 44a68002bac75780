#include "weld.h"

SEC("xdp/cpumap") int for_cpumap(struct xdp_md *ctx)
{
	return 1;
}

SEC("xdp") int linear(struct xdp_md *ctx)
{
	return 2;
}

LICENSE("GPL");
