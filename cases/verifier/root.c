// The verifier refuses a function of the target: the error names program and reason, and a failed load
// leaves nothing pinned.
#include "weld.h"

extern int prog(struct xdp_md *ctx);

SEC("xdp") int good(struct xdp_md *ctx)
{
	return XDP_PASS;
}

SEC("xdp") int refused(struct xdp_md *ctx)
{
	return prog(ctx);
}

LICENSE("GPL");

//@ objects: root.o
//@ bind: prog=wild.o:wild

//@ run: run
//@ needs: kernel
//@ entry: refused
//@ packet: 64
//@ error: refused.*invalid access to packet

// The line that it stumbles over is the target's.
//@ run: source-line
//@ needs: kernel
//@ entry: refused
//@ packet: 64
//@ error: \*packet

//@ run: check-goes-on
//@ command: check
//@ exit: 1
//@ json: programs[name=good].loaded == true
//@ json: programs[name=good].error == null
//@ json: programs[name=refused].loaded == false
//@ json: programs[name=refused].error ~ invalid access to packet

// The first program is fine; it is not left pinned alone.
//@ run: load-leaves-nothing
//@ command: load
//@ error: refused
