/* One map of almost every type, initial values, what libbpf rounds and fills in. */
#include "extra.h"

int _version SEC("version") = 0x60102;

struct inner {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(max_entries, 1);
    __type(key, int);
    __type(value, int);
} in1 SEC(".maps"), in2 SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
    __uint(max_entries, 4);
    __uint(key_size, 4);
    __array(values, struct inner);
} outer SEC(".maps") = {.values = {(void *)&in1, 0, (void *)&in2}};

struct {
    __uint(type, BPF_MAP_TYPE_HASH_OF_MAPS);
    __uint(max_entries, 4);
    __type(key, int);
    __array(
        values, struct {
            __uint(type, BPF_MAP_TYPE_RINGBUF);
            __uint(max_entries, 4096);
        });
} houter SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
    __uint(max_entries, 2);
    __type(key, int);
    __array(
        values, struct {
            __uint(type, BPF_MAP_TYPE_ARRAY);
            __uint(map_flags, BPF_F_INNER_MAP);
            __uint(max_entries, 3);
            __type(key, int);
            __type(value, long);
        });
} dyn SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(max_entries, 7);
    __type(
        key, struct {
            int a;
            char b[5];
        });
    __type(value, long);
    __uint(map_flags, BPF_F_NO_PREALLOC);
    __uint(numa_node, 0);
} h SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_PERF_EVENT_ARRAY);
    __uint(key_size, 4);
    __uint(value_size, 4);
} pe SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_PERF_EVENT_ARRAY);
    __uint(max_entries, 1000);
    __type(key, int);
    __type(value, int);
} pe2 SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_RINGBUF);
    __uint(max_entries, 5000);
} rb SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_USER_RINGBUF);
    __uint(max_entries, 8192);
} urb SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_LRU_PERCPU_HASH);
    __uint(max_entries, 100);
    __type(key, u64);
    __type(value, u32);
} lru SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_LPM_TRIE);
    __uint(max_entries, 100);
    __type(
        key, struct {
            u32 l;
            u8 d[4];
        });
    __type(value, u32);
    __uint(map_flags, BPF_F_NO_PREALLOC);
} lpm SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_QUEUE);
    __uint(max_entries, 10);
    __uint(key_size, 0);
    __uint(value_size, 8);
} q SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_STACK);
    __uint(max_entries, 10);
    __type(value, u64);
} st SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_BLOOM_FILTER);
    __uint(max_entries, 10);
    __type(value, u64);
    __ulong(map_extra, 3);
} bl SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_SK_STORAGE);
    __uint(map_flags, BPF_F_NO_PREALLOC);
    __type(key, int);
    __type(value, u64);
} sks SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_CGRP_STORAGE);
    __uint(map_flags, BPF_F_NO_PREALLOC);
    __type(key, int);
    __type(value, u64);
} cgs SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_CPUMAP);
    __uint(max_entries, 10);
    __type(key, u32);
    __type(value, struct bpf_cpumap_val);
} cpu SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_DEVMAP_HASH);
    __uint(max_entries, 10);
    __type(key, u32);
    __type(value, struct bpf_devmap_val);
} dev SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_XSKMAP);
    __uint(max_entries, 10);
    __type(key, u32);
    __type(value, u32);
} xsk SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_SOCKHASH);
    __uint(max_entries, 10);
    __type(key, u32);
    __type(value, u64);
} sh SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_REUSEPORT_SOCKARRAY);
    __uint(max_entries, 10);
    __type(key, u32);
    __type(value, u64);
} rp SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_CGROUP_STORAGE);
    __type(key, struct bpf_cgroup_storage_key);
    __type(value, u64);
} cgst SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_STACK_TRACE);
    __uint(max_entries, 10);
    __uint(key_size, 4);
    __uint(value_size, 80);
} stk SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(max_entries, 3);
    __type(key, int);
    __type(value, int);
    __uint(pinning, LIBBPF_PIN_BY_NAME);
} pinned SEC(".maps");

