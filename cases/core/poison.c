// A member that the kernel does not have: its access cannot be reached behind a question whether it exists,
// and where it can, the verifier's refusal is explained.
#include "weld.h"

#define CORE __attribute__((preserve_access_index))
#define EXISTS(field) __builtin_preserve_field_info(field, 2)

struct task_struct {
	int pid;
	int no_such_member;
} CORE;

static NOINLINE int read(struct task_struct *task)
{
	return task->no_such_member;
}

SEC("xdp") int guarded(struct xdp_md *ctx)
{
	struct task_struct *task = (void *)ctx;

	return EXISTS(task->no_such_member) ? read(task) : 3;
}

SEC("xdp") int reached(struct xdp_md *ctx)
{
	return read((void *)ctx);
}

LICENSE("GPL");

//@ objects: poison.o
//@ needs: kernel-btf kernel
//@ packet: 64

//@ run: guarded
//@ entry: guarded
//@ codes: 3

//@ run: reached
//@ entry: reached
//@ error: byte offset of struct task_struct, member no_such_member \(0:1\) does not fit
//@ error: hint: ask first whether the kernel has it: bpf_core_field_exists
//@ without: --bind
