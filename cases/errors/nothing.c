// An object with nothing in it.
#include "weld.h"

//@ objects: nothing.o
//@ command: check
//@ needs: nothing

//@ run: nothing
//@ documents: E0105
