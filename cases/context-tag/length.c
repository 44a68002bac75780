#include "weld.h"

int length(void *ctx ARG_CTX)
{
	struct xdp_md *xdp = ctx;

	return xdp->data_end - xdp->data;
}

LICENSE("GPL");
