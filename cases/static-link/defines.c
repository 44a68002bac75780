// What the others use: functions, variables, maps; a weak function that another object replaces, and
// static things whose names another object has, too.
#include "state.h"

struct {
	NUM(type, MAP_HASH);
	TYPE(key, u32);
	TYPE(value, struct state);
	NUM(max_entries, 8);
} states SEC(".maps");

int limit = 5;
const volatile u32 step = 3;
static volatile int counter = 100;
u64 total[4];

static NOINLINE int add(int x)
{
	return x + step + counter;
}

WEAK NOINLINE int which(void)
{
	return XDP_ABORTED;
}

NOINLINE int bump(int x)
{
	total[1] += x;
	return add(x);
}

HIDDEN NOINLINE int kept_inside(int x)
{
	counter += x;
	return counter;
}

LICENSE("GPL");
