// Compiles to an object without any function.
#include "weld.h"

u32 just_a_variable = 1;

LICENSE("GPL");
