// Names that no other program has, so that crates/cli/tests/cases/leftovers.rs can see whether
// anything of them is left in the kernel when the command has ended.
#include "weld.h"

extern int prog(struct xdp_md *ctx);

SEC("xdp") int leftover_root(struct xdp_md *ctx)
{
	return prog(ctx);
}

// The verifier refuses it.
SEC("xdp") int leftover_bad(struct xdp_md *ctx)
{
	return *(u8 *)(long)ctx->data;
}

LICENSE("GPL");
