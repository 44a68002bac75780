// Fault 4 of the RFC: file descriptor 0 meant "none". Here the command starts with standard input
// closed, so that 0 is free for the first map, BTF or program.
#include "weld.h"

extern int prog(struct xdp_md *ctx);

u32 counter = 5;

SEC("xdp") int root(struct xdp_md *ctx)
{
	return prog(ctx) * 10 + counter++;
}

LICENSE("GPL");

//@ stdin-closed
//@ objects: root.o
//@ bind: prog=target.o

//@ run: run
//@ packet: 64 * 2
//@ codes: 15 26

//@ run: check
//@ command: check
//@ json: programs[0].loaded == true
