// A table of functions for the kernel, of which one is in another object, and the tables of two objects.
#include "weld.h"

struct sock;
struct tcp_congestion_ops {
	u32 (*ssthresh)(struct sock *sk);
	u32 (*undo_cwnd)(struct sock *sk);
	char name[16];
};

extern u32 ssthresh(unsigned long long *ctx);

SEC("struct_ops") u32 undo(unsigned long long *ctx)
{
	return 3;
}

SEC(".struct_ops.link") struct tcp_congestion_ops first = {
	.ssthresh = (void *)ssthresh,
	.undo_cwnd = (void *)undo,
	.name = "weld_first",
};

LICENSE("GPL");

//@ command: inspect
//@ objects: $TMP/all.o

//@ run: a-function-of-another-object
//@ linked: all.o = table.o function.o
//@ json: programs[*].name == ["undo", "ssthresh", "undo_second"]

//@ run: alone
//@ objects: table.o
//@ json: notes[0] ~ `ssthresh` is of another object

//@ run: in-the-other-order
//@ linked: all.o = function.o table.o --strip-unreachable
//@ json: programs[*].name == ["ssthresh", "undo_second", "undo"]
