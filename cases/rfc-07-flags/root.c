// Fault 7 of the RFC: attach type and flags of the target were not compared with the caller's.
#include "weld.h"

extern int prog(struct xdp_md *ctx);

SEC("xdp.frags") int root(struct xdp_md *ctx)
{
	return prog(ctx);
}

LICENSE("GPL");

//@ objects: root.o

//@ run: attach-type
//@ bind: prog=targets.o:for_cpumap
//@ packet: 64
//@ error: for_cpumap.*cpumap

// The target sees a packet in one piece or none: the image loses the flag, so a large frame is refused.
//@ run: frags
//@ bind: prog=targets.o:linear
//@ packet: 64
//@ packet: 9000
//@ codes: 2 -
