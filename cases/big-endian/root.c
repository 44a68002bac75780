// Objects of the other byte order can be looked at, and not be run.
#include "weld.h"

extern int prog(struct xdp_md *ctx);

SEC("xdp") int root(struct xdp_md *ctx)
{
	return prog(ctx);
}

LICENSE("GPL");

//@ run: run-a-big-root
//@ objects: big.o
//@ packet: 64
//@ error: (?i)big.endian|byte order

//@ run: run-a-big-target
//@ documents: E0224
//@ objects: root.o
//@ bind: prog=big.o:big
//@ packet: 64
//@ error: (?i)big.endian|byte order

//@ run: inspect
//@ command: inspect
//@ objects: big.o
//@ json: endian == "big"
//@ json: programs[0].name == "big"
//@ json: externs[0].name == "other"
//@ json: externs[0].type ~ int other\(struct xdp_md \*
//@ json: maps[0].name == "counter"
//@ json: maps[0].max_entries == 7
