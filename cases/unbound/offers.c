#include "weld.h"

int xdp_fitler(struct xdp_md *ctx)
{
	return unknown(1);
}

int xdp_counts(struct xdp_md *ctx)
{
	return unknown(2);
}

int present(struct xdp_md *ctx)
{
	return unknown(3);
}

int zebra_crossing(struct xdp_md *ctx)
{
	return unknown(4);
}

LICENSE("GPL");
