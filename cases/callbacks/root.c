// Callbacks: the address of a function instead of a call of it. In the target, in the root, and of
// a function that another object has.
#include "weld.h"

extern int prog(struct xdp_md *ctx);
extern long step(u32 index, void *arg);

struct sum {
	u64 total;
};

static long add(u32 index, void *arg)
{
	struct sum *sum = arg;

	sum->total += index;
	return 0;
}

SEC("xdp") int root(struct xdp_md *ctx)
{
	struct sum sum = { 0 };

	loop(5, add, &sum, 0);
	return sum.total * 1000 + prog(ctx);
}

SEC("xdp") int foreign_callback(struct xdp_md *ctx)
{
	struct sum sum = { 0 };

	loop(5, step, &sum, 0);
	return sum.total;
}

LICENSE("GPL");

//@ objects: root.o
//@ needs: feature:bpf-loop
//@ packet: 64

//@ run: in-both
//@ entry: root
//@ bind: prog=target.o:looper
//@ codes: 10118
//@ functions: root add looper add each
//@ lines: root.c target.c

//@ run: in-both-static
//@ entry: root
//@ bind: prog=target.o:looper
//@ args: --static-functions
//@ codes: 10118

// The extern's address is taken, it is never called by name. Callbacks are verified where the
// helper calls them, so as static functions.
//@ run: of-another-object
//@ entry: foreign_callback
//@ bind: step=step.o:step
//@ codes: 20
//@ functions: foreign_callback step
