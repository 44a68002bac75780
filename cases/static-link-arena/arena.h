#include "weld.h"

#define ARENA __attribute__((address_space(1)))

#ifndef NO_ARENA
/* Each object that has variables in the arena defines it; weak, so that it is one. */
struct {
	NUM(type, 33); /* BPF_MAP_TYPE_ARENA */
	NUM(map_flags, 1 << 10); /* BPF_F_MMAPABLE */
	NUM(max_entries, 4);
} arena WEAK SEC(".maps");
#endif
