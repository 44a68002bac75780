// The main job of the README: a root with two externs over a real capture. `filter` drops DNS,
// `count` turns every eighth packet that is left away.
#include "weld.h"

extern int prog1(struct xdp_md *ctx);
extern int prog2(struct xdp_md *ctx);

SEC("xdp") int root(struct xdp_md *ctx)
{
	int verdict = prog1(ctx);

	if (verdict != XDP_PASS)
		return verdict;
	return prog2(ctx);
}

LICENSE("GPL");

//@ objects: root.o
//@ bind: prog1=filter.o prog2=count.o
//@ pcap: real.pcap

// 348 packets, 40 of them DNS (tcpdump -r real.pcap udp port 53); every eighth of the other 308.
//@ run: verdicts
//@ counts: XDP_DROP=40 XDP_TX=38 XDP_PASS=270
//@ lines: root.c filter.c count.c

// Captures and single frames run on one load: three more that `count` sees, none of them an eighth.
//@ run: capture-then-frames
//@ packet: 64 * 3
//@ counts: XDP_DROP=40 XDP_TX=38 XDP_PASS=273
