#include "weld.h"

SEC("xdp") int landed(struct xdp_md *ctx)
{
	return 42;
}

struct {
	NUM(type, MAP_PROG_ARRAY);
	NUM(max_entries, 2);
	TYPE(key, u32);
	VALUES(int(struct xdp_md *));
} jumps SEC(".maps") = { .values = { [0] = &landed } };

// The verifier takes a tail call for something that falls through, so what stands behind it must be
// a value that it cannot know: else it would prune the root's other paths away.
SEC("xdp") int jump(struct xdp_md *ctx)
{
	tail_call(ctx, &jumps, 0);
	return unknown(7);
}

SEC("xdp") int jump_empty(struct xdp_md *ctx)
{
	tail_call(ctx, &jumps, 1);
	return unknown(7);
}

LICENSE("GPL");
