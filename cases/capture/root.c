// The main job of the README: a root with two externs over a real capture. `filter` drops DNS,
// `count` turns every eighth packet that is left away.
#include "weld.h"

extern int filter(struct xdp_md *ctx);
extern int count(struct xdp_md *ctx);

SEC("xdp") int root(struct xdp_md *ctx)
{
	int verdict = filter(ctx);

	if (verdict != XDP_PASS)
		return verdict;
	return count(ctx);
}

LICENSE("GPL");
