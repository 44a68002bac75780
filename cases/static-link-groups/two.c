#define ME 2
#include "shared.h"

volatile int two = 2;
struct {
	int three;
	s64 four;
} both = { .three = 3 };
int custom SEC(".data.custom") = 7;
extern int six;
extern int five;
int (*pointer)(void);

extern struct {
	NUM(type, MAP_HASH);
	TYPE(key, u32);
	TYPE(value, u32);
	NUM(max_entries, 16);
} table MAPS;

static NOINLINE int sum(int x)
{
	OPAQUE(x);
	return x + two;
}

int library(int x)
{
	u32 key = 1, *found;

	found = map_lookup(&table, &key);
	if (found || note(1, custom) != 7)
		return -1;
	return sum(x) + both.three + five + six;
}

LICENSE("GPL");
