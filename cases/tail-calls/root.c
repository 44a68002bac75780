// A target that tail-calls. Inside a function a tail call comes back to the caller with the verdict
// of the program that was called; an empty slot falls through.
#include "weld.h"

extern int prog(struct xdp_md *ctx);

SEC("xdp") int root(struct xdp_md *ctx)
{
	return prog(ctx) + 100;
}

LICENSE("GPL");

//@ objects: root.o
//@ needs: feature:mixed-tail-calls
//@ packet: 64

//@ run: slot-filled
//@ bind: prog=target.o:jump
//@ codes: 142

// Slot 1 has no initial value.
//@ run: slot-empty
//@ bind: prog=target.o:jump_empty
//@ codes: 107

//@ run: slot-filled-static
//@ bind: prog=target.o:jump
//@ args: --static-functions
//@ codes: 142

// Two instances, two prog arrays; the root calls them through another object.
//@ run: two-instances
//@ object: a=target.o b=target.o
//@ bind: prog=both.o:both both.o:first=a:jump both.o:second=b:jump_empty
//@ codes: 4307

// The program of the slot is loaded beside the root, and pinned with it.
//@ run: pins
//@ command: load
//@ bind: prog=target.o:jump
//@ json: pins[name=landed].kind == "program"
//@ json: pins[name=root].kind == "program"
