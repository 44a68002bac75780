// The root itself tail-calls a program of its own object, which calls an extern.
#include "weld.h"

extern int prog(struct xdp_md *ctx);

SEC("xdp") int landing(struct xdp_md *ctx)
{
	return prog(ctx) + 1000;
}

struct {
	NUM(type, MAP_PROG_ARRAY);
	NUM(max_entries, 4);
	TYPE(key, u32);
	VALUES(int(struct xdp_md *));
} jumps SEC(".maps") = { .values = { [3] = &landing } };

SEC("xdp") int start(struct xdp_md *ctx)
{
	tail_call(ctx, &jumps, 3);
	return 1;
}

LICENSE("GPL");

//@ objects: own.o
//@ needs: feature:mixed-tail-calls
//@ entry: start
//@ packet: 64

//@ run: from-the-root
//@ bind: prog=target.o:landed
//@ codes: 1042

// The program in the slot has an extern that nobody binds: it is linked too.
//@ run: unbound-behind-a-slot
//@ error: prog
