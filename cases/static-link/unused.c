#include "state.h"

struct {
	NUM(type, MAP_ARRAY);
	TYPE(key, u32);
	TYPE(value, u64);
	NUM(max_entries, 1);
} unused_map SEC(".maps");

int unused(int x)
{
	u32 key = x;

	return !map_lookup(&unused_map, &key);
}

LICENSE("Dual BSD/GPL");
