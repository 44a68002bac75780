// Jump tables as LLVM 22 makes them of a `switch`: eight bytes an entry, the offset of an instruction in the
// section of the function. Written by hand, for compilers that make none. The table of each object has the
// same name, and no relocation.
#include "table.h"

extern int second(int x);

SEC("xdp") int root(struct xdp_md *ctx)
{
	return first(2) + second(1);
}

LICENSE("GPL");

JUMPS(first)

//@ run: not-to-be-loaded
//@ documents: E0228
//@ objects: first.o second.o
//@ command: check

//@ run: linked
//@ command: inspect
//@ linked: all.o = first.o second.o
//@ objects: $TMP/all.o
//@ json: functions[*].name ~ second
