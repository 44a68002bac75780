#include "weld.h"

u32 shared_counter = 5;

int touch(void)
{
	return shared_counter;
}

LICENSE("GPL");
