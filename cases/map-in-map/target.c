#include "weld.h"

struct inner {
	NUM(type, MAP_HASH);
	TYPE(key, u32);
	TYPE(value, u64);
	NUM(max_entries, 8);
} mine SEC(".maps");

struct {
	NUM(type, MAP_HASH_OF_MAPS);
	NUM(max_entries, 8);
	TYPE(key, u32);
	VALUES(struct inner);
} outer SEC(".maps") = { .values = { [5] = &mine } };

SEC("xdp") int prog(struct xdp_md *ctx)
{
	u32 five = 5;
	u64 ten = 10, *n;
	void *inner = map_lookup(&outer, &five);

	if (!inner)
		return 3;
	n = map_lookup(inner, &five);
	if (n)
		*n += 10;
	else
		map_update(inner, &five, &ten, 0);
	n = map_lookup(&mine, &five);
	return n ? *n : 4;
}

LICENSE("GPL");
