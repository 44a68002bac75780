// A member with a map that asks to be pinned by its name, and so shared with whoever loads it as well.
#include "weld.h"

struct {
	NUM(type, MAP_ARRAY);
	TYPE(key, u32);
	TYPE(value, u64);
	NUM(max_entries, 1);
	NUM(pinning, 1);
} bpfweld_shared SEC(".maps");

SEC("xdp") int pinned(struct xdp_md *ctx)
{
	u32 zero = 0;
	u64 *n = map_lookup(&bpfweld_shared, &zero);

	if (n)
		__sync_fetch_and_add(n, 1);
	return XDP_PASS;
}

LICENSE("GPL");

//@ objects: pinned.o
//@ packet: 64
//@ run: pinned-alone
//@ verdicts: XDP_PASS
