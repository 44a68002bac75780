// Has a function that it calls and hands to a helper.
#include "weld.h"

static NOINLINE long turn(u32 index, void *sum)
{
	*(u64 *)sum += index;
	return 0;
}

SEC("xdp") int callback(struct xdp_md *ctx)
{
	u64 sum = 0;

	loop(3, turn, &sum, 0);
	turn(1, &sum);
	return sum == 4 ? XDP_PASS : XDP_DROP;
}

LICENSE("GPL");
