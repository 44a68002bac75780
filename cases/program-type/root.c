// Linked code runs as the caller's program, so a target that is an entry program must be of a type
// that can: an XDP program cannot stand in for a TC one.
#include "weld.h"

extern int prog(struct xdp_md *ctx);
extern int skb_prog(struct __sk_buff *ctx);

SEC("xdp") int root(struct xdp_md *ctx)
{
	return prog(ctx) + 100;
}

SEC("xdp") int lies(struct xdp_md *ctx)
{
	return skb_prog((void *)ctx);
}

LICENSE("GPL");

//@ objects: root.o
//@ packet: 64

// The prototypes differ already.
//@ run: prototype
//@ entry: root
//@ bind: prog=tc.o:classify
//@ error: xdp_md.*__sk_buff

// The prototypes agree, the types of the programs do not.
//@ run: type
//@ documents: E0214
//@ entry: lies
//@ bind: skb_prog=tc.o:classify
//@ error: (?i)xdp.*(tc|sched_cls)|(tc|sched_cls).*xdp

// Without BTF only the section names tell.
//@ run: type-without-btf
//@ entry: root
//@ bind: prog=bare-tc.o:classify
//@ error: (?i)xdp.*(tc|sched_cls)|(tc|sched_cls).*xdp

// Same type, another place to attach to.
//@ run: attach-type
//@ entry: root
//@ bind: prog=devmap.o:for_devmap
//@ error: devmap

// An ordinary function has no type.
//@ run: plain-function
//@ entry: root
//@ bind: prog=tc.o:plain
//@ codes: 107
