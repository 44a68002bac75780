/* CO-RE: flavours, what is not there, bitfields, enumerators, types that match. */
#include "extra.h"

struct task_struct___x {
    int pid;
    int nosuch;

    struct {
        int deep;
    } nest;
} __attribute__((preserve_access_index));

struct nosuch_t {
    int a;
} __attribute__((preserve_access_index));

union bpf_attr___u {
    int map_type;
} __attribute__((preserve_access_index));

enum bpf_map_type___x { BPF_MAP_TYPE_HASH___x = 100, BPF_MAP_TYPE_NONE___x = 101 };

enum e64 { BIG = 0xffffffffffULL };

typedef struct {
    int counter;
} atomic_t___x;

struct sk_buff___y {
    unsigned int len;
    u8 pkt_type : 3;
    u8 ip_summed : 2;
    unsigned char *head;
} __attribute__((preserve_access_index));

struct list_head___z {
    struct list_head___z *next;
} __attribute__((preserve_access_index));

int o;
long lo;
SEC("raw_tp/sched_switch") int prog_a(u64 *ctx) {
    struct task_struct___x *t = (void *)ctx[1];
    o = BPF_CORE_READ(t, pid);
    if (bpf_core_field_exists(t->nosuch))
        o = BPF_CORE_READ(t, nosuch);
    o += bpf_core_field_size(t->pid) + bpf_core_field_offset(t->pid);
    o += bpf_core_type_exists(struct nosuch_t) + bpf_core_type_size(struct task_struct) +
         bpf_core_type_matches(struct list_head___z) + bpf_core_type_exists(atomic_t___x) +
         bpf_core_type_exists(union bpf_attr___u);
    o += bpf_core_enum_value_exists(enum bpf_map_type___x, BPF_MAP_TYPE_HASH___x) +
         bpf_core_enum_value(enum bpf_map_type___x, BPF_MAP_TYPE_HASH___x) +
         bpf_core_enum_value_exists(enum bpf_map_type___x, BPF_MAP_TYPE_NONE___x);
    lo = bpf_core_type_id_kernel(struct sk_buff);
    return 0;
}

SEC("raw_tp/sched_switch") int prog_b(u64 *ctx) {
    struct sk_buff___y *s = (void *)ctx[0];
    o = BPF_CORE_READ_BITFIELD_PROBED(s, pkt_type) + BPF_CORE_READ_BITFIELD_PROBED(s, ip_summed) +
        BPF_CORE_READ(s, len);
    lo = (long)BPF_CORE_READ(s, head);
    return 0;
}

SEC("raw_tp/sched_switch") int unguarded(u64 *ctx) {
    struct task_struct___x *t = (void *)ctx[1];
    o = BPF_CORE_READ(t, nest.deep);
    return 0;
}

SEC("tp_btf/sched_switch") int BPF_PROG(d, bool p, struct task_struct *prev,
                                                             struct task_struct *next) {
    o = prev->pid + next->mm->mm_users.counter;
    return 0;
}

SEC("raw_tp/sched_switch") int c(u64 *ctx) {
    struct task_struct *t = (void *)ctx[1];
    o = BPF_CORE_READ(t, mm, mm_users.counter) + BPF_CORE_READ(t, signal, rlim[3].rlim_cur) +
        BPF_CORE_READ(t, comm[2]);
    char cm[16];
    BPF_CORE_READ_STR_INTO(&cm, t, group_leader, comm);
    return cm[0];
}
