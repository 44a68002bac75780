#include "weld.h"

struct {
	NUM(type, MAP_ARRAY);
	TYPE(key, u32);
	TYPE(value, u32);
	NUM(max_entries, 1);
} leftover_map SEC(".maps");

SEC("xdp") int leftover_target(struct xdp_md *ctx)
{
	u32 key = 0, *n = map_lookup(&leftover_map, &key);

	return n ? ++*n : 0;
}

LICENSE("GPL");
