#include "state.h"

extern int bump(u64 x);

int other_type(int x)
{
	return bump(x) + 1;
}
