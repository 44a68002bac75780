#include "weld.h"

struct pair {
	u32 a, b;
};

int sum(int a, int b, int c, int d, int e)
{
	return unknown(a + b * 2 + c * 3 + d * 4 + e * 5);
}

// Verified alone, as a global function, the pointer might be null.
int fold(struct pair *pair)
{
	if (!pair)
		return -1;
	return pair->a + pair->b * 7;
}

int constant(void)
{
	return unknown(9);
}

LICENSE("GPL");
