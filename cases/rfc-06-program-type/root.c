// Fault 6 of the RFC: the type of the target program was not compared with the caller's.
#include "weld.h"

extern int prog(void *ctx);

SEC("xdp") int root(struct xdp_md *ctx)
{
	return prog(ctx);
}

LICENSE("GPL");

//@ objects: root.o
//@ packet: 64

// The prototypes agree: both take a void pointer.
//@ run: socket-filter-in-xdp
//@ bind: prog=targets.o:filter
//@ error: filter.*(?i)socket

//@ run: cgroup-in-xdp
//@ bind: prog=targets.o:ingress
//@ error: ingress.*(?i)cgroup

//@ run: same-type
//@ bind: prog=targets.o:fits
//@ args: --static-functions
//@ codes: 3
