#include "weld.h"

SEC("tc") int shorten(struct __sk_buff *skb)
{
	u8 ttl = 0xf1;

	if (skb_store_bytes(skb, 22, &ttl, 1, 0) || skb_change_tail(skb, 40, 0))
		return TC_ACT_SHOT;
	return TC_ACT_OK;
}

LICENSE("GPL");
