//@ target: bpfeb
#define FIRST
#include "pair.h"
