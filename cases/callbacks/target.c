#include "weld.h"

struct {
	NUM(type, MAP_ARRAY);
	TYPE(key, u32);
	TYPE(value, u64);
	NUM(max_entries, 4);
} values SEC(".maps");

struct sum {
	u64 total;
};

// The same name as a callback of the root.
static long add(u32 index, void *arg)
{
	struct sum *sum = arg;

	sum->total += 10;
	return 0;
}

static long each(void *map, u32 *key, u64 *value, void *arg)
{
	struct sum *sum = arg;

	sum->total += *key * 3 + *value;
	return 0;
}

SEC("xdp") int looper(struct xdp_md *ctx)
{
	struct sum sum = { 0 };

	loop(10, add, &sum, 0);
	for_each_map_elem(&values, each, &sum, 0);
	return sum.total;
}

LICENSE("GPL");
