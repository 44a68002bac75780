#include "weld.h"

struct sum {
	u64 total;
};

long step(u32 index, void *arg)
{
	struct sum *sum = arg;

	sum->total += index * 2;
	return 0;
}

LICENSE("GPL");
