#include "weld.h"

int prog(struct xdp_md *ctx)
{
	return unknown(5);
}

LICENSE("GPL");
