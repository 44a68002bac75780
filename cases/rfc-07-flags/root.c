// Fault 7 of the RFC: attach type and flags of the target were not compared with the caller's.
#include "weld.h"

extern int prog(struct xdp_md *ctx);

SEC("xdp") int landed(struct xdp_md *ctx)
{
	return 20;
}

struct {
	NUM(type, MAP_PROG_ARRAY);
	NUM(max_entries, 1);
	TYPE(key, u32);
	VALUES(int(struct xdp_md *));
} slots SEC(".maps") = { .values = { [0] = &landed } };

SEC("xdp.frags") int root(struct xdp_md *ctx)
{
	int verdict = prog(ctx);

	tail_call(ctx, &slots, 0);
	return verdict;
}

LICENSE("GPL");

//@ objects: root.o
//@ needs: feature:xdp-frags feature:mixed-tail-calls
//@ entry: root
//@ packet: 64

//@ run: attach-type
//@ bind: prog=targets.o:for_cpumap
//@ error: for_cpumap.*cpumap

// The target sees a packet in one piece or none, so the image loses the flag. The kernel puts a program
// without it into a prog array only if the jumping one has none either.
//@ run: frags
//@ bind: prog=targets.o:linear
//@ codes: 20
