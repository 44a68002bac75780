#include "weld.h"

struct {
	NUM(type, MAP_ARRAY);
	TYPE(key, u32);
	TYPE(value, u64);
	NUM(max_entries, 1);
} seen SEC(".maps");

SEC("xdp") int counter(struct xdp_md *ctx)
{
	u32 zero = 0;
	u64 *n = map_lookup(&seen, &zero);

	if (n)
		*n += 1;
	return XDP_PASS;
}

LICENSE("GPL");
