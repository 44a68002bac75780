// Fault 8 of the RFC: licences were not compared, so code under another licence ran with GPL-only
// helpers under the caller's "GPL".
#include "weld.h"

extern int prog(struct xdp_md *ctx);

SEC("xdp") int root(struct xdp_md *ctx)
{
	return prog(ctx);
}

LICENSE("GPL");

//@ run: proprietary-target-with-gpl-helper
//@ objects: root.o
//@ bind: prog=target.o
//@ packet: 64
//@ error: target\.o
//@ error: trace_printk
//@ error: GPL
