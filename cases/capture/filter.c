#include "weld.h"

// Drops what goes to or comes from the UDP port 53.
SEC("xdp") int filter(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	struct ethhdr *eth = data;
	struct iphdr *ip = (void *)(eth + 1);
	struct udphdr *udp = (void *)(ip + 1);

	if ((void *)(udp + 1) > end || eth->proto != be16_of(ETH_P_IP))
		return XDP_PASS;
	if (ip->version_ihl != 0x45 || ip->protocol != PROTO_UDP)
		return XDP_PASS;
	if (udp->source == be16_of(53) || udp->dest == be16_of(53))
		return XDP_DROP;
	return XDP_PASS;
}

LICENSE("GPL");
