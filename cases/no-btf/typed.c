#include "weld.h"

SEC("xdp") int typed(struct xdp_md *ctx)
{
	return 4;
}

LICENSE("GPL");
