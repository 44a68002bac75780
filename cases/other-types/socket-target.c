#include "weld.h"

SEC("socket") int length(struct __sk_buff *skb)
{
	return skb->len;
}

LICENSE("GPL");
