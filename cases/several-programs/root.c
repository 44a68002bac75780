// Objects with several entry programs in one section, and bindings that do not say enough or name
// what is not there.
#include "weld.h"

extern int prog(struct xdp_md *ctx);

SEC("xdp") int first(struct xdp_md *ctx)
{
	return prog(ctx) + 100;
}

SEC("xdp") int second(struct xdp_md *ctx)
{
	return prog(ctx) + 200;
}

LICENSE("GPL");

//@ objects: root.o
//@ packet: 64

//@ run: entry-first
//@ entry: first
//@ bind: prog=targets.o:two
//@ codes: 102

//@ run: entry-second
//@ entry: second
//@ bind: prog=targets.o:one
//@ codes: 201

//@ run: no-entry
//@ documents: E0208
//@ bind: prog=targets.o:one
//@ error: first.*second

//@ run: no-such-entry
//@ documents: E0209
//@ entry: thrid
//@ bind: prog=targets.o:one
//@ error: thrid

// Two entry programs, neither named like the extern.
//@ run: ambiguous-target
//@ documents: E0206
//@ entry: first
//@ bind: prog=targets.o
//@ error: prog

// Two entry programs, but a function of the extern's own name.
//@ run: own-name
//@ entry: first
//@ bind: prog=named.o
//@ codes: 103

//@ run: no-such-function
//@ documents: E0205
//@ entry: first
//@ bind: prog=targets.o:oen
//@ error: oen.*one

//@ run: no-such-extern
//@ documents: E0202
//@ entry: first
//@ bind: prog=targets.o:one porg=targets.o:one
//@ error: porg.*prog

// Bound twice, to two functions.
//@ run: bound-twice
//@ documents: E0204
//@ entry: first
//@ bind: prog=targets.o:one prog=targets.o:two
//@ error: prog.*one.*two

//@ run: no-such-label
//@ documents: E0001
//@ entry: first
//@ object: a=targets.o
//@ bind: prog=b:one
//@ exit: 2
//@ error: \bb\b

// Not of the form EXTERN=TARGET: the command line is wrong.
//@ run: binding-without-target
//@ entry: first
//@ bind: prog
//@ exit: 2
//@ error: prog

//@ run: check-both
//@ command: check
//@ bind: prog=targets.o:one
//@ json: programs[*].name == ["first","second"]
//@ json: programs[*].loaded == [true,true]

//@ run: inspect
//@ command: inspect
//@ objects: targets.o
//@ json: programs[*].name == ["one","two"]
//@ json: programs[*].section == ["xdp","xdp"]
//@ json: externs.length == 0
