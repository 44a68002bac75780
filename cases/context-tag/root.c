// Global functions that take the context of whatever program calls them: a `void *` with the tag that
// Linux 6.8 knows. For other kernels their prototypes are made to fit, one for each type of program.
#include "weld.h"

extern int length(void *ctx);

NOINLINE int small(void *ctx ARG_CTX)
{
	// The interface of an XDP program's packet, the queue of a classifier's: neither is large here.
	u32 word = *(volatile u32 *)(ctx + 12);

	return word < 1000 ? 1000 : 2000;
}

SEC("xdp") int packet(struct xdp_md *ctx)
{
	return small(ctx) + length(ctx);
}

SEC("tc") int buffer(struct __sk_buff *ctx)
{
	return small(ctx) + 1;
}

LICENSE("GPL");

//@ objects: root.o
//@ packet: 64

//@ run: xdp
//@ entry: packet
//@ bind: length=length.o
//@ codes: 1064
//@ functions: packet small length

//@ run: tc
//@ entry: buffer
//@ codes: 1001
//@ functions: buffer small

// Both at once: one function, a prototype for each.
//@ run: both
//@ command: check
//@ bind: length=length.o
//@ json: programs.length == 2
//@ json: programs[*].loaded == [true,true]

//@ run: unknown-tag
//@ args: --without arg-ctx-tag
//@ entry: packet
//@ bind: length=length.o
//@ codes: 1064

//@ run: unknown-tag-both
//@ command: check
//@ args: --without arg-ctx-tag
//@ bind: length=length.o
//@ json: programs[*].loaded == [true,true]

// As a static function, verified along its call, it needs no tag.
//@ run: static-functions
//@ args: --without arg-ctx-tag --static-functions
//@ entry: packet
//@ bind: length=length.o
//@ codes: 1064
