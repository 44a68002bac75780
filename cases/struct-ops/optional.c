// A table that is not made unless asked for; its programs go with it.
#include "weld.h"

struct sock;

struct tcp_congestion_ops {
	u32 (*ssthresh)(struct sock *sk);
	u32 (*undo_cwnd)(struct sock *sk);
	void (*cong_avoid)(struct sock *sk, u32 ack, u32 acked);
	char name[16];
};

SEC("xdp") int plain(struct xdp_md *ctx)
{
	return XDP_PASS;
}

SEC("struct_ops/ssthresh") int ssthresh(u64 *ctx)
{
	return 2;
}

SEC("struct_ops/undo_cwnd") int undo_cwnd(u64 *ctx)
{
	return 2;
}

SEC("struct_ops/cong_avoid") void cong_avoid(u64 *ctx)
{
}

SEC("?.struct_ops") struct tcp_congestion_ops weld_optional = {
	.ssthresh = (void *)ssthresh,
	.undo_cwnd = (void *)undo_cwnd,
	.cong_avoid = (void *)cong_avoid,
	.name = "weld_optional",
};

LICENSE("GPL");

//@ command: check
//@ objects: optional.o
//@ needs: kernel-btf kernel root

//@ run: not-asked-for
//@ json: programs[*].name == ["plain"]

//@ run: asked-for
//@ args: --map weld_optional=on
//@ json: programs[*].name == ["plain", "ssthresh", "undo_cwnd", "cong_avoid"]
//@ json: programs[name=ssthresh].loaded == true

//@ run: program-off
//@ args: --map weld_optional=on --program undo_cwnd=off
//@ json: programs[*].name == ["plain", "ssthresh", "cong_avoid"]
//@ json: programs[name=ssthresh].loaded == true
