#include "weld.h"

#define CORE __attribute__((preserve_access_index))
#define EXISTS(field) __builtin_preserve_field_info(field, 2)
#define SIZE(field) __builtin_preserve_field_info(field, 1)

// Something in front, so that ids and strings differ from the root's.
struct file_that_is_not_there {
	long first, second;
} CORE;

// A flavour: the part from three underscores on does not count.
struct task_struct___mine {
	int tgid;
} CORE;

SEC("xdp") int target(struct xdp_md *ctx)
{
	struct file_that_is_not_there *file = NULL;
	struct task_struct___mine *task = NULL;

	return SIZE(task->tgid) * 10 + EXISTS(task->tgid) + EXISTS(file->second);
}

LICENSE("GPL");
