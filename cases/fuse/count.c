// Counts and passes.
#include "weld.h"

struct {
	NUM(type, MAP_ARRAY);
	TYPE(key, u32);
	TYPE(value, u64);
	NUM(max_entries, 1);
} counter SEC(".maps");

SEC("xdp") int count(struct xdp_md *ctx)
{
	u32 key = 0;
	u64 *number = map_lookup(&counter, &key);

	if (number)
		(*number)++;
	return XDP_PASS;
}

LICENSE("GPL");
