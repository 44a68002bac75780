#include "weld.h"

NOINLINE int target(struct xdp_md *ctx, int verdict)
{
	return unknown(verdict);
}

LICENSE("GPL");
