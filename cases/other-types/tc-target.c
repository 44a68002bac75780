#include "weld.h"

SEC("tc") int shoot(struct __sk_buff *skb)
{
	return skb->len == 64 ? TC_ACT_SHOT : TC_ACT_OK;
}

LICENSE("GPL");
