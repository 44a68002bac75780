//@ target: bpfeb
#include "pair.h"
