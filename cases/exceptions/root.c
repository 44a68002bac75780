// Exceptions: a linked function throws, and the callback that the entry names says what is returned.
#include "weld.h"

extern void bpf_throw(u64 cookie) KSYM;
extern int checks(struct xdp_md *ctx);

NOINLINE int caught(u64 cookie)
{
	return cookie + 1;
}

SEC("xdp") __attribute__((btf_decl_tag("exception_callback:caught"))) int root(struct xdp_md *ctx)
{
	return checks(ctx);
}

SEC("xdp") int uncaught(struct xdp_md *ctx)
{
	return checks(ctx);
}

LICENSE("GPL");

//@ objects: root.o
//@ bind: checks=thrower.o
//@ needs: kernel feature:kfuncs kernel-symbol:bpf_throw
//@ packet: 64
//@ packet: 100

//@ run: callback
//@ entry: root
//@ codes: 2 3

// Without one, the program returns what was thrown.
//@ run: no-callback
//@ entry: uncaught
//@ codes: 2 2
