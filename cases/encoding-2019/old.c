// A target in the old encoding: it has an extern of its own, which stays unresolved and weak.
//@ extern-2019
#include "weld.h"

extern int more(struct xdp_md *ctx) WEAK;

SEC("xdp") int two(struct xdp_md *ctx)
{
	if (more)
		return more(ctx);
	return 2;
}

LICENSE("GPL");
