// A root in C, for programs in Rust.
#include "weld.h"

extern unsigned int prog(struct xdp_md *ctx);

SEC("xdp") int root(struct xdp_md *ctx)
{
	return prog(ctx) + 100;
}

LICENSE("GPL");
