// Recursion across objects would never end: an error that prints the cycle.
#include "weld.h"

extern int next(struct xdp_md *ctx);

SEC("xdp") int root(struct xdp_md *ctx)
{
	return next(ctx);
}

LICENSE("GPL");

//@ objects: root.o
//@ packet: 64

//@ run: two-objects
//@ bind: next=ping.o:ping ping.o:other=pong.o:pong pong.o:other=ping.o:ping
//@ error: ping.*pong.*ping

//@ run: through-the-root
//@ documents: E0212
//@ bind: next=ping.o:ping ping.o:other=root.o:root
//@ error: root.*ping.*root

//@ run: itself
//@ bind: next=root.o:root
//@ error: root.*root

// The same object in a circle of labels is no cycle where the last one ends it.
//@ run: same-object-no-cycle
//@ object: a=ping.o b=ping.o
//@ bind: next=a:ping a:other=b:ping b:other=end.o:end
//@ codes: 3

//@ run: same-object-cycle
//@ object: a=ping.o b=ping.o
//@ bind: next=a:ping a:other=b:ping b:other=a:ping
//@ error: ping.*ping.*ping

// Inside one object it is recursion just the same.
//@ run: inside-an-object
//@ objects: inside.o
//@ error: again.*again
