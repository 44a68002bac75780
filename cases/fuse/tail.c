// Tail-calls; the slot is empty.
#include "weld.h"

struct {
	NUM(type, MAP_PROG_ARRAY);
	TYPE(key, u32);
	TYPE(value, u32);
	NUM(max_entries, 1);
} programs SEC(".maps");

SEC("xdp") int tail(struct xdp_md *ctx)
{
	tail_call(ctx, &programs, 0);
	return unknown(XDP_PASS);
}

LICENSE("GPL");
