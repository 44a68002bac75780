#include "weld.h"

SEC("xdp") int present(struct xdp_md *ctx)
{
	return 4;
}

LICENSE("GPL");
