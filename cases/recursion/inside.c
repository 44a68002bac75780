#include "weld.h"

static NOINLINE int again(int x)
{
	// Something behind the call, or the compiler would make a loop of it.
	return x ? unknown(again(x - 1)) + 1 : 0;
}

SEC("xdp") int root(struct xdp_md *ctx)
{
	return again(ctx->data_end - ctx->data);
}

LICENSE("GPL");
