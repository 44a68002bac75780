// A member that takes multi-buffer packets.
#include "weld.h"

SEC("xdp.frags") int frags(struct xdp_md *ctx)
{
	return unknown(XDP_PASS);
}

LICENSE("GPL");

//@ objects: frags.o
//@ needs: feature:xdp-frags
//@ packet: 64
//@ run: frags-alone
//@ verdicts: XDP_PASS
