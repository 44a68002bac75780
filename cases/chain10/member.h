// One member of the chain: a map look-up and a counter. It drops the first packet that it sees and
// passes all others; so the verdicts show whether every member has a counter of its own.
#include "weld.h"

struct {
	NUM(type, MAP_KIND);
	TYPE(key, u32);
	TYPE(value, u64);
	NUM(max_entries, 4);
} counter SEC(".maps");

SEC("xdp") int count(struct xdp_md *ctx)
{
	u64 one = 1, *seen;
	u32 key = 0;

	seen = map_lookup(&counter, &key);
	if (!seen) {
		map_update(&counter, &key, &one, 0);
		return XDP_DROP;
	}
	(*seen)++;
	return *seen == 1 ? XDP_DROP : XDP_PASS;
}

LICENSE("GPL");
