// Fault 1 of the RFC: the error code of the BTF fix-up was inverted, so real errors were swallowed
// and the load went on. Here: types that cannot be mended stop the link, in root and target.
#include "weld.h"

extern int prog(struct xdp_md *ctx);

u32 counter = 1;

SEC("xdp") int root(struct xdp_md *ctx)
{
	return prog(ctx) + counter++;
}

LICENSE("GPL");

//@ packet: 64

// An `.extern`-like DATASEC without a section is fine, and so is a sound object.
//@ run: sound
//@ objects: root.o
//@ bind: prog=target.o
//@ codes: 11

// The string section does not end where the header says.
//@ run: root
//@ file: bad.o = patch root.o .BTF 20 05000000
//@ objects: $TMP/bad.o
//@ bind: prog=target.o
//@ error: bad\.o.*BTF

//@ run: target
//@ file: bad.o = patch target.o .BTF 20 05000000
//@ objects: root.o
//@ bind: prog=$TMP/bad.o:target
//@ error: bad\.o.*BTF

// The size of .data is another than what its variables need.
//@ run: section-smaller-than-its-variables
//@ documents: E0110
//@ file: bad.o = header root.o .data size 2
//@ objects: $TMP/bad.o
//@ bind: prog=target.o
//@ error: bad\.o.*\.data
