// One object under two labels is two instances: each has maps and data of its own. The counters
// prove it: `first` is called for every packet, `second` for every other one.
#include "weld.h"

extern int first(struct xdp_md *ctx);
extern int second(struct xdp_md *ctx);

u32 packets;
u32 last;

SEC("xdp") int root(struct xdp_md *ctx)
{
	int a = first(ctx);

	if (packets++ % 2)
		last = second(ctx);
	return a * 1000 + last;
}

LICENSE("GPL");

//@ objects: root.o
//@ packet: 64 * 5

// map counter + .bss counter * 10: both of them count apart.
//@ run: two-labels
//@ object: x=counter.o y=counter.o
//@ bind: first=x:count second=y:count
//@ codes: 11000 22011 33011 44022 55022

// The same instance behind both externs: one state, one copy.
//@ run: one-label
//@ object: x=counter.o
//@ bind: first=x:count second=x:count
//@ codes: 11000 22033 44033 55066 77066
//@ functions: root count

// The root itself may be named by a label.
//@ run: root-by-label
//@ objects: r
//@ object: r=root.o x=counter.o y=counter.o
//@ bind: r:first=x:count second=y:count
//@ codes: 11000 22011 33011 44022 55022

// The path is a label too: the object once by its path, once by a label.
//@ run: path-and-label
//@ object: y=counter.o
//@ bind: first=counter.o second=y
//@ codes: 11000 22011 33011 44022 55022
