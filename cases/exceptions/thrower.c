#include "weld.h"

extern void bpf_throw(u64 cookie) KSYM;

int checks(struct xdp_md *ctx)
{
	if (ctx->data_end - ctx->data > 64)
		bpf_throw(2);
	return 2;
}

LICENSE("GPL");
