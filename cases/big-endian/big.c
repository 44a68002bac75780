//@ target: bpfeb
#include "weld.h"

extern int other(struct xdp_md *ctx);

struct {
	NUM(type, MAP_ARRAY);
	TYPE(key, u32);
	TYPE(value, u64);
	NUM(max_entries, 7);
} counter SEC(".maps");

static NOINLINE int local(int x)
{
	OPAQUE(x);
	return x + 1;
}

SEC("xdp") int big(struct xdp_md *ctx)
{
	u32 key = 0;
	u64 *n = map_lookup(&counter, &key);

	return other(ctx) + (n ? *n : 0) + local(4);
}

LICENSE("GPL");