struct val {
    struct bpf_spin_lock lock;
    int x;
    struct bpf_timer t;
};

struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(max_entries, 3);
    __type(key, int);
    __type(value, struct val);
} locked SEC(".maps");

SEC("xdp") int tail1(struct xdp_md *ctx) {
    return 1;
}

SEC("xdp") int tail2(struct xdp_md *ctx) {
    return 2;
}

struct {
    __uint(type, BPF_MAP_TYPE_PROG_ARRAY);
    __uint(max_entries, 4);
    __uint(key_size, 4);
    __array(values, int(struct xdp_md *));
} jmp SEC(".maps") = {.values = {[1] = (void *)&tail1, [3] = (void *)&tail2}};

#define L(m) r += (long)bpf_map_lookup_elem(&m, &k)
SEC("xdp") int use1(struct xdp_md *ctx) {
    int k = 0;
    void *i = bpf_map_lookup_elem(&outer, &k);
    if (i)
        bpf_map_lookup_elem(i, &k);
    i = bpf_map_lookup_elem(&houter, &k);
    i = bpf_map_lookup_elem(&dyn, &k);
    bpf_tail_call(ctx, &jmp, 1);
    return 0;
}

SEC("xdp") int use2(struct xdp_md *ctx) {
    struct {
        int a;
        char b[8];
    } k = {};

    u64 kk = 0;
    bpf_map_lookup_elem(&h, &k);
    bpf_map_lookup_elem(&lru, &kk);

    struct {
        u32 l;
        u8 d[4];
    } lk = {};

    bpf_map_lookup_elem(&lpm, &lk);
    bpf_map_lookup_elem(&pinned, &k);
    u64 v;
    bpf_map_pop_elem(&q, &v);
    bpf_map_pop_elem(&st, &v);
    bpf_map_peek_elem(&bl, &v);
    bpf_perf_event_output(ctx, &pe, 0, &v, 8);
    bpf_perf_event_output(ctx, &pe2, 0, &v, 8);
    return 0;
}

SEC("xdp") int use3(struct xdp_md *ctx) {
    u32 k = 0;
    void *r = bpf_ringbuf_reserve(&rb, 8, 0);
    if (r)
        bpf_ringbuf_discard(r, 0);
    bpf_redirect_map(&cpu, 0, 0);
    bpf_redirect_map(&dev, 0, 0);
    return bpf_redirect_map(&xsk, 0, 0);
}

SEC("xdp") int use4(struct xdp_md *ctx) {
    int k = 0;
    struct val *v = bpf_map_lookup_elem(&locked, &k);
    if (v) {
        bpf_spin_lock(&v->lock);
        v->x++;
        bpf_spin_unlock(&v->lock);
    }
    return 0;
}

SEC("cgroup/connect4") int use5(struct bpf_sock_addr *ctx) {
    bpf_get_local_storage(&cgst, 0);
    bpf_sk_storage_get(&sks, ctx->sk, 0, 0);
    return 1;
}

static long cb(struct bpf_dynptr *d, void *c) {
    return 0;
}

SEC("raw_tp/sched_switch") int use6(void *ctx) {
    bpf_user_ringbuf_drain(&urb, cb, 0, 0);
    bpf_get_stackid(ctx, &stk, 0);
    return 0;
}

SEC("sk_reuseport") int use7(struct sk_reuseport_md *ctx) {
    u32 k = 0;
    return bpf_sk_select_reuseport(ctx, &rp, &k, 0);
}

SEC("sk_msg") int use8(struct sk_msg_md *ctx) {
    u32 k = 0;
    return bpf_msg_redirect_hash(ctx, &sh, &k, 0);
}

struct {
    __uint(type, BPF_MAP_TYPE_PROG_ARRAY);
    __type(key, u32);
    __type(value, u32);
    __uint(max_entries, 3);
} typed_jumps SEC(".maps");

SEC("xdp") int use9(struct xdp_md *ctx) {
    bpf_tail_call(ctx, &typed_jumps, 1);
    return XDP_PASS;
}
