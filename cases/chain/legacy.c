// A member without BTF that has a map: defined as it was before BTF.
//@ cflags: -O2 -g0
#include "weld.h"

struct definition {
	u32 type, key_size, value_size, max_entries, flags;
};

__attribute__((section("maps"), used)) struct definition tally = {
	.type = MAP_ARRAY, .key_size = 4, .value_size = 8, .max_entries = 1,
};

SEC("xdp") int legacy(struct xdp_md *ctx)
{
	u32 zero = 0;
	u64 *n = map_lookup(&tally, &zero);

	if (n)
		__sync_fetch_and_add(n, 1);
	return XDP_PASS;
}

LICENSE("GPL");

//@ objects: legacy.o
//@ packet: 64
//@ run: legacy-alone
//@ verdicts: XDP_PASS
