// Every name that an object can have, the same in all objects of this case. What an object answers
// is made of its own constant, variable, counter, static helper and global helper.
#include "weld.h"

struct {
	NUM(type, MAP_ARRAY);
	TYPE(key, u32);
	TYPE(value, u64);
	NUM(max_entries, 1);
} state SEC(".maps");

const volatile u32 factor = FACTOR;
u32 offset = OFFSET;
u32 calls;

static NOINLINE int helper(u32 x)
{
	OPAQUE(x);
	return x * factor;
}

NOINLINE int shared(u32 x)
{
	OPAQUE(x);
	return x + offset;
}

// calls * FACTOR + OFFSET + what the map counted
static ALWAYS_INLINE int answer(void)
{
	u32 key = 0;
	u64 *n = map_lookup(&state, &key);

	if (!n)
		return 0;
	*n += STEP;
	calls++;
	return shared(helper(calls)) + (u32)*n;
}

LICENSE("GPL");
