// A helper that is for GPL-compatible programs alone makes all functions of the image need such a
// licence; nothing is upgraded silently. Without such a helper, licences may be mixed: the program
// then goes in under the stricter of them, which for the kernel is the proprietary one.
#include "weld.h"

extern int prog(struct xdp_md *ctx);

SEC("xdp") int root(struct xdp_md *ctx)
{
	return prog(ctx) + 100;
}

LICENSE("GPL");

//@ packet: 64

//@ run: gpl-and-proprietary-without-helper
//@ objects: root.o
//@ bind: prog=proprietary.o:plain
//@ codes: 105

//@ run: gpl-and-gpl-with-helper
//@ objects: root.o
//@ bind: prog=gpl.o:traces
//@ codes: 106

//@ run: dual-licence-with-helper
//@ objects: dual.o
//@ bind: prog=gpl.o:traces
//@ codes: 206

//@ run: proprietary-target-with-helper
//@ objects: root.o
//@ bind: prog=proprietary.o:traces
//@ error: GPL
//@ error: proprietary\.o

//@ run: proprietary-root-gpl-helper
//@ documents: E0213
//@ objects: proprietary-root.o
//@ bind: prog=gpl.o:traces
//@ error: GPL
//@ error: proprietary-root\.o

// The helper is in the root, the wrong licence in the target: the same.
//@ run: helper-in-the-root
//@ objects: tracing-root.o
//@ bind: prog=proprietary.o:plain
//@ error: GPL
//@ error: proprietary\.o

// An object without a licence section is no GPL-compatible one.
//@ run: no-licence
//@ objects: tracing-root.o
//@ bind: prog=no-licence.o:plain
//@ error: no-licence\.o

//@ run: no-licence-without-helper
//@ objects: root.o
//@ bind: prog=no-licence.o:plain
//@ codes: 107

// What is not reached does not count: `traces` of the same object is left out.
//@ run: helper-left-out
//@ objects: proprietary-root.o
//@ bind: prog=gpl.o:plain
//@ codes: 308
