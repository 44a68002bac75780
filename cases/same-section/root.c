// Static functions in the section of the entry program: the compiler resolves such a call itself and
// leaves no relocation, only a distance, which is wrong as soon as the functions move apart. Beside
// them calls by section symbol (into .text) and code without a symbol.
#include "weld.h"

extern int prog(struct xdp_md *ctx);
extern int gaps(struct xdp_md *ctx);

static NOINLINE SEC("xdp") int front(int x)
{
	OPAQUE(x);
	return x + 1;
}

static NOINLINE int text(int x)
{
	OPAQUE(x);
	return x * 2;
}

SEC("xdp") int root(struct xdp_md *ctx)
{
	return prog(ctx) + front(100) * 1000 + text(5) * 100;
}

SEC("xdp") int second(struct xdp_md *ctx)
{
	return gaps(ctx) + front(200) * 1000;
}

LICENSE("GPL");

//@ objects: root.o
//@ packet: 64

//@ run: target-in-front
//@ entry: root
//@ bind: prog=target.o:first
//@ codes: 102033
//@ functions: root first near front text

//@ run: target-behind
//@ entry: root
//@ bind: prog=target.o:last
//@ codes: 102056
//@ functions: root last near far front text

//@ run: static-functions
//@ entry: root
//@ bind: prog=target.o:last
//@ args: --static-functions
//@ codes: 102056

// The root's second program: its section begins with functions that are not wanted.
//@ run: second-program
//@ entry: second
//@ bind: gaps=gap.o:behind
//@ codes: 201009
//@ functions: second behind front

// A target in the section of the root program itself.
//@ run: root-as-target
//@ entry: root
//@ bind: prog=root.o:second gaps=gap.o:behind
//@ codes: 303009
//@ functions: root second behind front text
