#include "weld.h"

int maybe(struct xdp_md *ctx)
{
	return unknown(3);
}

LICENSE("GPL");
