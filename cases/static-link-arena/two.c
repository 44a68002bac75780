//@ no-compiler: clang-14 it has no section for address space 1
#include "arena.h"

extern u64 ARENA mine;
u64 ARENA theirs = 7;

int other(int x)
{
	return mine * x;
}

LICENSE("GPL");
