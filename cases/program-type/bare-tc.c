//@ strip-btf
#include "weld.h"

SEC("tc") int classify(struct __sk_buff *skb)
{
	return TC_ACT_OK;
}

LICENSE("GPL");
