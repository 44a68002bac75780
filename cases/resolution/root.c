// Resolution by name, for externs that no binding names: strong over weak, the first weak wins, two
// strong are an error, static and hidden functions are not on offer. An explicit binding beats all.
#include "weld.h"

extern int answer(struct xdp_md *ctx);

SEC("xdp") int root(struct xdp_md *ctx)
{
	return answer(ctx);
}

LICENSE("GPL");

//@ packet: 64

//@ run: strong-over-weak
//@ objects: root.o weak3.o strong1.o
//@ codes: 1

//@ run: strong-over-weak-other-order
//@ objects: root.o strong1.o weak3.o
//@ codes: 1

//@ run: first-weak-wins
//@ objects: root.o weak3.o weak4.o
//@ codes: 3

//@ run: first-weak-wins-other-order
//@ objects: root.o weak4.o weak3.o
//@ codes: 4

//@ run: two-strong
//@ documents: E0210
//@ objects: root.o strong1.o strong2.o
//@ error: answer.*strong1\.o.*strong2\.o

//@ run: explicit-among-two-strong
//@ objects: root.o strong1.o strong2.o
//@ bind: answer=strong2.o:answer
//@ codes: 2

//@ run: explicit-weak-over-strong
//@ objects: root.o strong1.o weak3.o
//@ bind: answer=weak3.o:answer
//@ codes: 3

//@ run: explicit-to-another-name
//@ objects: root.o strong1.o
//@ bind: answer=strong1.o:other
//@ codes: 11

//@ run: hidden-is-invisible
//@ objects: root.o hidden.o
//@ error: answer

//@ run: static-is-invisible
//@ objects: root.o static.o
//@ error: answer

//@ run: hidden-and-static-do-not-clash
//@ objects: root.o hidden.o static.o strong1.o
//@ codes: 1

// Any function may be a target when a binding says so.
//@ run: explicit-to-static
//@ objects: root.o
//@ bind: answer=static.o:answer
//@ codes: 6

//@ run: explicit-to-hidden
//@ objects: root.o
//@ bind: answer=hidden.o:answer
//@ codes: 5

// An entry program is a global function like any other.
//@ run: entry-program-by-name
//@ objects: root.o entry.o
//@ codes: 7
