#include "weld.h"

u32 packets;
u32 table[3] = { 5, 6, 7 };

struct {
	NUM(type, MAP_ARRAY);
	TYPE(key, u32);
	TYPE(value, u32);
	NUM(max_entries, 2);
} sizes SEC(".maps");

// Not an entry program: an ordinary global function.
int count(struct xdp_md *ctx)
{
	u32 key = 1, *size = map_lookup(&sizes, &key);

	if (size)
		*size = ctx->data_end - ctx->data;
	packets++;
	return 7;
}

LICENSE("GPL");
