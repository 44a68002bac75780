// A member of a chain that can be told apart and told what to do: its variables are set before it is
// loaded (`bpfweld xdp load --set`). Used by the tests of chains, crates/cli/tests/xdp.
#include "weld.h"

const volatile u32 id = 7;
const volatile u32 verdict = XDP_PASS;
u64 runs;

struct {
	NUM(type, MAP_ARRAY);
	TYPE(key, u32);
	TYPE(value, u64);
	NUM(max_entries, 1);
} seen SEC(".maps");

// [0] is the number of entries; then the ids of those that ran, one after the other. Shared with
// `--map order=…`, it says in which order.
struct {
	NUM(type, MAP_ARRAY);
	TYPE(key, u32);
	TYPE(value, u32);
	NUM(max_entries, 64);
} order SEC(".maps");

SEC("xdp") int step(struct xdp_md *ctx)
{
	u32 zero = 0;
	u64 *n = map_lookup(&seen, &zero);
	u32 *used = map_lookup(&order, &zero);

	runs++;
	if (!n || !used)
		return XDP_ABORTED;
	__sync_fetch_and_add(n, 1);
	if (*used < 63) {
		u32 key = ++*used;
		u32 *slot = map_lookup(&order, &key);

		if (slot)
			*slot = id;
	}
	return verdict;
}

// Another program of the same object, with the same maps.
SEC("xdp") int other(struct xdp_md *ctx)
{
	return step(ctx) == XDP_PASS ? XDP_PASS : XDP_DROP;
}

LICENSE("GPL");

//@ command: check
//@ objects: step.o
//@ run: stands-alone
//@ json: programs[0].loaded == true
