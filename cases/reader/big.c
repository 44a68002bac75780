// The same in the other byte order.
//@ target: bpfeb
#include "everything.c"
