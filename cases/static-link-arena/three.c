//@ no-compiler: clang-14 it has no section for address space 1
#define arena heap
#include "arena.h"

u64 ARENA third = 7;

int another(int x)
{
	return third * x;
}

LICENSE("GPL");
