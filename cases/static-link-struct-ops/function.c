#include "weld.h"

struct sock;
struct tcp_congestion_ops {
	u32 (*ssthresh)(struct sock *sk);
	u32 (*undo_cwnd)(struct sock *sk);
	char name[16];
};

SEC("struct_ops") u32 ssthresh(unsigned long long *ctx)
{
	return 2;
}

SEC("struct_ops") u32 undo_second(unsigned long long *ctx)
{
	return 4;
}

SEC(".struct_ops.link") struct tcp_congestion_ops second = {
	.ssthresh = (void *)ssthresh,
	.undo_cwnd = (void *)undo_second,
	.name = "weld_second",
};

LICENSE("GPL");
