// One program for each rule of the verifier that has an error code of its own. The programs are the
// examples of docs/errors.md.
#include "weld.h"

struct {
	NUM(type, MAP_ARRAY);
	NUM(max_entries, 4);
	TYPE(key, u32);
	TYPE(value, u64);
} numbers SEC(".maps");

struct {
	NUM(type, MAP_RINGBUF);
	NUM(max_entries, 4096);
} events SEC(".maps");

SEC("xdp") int packet(struct xdp_md *ctx)
{
	u8 *data = (void *)(long)ctx->data;

	return data[13] ? XDP_DROP : XDP_PASS;
}

SEC("xdp") int null(struct xdp_md *ctx)
{
	u32 key = 1;
	u64 *number = map_lookup(&numbers, &key);

	return *number ? XDP_DROP : XDP_PASS;
}

SEC("xdp") int uninitialised(struct xdp_md *ctx)
{
	u64 key;

	asm volatile("%0 = r5" : "=r"(key));
	return key ? XDP_DROP : XDP_PASS;
}

SEC("xdp") int bounds(struct xdp_md *ctx)
{
	u32 key = 0;
	u64 *number = map_lookup(&numbers, &key);

	if (!number)
		return XDP_PASS;
	return number[ctx->rx_queue_index] ? XDP_DROP : XDP_PASS;
}

SEC("xdp") int number(struct xdp_md *ctx)
{
	u32 *length = (void *)(long)ctx->rx_queue_index;

	return *length ? XDP_DROP : XDP_PASS;
}

SEC("xdp") int endless(struct xdp_md *ctx)
{
	u32 round = 1;

	while (round)
		OPAQUE(ctx);
	return XDP_PASS;
}

SEC("xdp") int leak(struct xdp_md *ctx)
{
	u64 *event = ringbuf_reserve(&events, 8, 0);

	if (!event)
		return XDP_PASS;
	*event = 1;
	return XDP_DROP;
}

SEC("cgroup/connect4") int verdict(void *ctx)
{
	return 7;
}

SEC("xdp") int helper(struct xdp_md *ctx)
{
	u8 byte = 0;

	skb_load_bytes(ctx, 0, &byte, sizeof(byte));
	return byte ? XDP_DROP : XDP_PASS;
}

SEC("xdp") int falls_through(struct xdp_md *ctx)
{
	asm volatile("if r1 == 0 goto +1\n\tgoto +1\n\tr2 = 0\n\tgoto +1\n\tr3 = 0");
	return XDP_PASS;
}

SEC("xdp") int argument(struct xdp_md *ctx)
{
	u64 *number = map_lookup(&numbers, (void *)(long)ctx->rx_queue_index);

	return number ? XDP_DROP : XDP_PASS;
}

SEC("xdp") int context(struct xdp_md *ctx)
{
	return *((u32 *)ctx + 100) ? XDP_DROP : XDP_PASS;
}

SEC("xdp") int arithmetic(struct xdp_md *ctx)
{
	long data = ctx->data, end = ctx->data_end;
	u8 *middle = (void *)((data + end) / 2);

	return *middle ? XDP_DROP : XDP_PASS;
}

LICENSE("GPL");

//@ objects: verifier.o
//@ command: check
//@ needs: kernel

//@ run: packet
//@ entry: packet
//@ documents: E0401

//@ run: null
//@ entry: null
//@ documents: E0402

//@ run: uninitialised
//@ entry: uninitialised
//@ documents: E0403

//@ run: bounds
//@ entry: bounds
//@ documents: E0404

//@ run: number
//@ entry: number
//@ documents: E0405

//@ run: endless
//@ entry: endless
//@ documents: E0406

//@ run: leak
//@ entry: leak
//@ documents: E0409

//@ run: verdict
//@ entry: verdict
//@ documents: E0410

//@ run: helper
//@ entry: helper
//@ documents: E0411

//@ run: falls-through
//@ entry: falls_through
//@ documents: E0412

//@ run: argument
//@ entry: argument
//@ documents: E0413

//@ run: context
//@ entry: context
//@ documents: E0415

//@ run: arithmetic
//@ entry: arithmetic
//@ documents: E0416
