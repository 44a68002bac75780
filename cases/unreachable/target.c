#include "weld.h"

extern int nobody_binds_this(int x);

struct {
	NUM(type, MAP_ARRAY);
	TYPE(key, u32);
	TYPE(value, u64);
	NUM(max_entries, 1);
} unused SEC(".maps");

NOINLINE int not_called(int x)
{
	u32 key = 0;
	u64 *n = map_lookup(&unused, &key);

	return nobody_binds_this(x) + (n ? *n : 0);
}

static NOINLINE int called(int x)
{
	OPAQUE(x);
	return x + 1;
}

SEC("xdp") int wanted(struct xdp_md *ctx)
{
	return called(2);
}

// The same section as the target, and not reached from it.
SEC("xdp") int unwanted(struct xdp_md *ctx)
{
	return not_called(1);
}

LICENSE("GPL");
