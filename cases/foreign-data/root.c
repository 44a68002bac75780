// Externs that are neither functions nor values of the configuration nor kernel symbols: a variable of
// another object. Not linked yet; the error says so and names it, and no kconfig value is looked for.
#include "weld.h"

extern u32 shared_counter;

SEC("xdp") int root(struct xdp_md *ctx)
{
	return shared_counter++;
}

LICENSE("GPL");

//@ packet: 64

//@ run: variable
//@ objects: root.o other.o
//@ error: shared_counter

//@ run: inspect
//@ command: inspect
//@ objects: root.o
//@ json: externs[0].name == "shared_counter"
//@ json: externs[0].kind == "variable"
