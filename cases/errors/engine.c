// What the engine does not take, and what ends a run in it.
#include "weld.h"

struct {
	NUM(type, 4096);
	NUM(max_entries, 1);
	NUM(key_size, 4);
	NUM(value_size, 4);
} unheard_of SEC(".maps");

extern int bpf_not_in_the_engine(int x) KSYM;

SEC("cgroup/connect4") int other_type(void *ctx)
{
	return 1;
}

SEC("xdp") int kernel_function(struct xdp_md *ctx)
{
	return bpf_not_in_the_engine(1);
}

SEC("xdp") int map_type(struct xdp_md *ctx)
{
	u32 key = 0;

	return map_lookup(&unheard_of, &key) ? XDP_DROP : XDP_PASS;
}

SEC("xdp") int outside(struct xdp_md *ctx)
{
	u8 *data = (void *)(long)ctx->data;

	return data[4000] ? XDP_DROP : XDP_PASS;
}

SEC("xdp") int helper(struct xdp_md *ctx)
{
	u8 byte = 0;

	skb_load_bytes(ctx, 0, &byte, sizeof(byte));
	return byte;
}

SEC("xdp") int endless(struct xdp_md *ctx)
{
	u32 round = 1;

	while (round)
		OPAQUE(ctx);
	return XDP_PASS;
}

LICENSE("GPL");

//@ objects: engine.o
//@ packet: 64
//@ args: --engine engine

//@ run: other-type
//@ entry: other_type
//@ documents: E0501

//@ run: kernel-function
//@ entry: kernel_function
//@ documents: E0503

//@ run: map-type
//@ entry: map_type
//@ documents: E0504

//@ run: outside
//@ entry: outside
//@ exit: 0
//@ verdicts: XDP_ABORTED
//@ json: packets[0].fault ~ engine.c:34.*cannot read 1 bytes.*E0601

//@ run: engine-helper
//@ entry: helper
//@ exit: 0
//@ verdicts: XDP_ABORTED
//@ json: packets[0].fault ~ skb_load_bytes.*E0603

//@ run: engine-endless
//@ entry: endless
//@ exit: 0
//@ verdicts: XDP_ABORTED
//@ json: packets[0].fault ~ budget.*E0606
