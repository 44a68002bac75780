#include "state.h"

NOINLINE int bump(int x)
{
	return x * 2;
}
