//@ cpu: v4
//@ no-compiler: clang-14 knows the instruction set up to v3
#include "weld.h"

s8 small = -100;

SEC("xdp") int v4(struct xdp_md *ctx)
{
	int seven = unknown(7);
	u16 length = (ctx->data_end - ctx->data) << 8;

	return small / seven + swap16(length);
}

LICENSE("GPL");
