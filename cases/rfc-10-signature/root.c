// Fault 10 of the RFC: signatures were not compared. The extern has one parameter, the target two; so
// the target would read a register that the caller never set.
#include "weld.h"

extern int prog(struct xdp_md *ctx);

SEC("xdp") int root(struct xdp_md *ctx)
{
	return prog(ctx);
}

LICENSE("GPL");

//@ run: parameter-more
//@ documents: E0211
//@ objects: root.o
//@ bind: prog=target.o:target
//@ packet: 64
//@ error: int prog\(struct xdp_md \*.*int target\(struct xdp_md \*.*int
//@ error: root\.o
//@ error: target\.o
