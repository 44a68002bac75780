#include "weld.h"

struct tagged {
	u64 other;
} __attribute__((btf_decl_tag("another")));

struct {
	NUM(type, MAP_HASH);
	TYPE(key, u32);
	TYPE(value, struct tagged);
	NUM(max_entries, 4);
} values SEC(".maps");

float unused_float = 2.5f;
u32 base = 2;

NOINLINE int global_helper(int x)
{
	OPAQUE(x);
	return x + base;
}

SEC("xdp") int target(struct xdp_md *ctx)
{
	u32 key = 7;
	struct tagged first = { 43 }, *found = map_lookup(&values, &key);

	if (!found) {
		map_update(&values, &key, &first, 0);
		return global_helper(43);
	}
	found->other += 43;
	return global_helper(found->other);
}

LICENSE("GPL");
