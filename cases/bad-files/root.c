// The sound object that the broken ones of `case` are made from.
#include "weld.h"

extern int prog(struct xdp_md *ctx);

struct {
	NUM(type, MAP_ARRAY);
	TYPE(key, u32);
	TYPE(value, u64);
	NUM(max_entries, 1);
} counter SEC(".maps");

SEC("xdp") int root(struct xdp_md *ctx)
{
	u32 key = 0;
	u64 *n = map_lookup(&counter, &key);

	return prog(ctx) + (n ? ++*n : 0);
}

LICENSE("GPL");
