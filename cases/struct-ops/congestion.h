// A congestion control: a table of functions that TCP calls. The struct has another layout than the
// kernel's, and a member that no kernel has; members go by their names.
#include "weld.h"

struct sock;

struct tcp_congestion_ops___short {
	char name[16];
	u32 not_in_any_kernel;
	u32 (*ssthresh)(struct sock *sk);
	u32 (*undo_cwnd)(struct sock *sk);
	void (*cong_avoid)(struct sock *sk, u32 ack, u32 acked);
};

// Not static: the compiler is to keep the calls.
extern int window(u64 *args);

SEC("struct_ops/ssthresh") int ssthresh(u64 *ctx)
{
	return window(ctx);
}

SEC("struct_ops/undo_cwnd") int undo_cwnd(u64 *ctx)
{
	return 2;
}

SEC("struct_ops/cong_avoid") void cong_avoid(u64 *ctx)
{
}

// The table: what TCP finds it by, and where it is.
#define TABLE(section, table) \
	SEC(section) struct tcp_congestion_ops___short table = { \
		.ssthresh = (void *)ssthresh, \
		.undo_cwnd = (void *)undo_cwnd, \
		.cong_avoid = (void *)cong_avoid, \
		.name = #table, \
	}
