#include "weld.h"

SEC("xdp") int answer(struct xdp_md *ctx)
{
	return 7;
}

LICENSE("GPL");
