#include "weld.h"

SEC("socket") int filter(void *ctx)
{
	return 1;
}

SEC("cgroup_skb/ingress") int ingress(void *ctx)
{
	return 1;
}

SEC("xdp") int fits(void *ctx)
{
	return 3;
}

LICENSE("GPL");
