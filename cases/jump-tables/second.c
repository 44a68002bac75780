#include "table.h"

LICENSE("GPL");

JUMPS(second)
