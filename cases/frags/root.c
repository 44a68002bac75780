// Packets in several buffers: the image takes them only when every program in it said that it does.
// A test run does not tell (it takes large frames either way), but a prog array does: all of its
// programs must agree with the one that jumps, and the programs in these arrays say what the image
// ought to be.
#include "weld.h"

extern int prog(struct xdp_md *ctx);

SEC("xdp.frags") int landed_frags(struct xdp_md *ctx)
{
	return 10;
}

SEC("xdp") int landed_linear(struct xdp_md *ctx)
{
	return 20;
}

#define SLOTS(name, program)                     \
	struct {                                     \
		NUM(type, MAP_PROG_ARRAY);               \
		NUM(max_entries, 1);                     \
		TYPE(key, u32);                          \
		VALUES(int(struct xdp_md *));            \
	} name SEC(".maps") = { .values = { [0] = &program } }

SLOTS(frags_slots, landed_frags);
SLOTS(linear_slots, landed_linear);

SEC("xdp.frags") int expects_frags(struct xdp_md *ctx)
{
	int verdict = prog(ctx);

	tail_call(ctx, &frags_slots, 0);
	return verdict + 100;
}

SEC("xdp.frags") int expects_linear(struct xdp_md *ctx)
{
	int verdict = prog(ctx);

	tail_call(ctx, &linear_slots, 0);
	return verdict + 200;
}

LICENSE("GPL");

//@ objects: root.o
//@ needs: feature:xdp-frags feature:mixed-tail-calls
//@ packet: 64

//@ run: all-take-them
//@ entry: expects_frags
//@ bind: prog=frags.o:with
//@ codes: 10

//@ run: target-does-not
//@ entry: expects_linear
//@ bind: prog=linear.o:without
//@ codes: 20

// The other way round, image and slot do not agree.
//@ run: all-take-them-slot-does-not
//@ needs: kernel
//@ entry: expects_linear
//@ bind: prog=frags.o:with
//@ error: linear_slots|landed_linear

//@ run: target-does-not-slot-does
//@ documents: E0303
//@ needs: kernel
//@ entry: expects_frags
//@ bind: prog=linear.o:without
//@ error: frags_slots|landed_frags

// A plain function has no say.
//@ run: plain-function
//@ entry: expects_frags
//@ bind: prog=linear.o:plain
//@ codes: 10

//@ run: large-frame
//@ entry: expects_frags
//@ bind: prog=frags.o:with
//@ packet: 9000
//@ codes: 10 10
