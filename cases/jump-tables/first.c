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

//@ run: jumps
//@ objects: first.o second.o
//@ packet: 64
//@ needs: feature:jump-tables kernel
//@ codes: 20

//@ run: traced
//@ needs: feature:jump-tables kernel
//@ objects: first.o second.o
//@ packet: 64
//@ args: --trace
//@ codes: 20

//@ run: linked-and-loaded
//@ needs: feature:jump-tables kernel
//@ linked: all.o = first.o second.o
//@ objects: $TMP/all.o
//@ packet: 64
//@ codes: 20

//@ run: no-table
//@ objects: first.o second.o
//@ packet: 64
//@ needs: kernel root
//@ args: --without jump-tables
//@ error: jumps through tables of instructions

//@ run: engine
//@ objects: first.o second.o
//@ packet: 64
//@ args: --engine engine
//@ error: jumps through a table

//@ run: shown
//@ objects: first.o second.o
//@ command: disasm
//@ stdout: r2 = jump table to \d+, \d+, \d+(.|\n)*gotox r2

//@ run: linked
//@ command: inspect
//@ linked: all.o = first.o second.o
//@ objects: $TMP/all.o
//@ json: functions[*].name ~ second
