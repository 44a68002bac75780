#define MAP_KIND MAP_HASH
#include "member.h"
