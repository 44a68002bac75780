#include "weld.h"

int half(u64 *args)
{
	return 2;
}

LICENSE("GPL");
