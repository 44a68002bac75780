// A member that tail-calls a program of its own object: the chain goes on with that one's verdict.
#include "weld.h"

struct {
	NUM(type, MAP_ARRAY);
	TYPE(key, u32);
	TYPE(value, u64);
	NUM(max_entries, 1);
} landed SEC(".maps");

SEC("xdp") int landing(struct xdp_md *ctx)
{
	u32 zero = 0;
	u64 *n = map_lookup(&landed, &zero);

	if (n)
		++*n;
	return unknown(XDP_PASS);
}

struct {
	NUM(type, MAP_PROG_ARRAY);
	NUM(max_entries, 1);
	TYPE(key, u32);
	VALUES(int(struct xdp_md *));
} jumps SEC(".maps") = { .values = { [0] = &landing } };

SEC("xdp") int jump(struct xdp_md *ctx)
{
	tail_call(ctx, &jumps, 0);
	return XDP_DROP;
}

LICENSE("GPL");

//@ objects: tail.o
//@ needs: feature:mixed-tail-calls
//@ packet: 64
//@ run: tail-alone
//@ entry: jump
//@ verdicts: XDP_PASS
