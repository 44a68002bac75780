#include "weld.h"

#define MAPS __attribute__((section(".maps")))

/* One map for each member that a definition can have; who defines OTHER has another value in each. */
#ifdef OTHER
#define PICK(a, b) b
#define HERE extern
#define PLACE MAPS
#else
#define PICK(a, b) a
#define HERE
#define PLACE SEC(".maps")
#endif

struct left {
	u32 a;
	u32 b;
};
struct right {
	u32 a;
	float b;
};

HERE struct {
	NUM(type, PICK(MAP_HASH, MAP_ARRAY));
	TYPE(key, u32);
	TYPE(value, u32);
	NUM(max_entries, 1);
} m_type PLACE;
HERE struct {
	NUM(type, MAP_HASH);
	NUM(key_size, PICK(4, 8));
	NUM(value_size, 4);
	NUM(max_entries, 1);
} m_key_size PLACE;
HERE struct {
	NUM(type, MAP_HASH);
	NUM(key_size, 4);
	NUM(value_size, PICK(4, 8));
	NUM(max_entries, 1);
} m_value_size PLACE;
HERE struct {
	NUM(type, MAP_HASH);
	TYPE(key, u32);
	TYPE(value, u32);
	NUM(max_entries, PICK(1, 2));
} m_max_entries PLACE;
HERE struct {
	NUM(type, MAP_HASH);
	TYPE(key, u32);
	TYPE(value, u32);
	NUM(max_entries, 1);
	NUM(map_flags, PICK(1, 2));
} m_map_flags PLACE;
HERE struct {
	NUM(type, MAP_HASH);
	TYPE(key, u32);
	TYPE(value, u32);
	NUM(max_entries, 1);
	NUM(numa_node, PICK(0, 1));
} m_numa_node PLACE;
HERE struct {
	NUM(type, MAP_HASH);
	TYPE(key, u32);
	TYPE(value, u32);
	NUM(max_entries, 1);
	NUM(map_extra, PICK(1, 2));
} m_map_extra PLACE;
HERE struct {
	NUM(type, MAP_HASH);
	TYPE(key, u32);
	TYPE(value, u32);
	NUM(max_entries, 1);
	NUM(pinning, PICK(0, 1));
} m_pinning PLACE;
HERE struct {
	NUM(type, MAP_HASH);
	TYPE(key, PICK(struct left, struct right));
	TYPE(value, u32);
	NUM(max_entries, 1);
} m_key PLACE;
HERE struct {
	NUM(type, MAP_HASH);
	TYPE(key, u32);
	TYPE(value, PICK(struct left, struct right));
	NUM(max_entries, 1);
} m_value PLACE;
struct inner {
	NUM(type, MAP_ARRAY);
	TYPE(key, u32);
	TYPE(value, u32);
	NUM(max_entries, PICK(1, 2));
};
HERE struct {
	NUM(type, MAP_HASH_OF_MAPS);
	TYPE(key, u32);
	NUM(max_entries, 1);
	VALUES(struct inner);
} m_values PLACE;
