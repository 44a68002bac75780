// Two objects with variables in one arena.
//@ no-compiler: clang-14 it has no section for address space 1
#include "arena.h"

u64 ARENA mine = 5;
extern u64 ARENA theirs;
extern int other(int x);

SEC("xdp") int root(struct xdp_md *ctx)
{
	mine += theirs;
	return other(1) == 12 ? XDP_PASS : XDP_DROP;
}

LICENSE("GPL");

//@ objects: $TMP/all.o

//@ run: one-arena
//@ command: inspect
//@ linked: all.o = one.o two.o
//@ json: maps[*].name == ["arena"]

//@ run: variables-of-both
//@ needs: feature:arena kernel
//@ linked: all.o = two.o one.o
//@ packet: 64
//@ verdicts: XDP_PASS

//@ run: another-arena
//@ command: link
//@ objects: one.o three.o
//@ args: -o $TMP/out.o
//@ error: one.o defines the arena `arena`, three.o the arena `heap`: a program has one
