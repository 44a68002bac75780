//@ target: bpfel
#include "pair.h"
