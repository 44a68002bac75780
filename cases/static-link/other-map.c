#include "state.h"

extern struct {
	NUM(type, MAP_HASH);
	TYPE(key, u32);
	TYPE(value, struct state);
	NUM(max_entries, 8);
	NUM(map_extra, 4);
} states MAPS;

int other(int x)
{
	struct state *state;
	u32 key = x;

	state = map_lookup(&states, &key);
	return !state;
}
