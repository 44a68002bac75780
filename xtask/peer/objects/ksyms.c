/* Kernel symbols: typed and not, there and not, versions of functions told apart by type. */
#include "extra.h"

extern const int bpf_prog_active __ksym __weak;
extern const struct rq runqueues __ksym;
extern const void vfs_read __ksym;
extern const void bpf_link_fops1 __ksym __weak;
extern const int bpf_missing_typed __ksym __weak;
struct task_struct *bpf_task_from_pid(s32 pid) __ksym;
void bpf_task_release(struct task_struct *p) __ksym;
struct task_struct *bpf_task_from_pid___v2(s32 pid) __ksym __weak;
struct task_struct *bpf_task_from_pid___bad(s32 pid, int extra) __ksym __weak;
int bpf_no_such_kfunc(int x) __ksym __weak;
extern int LINUX_KERNEL_VERSION __kconfig;
int out;
u64 addr;
SEC("raw_tp/sched_switch") int typed(void *ctx) {
    const int *p = bpf_per_cpu_ptr(&bpf_prog_active, 0);
    if (&bpf_prog_active && p)
        out = *p;
    const struct rq *rq = bpf_this_cpu_ptr(&runqueues);
    out += rq->nr_running;
    return 0;
}

SEC("raw_tp/sched_switch") int typeless(void *ctx) {
    addr = (u64)&vfs_read;
    if (&bpf_link_fops1)
        addr = 3;
    if (&bpf_missing_typed)
        addr = 4;
    return 0;
}

SEC("syscall") int kf(void *ctx) {
    struct task_struct *t = bpf_task_from_pid(1);
    if (t)
        bpf_task_release(t);
    return 0;
}

SEC("syscall") int flav(void *ctx) {
    struct task_struct *t = 0;
    if (bpf_ksym_exists(bpf_task_from_pid___v2))
        t = bpf_task_from_pid___v2(1);
    if (t)
        bpf_task_release(t);
    return 0;
}

SEC("syscall") int badflav(void *ctx) {
    struct task_struct *t = 0;
    if (bpf_ksym_exists(bpf_task_from_pid___bad))
        t = bpf_task_from_pid___bad(1, 2);
    if (t)
        bpf_task_release(t);
    return 0;
}

SEC("syscall") int weakmissing(void *ctx) {
    if (bpf_ksym_exists(bpf_no_such_kfunc))
        return bpf_no_such_kfunc(3);
    return 0;
}

SEC("syscall") int weakunguarded(void *ctx) {
    return bpf_no_such_kfunc(3);
}
