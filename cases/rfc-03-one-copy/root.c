// Fault 3 of the RFC: a target was copied once for each call site. Here three call sites, in two
// functions and behind two externs, and one copy of the target and of its subprogram.
#include "weld.h"

extern int first(struct xdp_md *ctx);
extern int second(struct xdp_md *ctx);

static NOINLINE int more(struct xdp_md *ctx)
{
	return first(ctx) * 10;
}

SEC("xdp") int root(struct xdp_md *ctx)
{
	return first(ctx) * 100 + more(ctx) + second(ctx);
}

LICENSE("GPL");

//@ run: three-call-sites
//@ objects: root.o
//@ bind: first=target.o second=target.o
//@ packet: 64
//@ codes: 444
//@ functions: root more target helper

//@ run: three-call-sites-static
//@ objects: root.o
//@ bind: first=target.o second=target.o
//@ args: --static-functions
//@ packet: 64
//@ codes: 444
//@ functions: root more target helper

// Under two instances it is there twice, because its maps differ.
//@ run: two-instances
//@ objects: root.o
//@ object: a=target.o b=target.o
//@ bind: first=a second=b
//@ packet: 64
//@ codes: 444
//@ functions: root more target helper target helper
