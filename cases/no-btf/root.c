// Where one side has no BTF, the types cannot be compared: a warning, and the link goes on. A
// function without BTF has a name in the loaded program all the same.
#include "weld.h"

extern int prog(struct xdp_md *ctx);

SEC("xdp") int root(struct xdp_md *ctx)
{
	return prog(ctx) + 100;
}

LICENSE("GPL");

//@ packet: 64

//@ run: target-without
//@ objects: root.o
//@ bind: prog=bare.o:bare
//@ codes: 113
//@ warning: bare

//@ run: target-without-names
//@ objects: root.o
//@ bind: prog=bare.o:bare
//@ functions: root bare helper
//@ lines: root.c

// The target borrows the extern's type and so can be a global function; its subprogram, of which
// nothing is known, cannot.
//@ run: global-by-the-extern
//@ command: check
//@ objects: root.o
//@ bind: prog=bare.o:bare
//@ json: programs[0].functions[name=bare].global == true
//@ json: programs[0].functions[name=helper].global == false

//@ run: nothing-to-be-global-by
//@ command: check
//@ objects: bare-root.o
//@ bind: prog=bare.o:bare
//@ json: programs[0].functions[name=bare].global == false

//@ run: root-without
//@ objects: bare-root.o
//@ bind: prog=typed.o:typed
//@ codes: 204
//@ warning: bare-root\.o

//@ run: neither
//@ objects: bare-root.o
//@ bind: prog=bare.o:bare
//@ codes: 213

// By name without BTF: the symbol table is enough.
//@ run: by-name
//@ objects: bare-root.o by-name.o
//@ codes: 205

// Without BTF there is no telling what the extern is, but it is called: a function.
//@ run: unbound
//@ objects: bare-root.o
//@ error: prog

//@ run: inspect
//@ command: inspect
//@ objects: bare-root.o
//@ json: externs[*].name == ["prog"]
//@ json: externs[0].kind == "function"
