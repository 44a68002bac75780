#define MAP_KIND MAP_ARRAY
#include "member.h"
