#define OTHER
#include "maps.h"

int other(int x)
{
	u64 key = x;
	int found = 0;

	found += !map_lookup(&m_type, &key);
	found += !map_lookup(&m_key_size, &key);
	found += !map_lookup(&m_value_size, &key);
	found += !map_lookup(&m_max_entries, &key);
	found += !map_lookup(&m_map_flags, &key);
	found += !map_lookup(&m_numa_node, &key);
	found += !map_lookup(&m_map_extra, &key);
	found += !map_lookup(&m_pinning, &key);
	found += !map_lookup(&m_key, &key);
	found += !map_lookup(&m_value, &key);
	found += !map_lookup(&m_values, &key);
	return found;
}
