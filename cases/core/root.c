// CO-RE relocations, in root and target: their type ids and strings are their own object's.
#include "weld.h"

#define CORE __attribute__((preserve_access_index))
#define EXISTS(field) __builtin_preserve_field_info(field, 2)
#define SIZE(field) __builtin_preserve_field_info(field, 1)

extern int prog(struct xdp_md *ctx);

struct task_struct {
	int pid;
	int no_such_member;
} CORE;

SEC("xdp") int root(struct xdp_md *ctx)
{
	struct task_struct *task = NULL;

	return prog(ctx) * 100 + EXISTS(task->pid) * 10 + EXISTS(task->no_such_member);
}

LICENSE("GPL");

//@ objects: root.o
//@ packet: 64

//@ run: in-both
//@ needs: kernel-btf
//@ bind: prog=target.o
//@ codes: 4110

// The types of another kernel.
//@ run: kernel-btf
//@ bind: prog=target.o
//@ args: --kernel-btf other-kernel.o
//@ codes: 8111

// Without a name that the kernel's types are found by, there is nothing to relocate against.
//@ run: kernel-btf-missing
//@ args: --kernel-btf $TMP/nothing
//@ bind: prog=target.o
//@ error: nothing
