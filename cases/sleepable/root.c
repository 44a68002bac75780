// A sleepable target may call what a program that must not sleep cannot.
#include "weld.h"

struct pt_regs;
extern int prog(struct pt_regs *ctx);

SEC("uprobe") int root(struct pt_regs *ctx)
{
	return prog(ctx);
}

LICENSE("GPL");

//@ command: check
//@ objects: root.o
//@ needs: feature:sleepable

//@ run: sleepable-in-other
//@ documents: E0215
//@ bind: prog=target.o:may_sleep
//@ error: sleep

//@ run: same
//@ bind: prog=target.o:must_not
//@ without: error
//@ json: programs[name=root].loaded == true
