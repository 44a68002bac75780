// A number of 64 bits in a map definition.
//@ no-compiler: clang-14 has no BTF_KIND_ENUM64
#include "weld.h"

struct {
	NUM(type, 33);
	NUM(max_entries, 4);
	enum { arena_start = 0x123456789abcULL } map_extra;
} arena SEC(".maps");

SEC("xdp") int program(struct xdp_md *ctx)
{
	return map_lookup(&arena, &arena) ? 1 : 2;
}

LICENSE("GPL");
