#include "weld.h"

// Of what another object defines, clang takes no other attribute than the section.
#define MAPS __attribute__((section(".maps")))

struct state {
	u64 packets;
	u32 last;
};
