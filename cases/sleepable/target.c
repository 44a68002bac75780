#include "weld.h"

struct pt_regs;

SEC("uprobe.s") int may_sleep(struct pt_regs *ctx)
{
	return 0;
}

SEC("uprobe") int must_not(struct pt_regs *ctx)
{
	return 0;
}

LICENSE("GPL");
