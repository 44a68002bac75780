#include "weld.h"

SEC("xdp") int without(struct xdp_md *ctx)
{
	return 2;
}

int plain(struct xdp_md *ctx)
{
	return unknown(3);
}

LICENSE("GPL");
