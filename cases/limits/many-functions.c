// The kernel's limits are told before the verifier tells them: 256 functions, 8 frames, 512 bytes
// of stack, 64 maps. Each object is within them, the linked program is not.
//@ cflags: -O2 -g0
#include "weld.h"

extern int first(struct xdp_md *ctx);
extern int second(struct xdp_md *ctx);

SEC("xdp") int root(struct xdp_md *ctx)
{
	return first(ctx) + second(ctx);
}

LICENSE("GPL");

//@ objects: many-functions.o
//@ packet: 64

// 1 + 2 * (1 + 130)
//@ run: functions
//@ documents: E0217
//@ object: a=functions.o b=functions.o
//@ bind: first=a second=b
//@ error: 263.*256

// One instance alone is fine.
//@ run: functions-within
//@ object: a=functions.o
//@ bind: first=a second=a
//@ codes: 16770

// 33 maps each.
//@ run: maps
//@ documents: E0219
//@ object: a=maps.o b=maps.o
//@ bind: first=a second=b
//@ error: 66.*64

//@ run: maps-within
//@ bind: first=maps.o second=maps.o
//@ codes: 66

// Three frames of 200 bytes along one path.
//@ run: stack
//@ documents: E0408
//@ needs: kernel
//@ object: a=stack.o b=stack.o c=stack.o
//@ bind: first=a:frame a:next=b:frame b:next=c:frame c:next=leaf.o:leaf second=leaf.o:leaf
//@ error: 512

//@ run: stack-within
//@ object: a=stack.o b=stack.o
//@ bind: first=a:frame a:next=b:frame b:next=leaf.o:leaf second=leaf.o:leaf
//@ codes: 6

// Root, seven links, leaf: nine frames.
//@ run: frames
//@ documents: E0218
//@ object: a=link.o b=link.o c=link.o d=link.o e=link.o f=link.o g=link.o
//@ bind: first=a a:next=b b:next=c c:next=d d:next=e e:next=f f:next=g g:next=leaf.o
//@ bind: second=leaf.o
//@ error: 9.*8|8.*9

//@ run: frames-within
//@ object: a=link.o b=link.o c=link.o d=link.o e=link.o f=link.o
//@ bind: first=a a:next=b b:next=c c:next=d d:next=e e:next=f f:next=leaf.o
//@ bind: second=leaf.o
//@ codes: 602
