// Leaves a dynptr in its frame.
#include "weld.h"

struct {
	NUM(type, MAP_ARRAY);
	TYPE(key, u32);
	TYPE(value, u64);
	NUM(max_entries, 1);
} bytes SEC(".maps");

struct dynptr {
	u64 parts[2];
} __attribute__((aligned(8)));

HELPER(197, long, dynptr_from_mem, void *data, u32 size, u64 flags, struct dynptr *to);

SEC("xdp") int dynamic(struct xdp_md *ctx)
{
	u32 key = 0;
	void *value = map_lookup(&bytes, &key);
	struct dynptr dynptr;

	if (value)
		dynptr_from_mem(value, 8, 0, &dynptr);
	return XDP_PASS;
}

LICENSE("GPL");
