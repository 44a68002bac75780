#include "weld.h"

// Not an entry program: an ordinary global function in .text.
int deeper(struct xdp_md *ctx)
{
	return unknown(2);
}

LICENSE("GPL");
