#include "weld.h"

struct {
	NUM(type, MAP_ARRAY);
	TYPE(key, u32);
	TYPE(value, u32);
	NUM(max_entries, 1);
} counter SEC(".maps");

static u32 tens;

SEC("xdp") int count(struct xdp_md *ctx)
{
	u32 key = 0, *n = map_lookup(&counter, &key);

	if (!n)
		return 0;
	tens += 10;
	return ++*n + tens;
}

LICENSE("GPL");
