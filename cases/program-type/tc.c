#include "weld.h"

SEC("tc") int classify(struct __sk_buff *skb)
{
	return TC_ACT_OK;
}

int plain(struct xdp_md *ctx)
{
	return unknown(7);
}

LICENSE("GPL");
