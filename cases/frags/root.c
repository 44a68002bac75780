// Packets in several buffers: the image takes them only when every program in it said that it does.
// A frame that is larger than one buffer shows which it was.
#include "weld.h"

extern int prog(struct xdp_md *ctx);

SEC("xdp.frags") int root(struct xdp_md *ctx)
{
	return prog(ctx) + 100;
}

LICENSE("GPL");

//@ packet: 64
//@ packet: 9000

//@ run: all-take-them
//@ objects: root.o
//@ bind: prog=frags.o:with
//@ codes: 101 101

//@ run: target-does-not
//@ objects: root.o
//@ bind: prog=linear.o:without
//@ codes: 102 -

//@ run: root-does-not
//@ objects: linear-root.o
//@ bind: prog=frags.o:with
//@ codes: 201 -

// A plain function has no say.
//@ run: plain-function
//@ objects: root.o
//@ bind: prog=linear.o:plain
//@ codes: 103 103
