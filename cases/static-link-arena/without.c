// Variables in an arena that another object defines.
//@ no-compiler: clang-14 it has no section for address space 1
#define NO_ARENA
#include "arena.h"

extern u64 ARENA mine;
u64 ARENA theirs = 7;

SEC("xdp") int alone(struct xdp_md *ctx)
{
	return theirs;
}

int other(int x)
{
	return mine * x;
}

LICENSE("GPL");

//@ run: no-arena
//@ documents: E0229
//@ command: check
//@ objects: without.o

//@ run: with-arena
//@ needs: feature:arena kernel
//@ linked: all.o = without.o one.o
//@ objects: $TMP/all.o
//@ args: --entry root
//@ packet: 64
//@ verdicts: XDP_PASS
