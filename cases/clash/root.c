// Clashes on purpose: entry programs, static helpers, global helpers, maps and global variables of
// three objects all bear the same names, the types too. Nothing may be mixed up, and nothing is an
// error, because no extern asks for one of the names.
#define FACTOR 1
#define OFFSET 0
#define STEP 0
#include "names.h"

extern int first(struct xdp_md *ctx);
extern int second(struct xdp_md *ctx);

SEC("xdp") int prog(struct xdp_md *ctx)
{
	int mine = answer();
	int a = first(ctx);
	int b = second(ctx);

	return mine * 1000000 + a * 1000 + b;
}

//@ run: all-names-equal
//@ objects: root.o
//@ bind: first=a.o:prog second=b.o:prog
//@ packet: 64 * 3
// root: calls; a: calls * 10 + 5 + calls * 100; b: calls * 20 + 7 + calls * 200
//@ codes: 1115227 2225447 3335667
//@ lines: root.c a.c b.c

//@ run: all-names-equal-static
//@ objects: root.o
//@ bind: first=a.o:prog second=b.o:prog
//@ args: --static-functions
//@ packet: 64 * 3
//@ codes: 1115227 2225447 3335667

//@ run: swapped
//@ objects: root.o
//@ bind: first=b.o:prog second=a.o:prog
//@ packet: 64 * 2
//@ codes: 1227115 2447225
