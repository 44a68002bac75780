//@ target: bpfel
#define FIRST
#include "pair.h"
