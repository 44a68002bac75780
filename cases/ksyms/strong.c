#include "weld.h"

extern const void surely_no_such_symbol KSYM;

SEC("xdp") int there(struct xdp_md *ctx)
{
	const void *at = &surely_no_such_symbol;

	OPAQUE(at);
	return at != NULL;
}

LICENSE("GPL");
