// The root for programs that were not made for this project: every XDP program of the objects that
// Debian's xdp-tools and libxdp1 install is bound to it, by crates/cli/tests/cases/installed.rs.
#include "weld.h"

extern int prog(struct xdp_md *ctx);

SEC("xdp") int root(struct xdp_md *ctx)
{
	return prog(ctx);
}

LICENSE("GPL");
