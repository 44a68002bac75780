#include "weld.h"

struct {
	NUM(type, MAP_ARRAY);
	TYPE(key, u32);
	TYPE(value, u32);
	NUM(max_entries, 1);
} counter SEC(".maps");

SEC("xdp") int target(struct xdp_md *ctx)
{
	u32 key = 0, *n = map_lookup(&counter, &key);

	return n ? ++*n : 0;
}

LICENSE("GPL");
