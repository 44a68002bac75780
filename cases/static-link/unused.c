#include "state.h"

struct {
	NUM(type, MAP_ARRAY);
	TYPE(key, u32);
	TYPE(value, u64);
	NUM(max_entries, 1);
} unused_map SEC(".maps");

struct only_here {
	u32 seen;
	u64 sum;
} only_unused;
static volatile int only_static = 7;

int unused(int x)
{
	u32 key = x + only_static;

	only_unused.sum += x;

	return !map_lookup(&unused_map, &key);
}

LICENSE("Dual BSD/GPL");
