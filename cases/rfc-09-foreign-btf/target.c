#include "weld.h"

struct alpha {
	int first_member_of_alpha, second_member_of_alpha;
};
struct beta {
	struct alpha alpha;
	struct beta *next;
};
enum gamma { GAMMA_ONE = 1, GAMMA_TWO };
union delta {
	u64 whole;
	u8 bytes[8];
};

struct {
	NUM(type, MAP_HASH);
	TYPE(key, struct alpha);
	TYPE(value, struct beta);
	NUM(max_entries, 3);
} elsewhere SEC(".maps");

enum gamma kind = GAMMA_TWO;
union delta number = { .whole = 4 };

NOINLINE int subprogram(struct xdp_md *ctx)
{
	struct alpha key = { 1, 2 };

	return map_lookup(&elsewhere, &key) ? 0 : kind + number.bytes[0];
}

SEC("xdp") int target(struct xdp_md *ctx)
{
	return subprogram(ctx);
}

LICENSE("GPL");
