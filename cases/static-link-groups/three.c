#define ME 3
#include "shared.h"

int six = 6;

struct {
	NUM(type, MAP_HASH);
	TYPE(key, u32);
	TYPE(value, u32);
	NUM(max_entries, 16);
} table SEC(".maps");

static volatile int two = 20;

// The same name as in another object, and another thing.
static NOINLINE int sum(int x)
{
	OPAQUE(x);
	return x * two;
}

int unused(int x)
{
	return sum(x);
}

LICENSE("GPL");
