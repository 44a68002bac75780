// What an object of the benchmark of linking is made of: five functions, two maps, global variables.
#include "weld.h"

struct event {
	u64 time;
	u32 source;
	u32 destination;
	u16 port;
};

struct {
	NUM(type, MAP_HASH);
	TYPE(key, u32);
	TYPE(value, struct event);
	NUM(max_entries, 1024);
} events SEC(".maps");

struct {
	NUM(type, MAP_ARRAY);
	TYPE(key, u32);
	TYPE(value, u64);
	NUM(max_entries, 16);
} totals SEC(".maps");

u64 packets;
u32 threshold = 100;
const volatile u32 mode = 1;
static u32 last;

NOINLINE int add(u32 slot, u64 amount)
{
	u64 *total = map_lookup(&totals, &slot);

	if (!total)
		return 0;
	*total += amount;
	return 1;
}

NOINLINE int note(u32 source)
{
	struct event *event = map_lookup(&events, &source);

	if (!event)
		return 0;
	event->time++;
	return event->port;
}

static NOINLINE int classify(u32 length)
{
	if (length > threshold)
		return 2;
	return length == last;
}

SEC("xdp") int filter(struct xdp_md *ctx)
{
	u32 length = ctx->data_end - ctx->data;

	packets++;
	add(classify(length), length);
	last = length;
	if (mode && note(length))
		return XDP_DROP;
	return XDP_PASS;
}

SEC("tc") int count(struct __sk_buff *skb)
{
	add(3, skb->len);
	return classify(skb->len);
}

LICENSE("GPL");
