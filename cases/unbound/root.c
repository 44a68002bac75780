// Externs that nothing resolves: all of them are told, each with where it is called from and with the
// nearest names that there are.
#include "weld.h"

extern int xdp_filter(struct xdp_md *ctx);
extern int xdp_count(struct xdp_md *ctx);
extern int present(struct xdp_md *ctx);

static NOINLINE int deeper(struct xdp_md *ctx)
{
	return xdp_count(ctx) + 1;
}

SEC("xdp") int root(struct xdp_md *ctx)
{
	return xdp_filter(ctx) + present(ctx) + deeper(ctx);
}

LICENSE("GPL");

//@ packet: 64
//@ objects: root.o offers.o

// Line 11 is in `deeper`, line 16 in `root`.
//@ run: all-are-named
//@ documents: E0201
//@ error: xdp_filter
//@ error: xdp_count
//@ error: root\.c:16
//@ error: root\.c:11
//@ without: present.*(not bound|unresolved)

//@ run: nearest-names
//@ error: xdp_fitler
//@ error: xdp_counts
//@ without: zebra

// The same in JSON mode of `check`: nothing but JSON on standard output, the error in it.
//@ run: check
//@ command: check
//@ exit: 1
//@ json: programs[0].loaded == false
//@ json: programs[0].error ~ xdp_filter
//@ json: programs[0].error ~ xdp_count

//@ run: one-is-left
//@ bind: xdp_filter=offers.o:xdp_fitler
//@ error: xdp_count
