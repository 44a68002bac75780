#include "weld.h"

#define MAPS __attribute__((section(".maps")))

/* What each of the objects brings along, as from a header of a library: a map and a function, weak both. The
 * first object's count. */
struct {
	NUM(type, MAP_ARRAY);
	TYPE(key, u32);
	TYPE(value, u32);
	NUM(max_entries, 4);
} specs WEAK MAPS;

WEAK HIDDEN NOINLINE int note(u32 slot, u32 value)
{
	u32 *found = map_lookup(&specs, &slot);

	if (!found)
		return -1;
	*found += value;
	return *found;
}

/* Which of the objects came first? */
WEAK NOINLINE int whoami(int x)
{
	OPAQUE(x);
	return x + ME;
}
WEAK int first_one = ME;
