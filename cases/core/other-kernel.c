// The types of a kernel that never was: what `--kernel-btf` reads.
#include "weld.h"

struct task_struct {
	long before[3];
	u16 no_such_member;
	u64 pid, tgid;
};

int uses(struct task_struct *task)
{
	return task->pid;
}

LICENSE("GPL");
