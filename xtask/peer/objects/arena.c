/* Variables and pages of an arena. */
#include "extra.h"

#define __arena __attribute__((address_space(1)))

struct {
    __uint(type, BPF_MAP_TYPE_ARENA);
    __uint(map_flags, BPF_F_MMAPABLE);
    __uint(max_entries, 10);
    __ulong(map_extra, 1ull << 44);
} arena SEC(".maps");

void __arena *bpf_arena_alloc_pages(void *map, void __arena *addr, __u32 page_cnt, int node_id,
                                    __u64 flags) __ksym __weak;
int __arena counter = 7;
long __arena more[10];
int plain;
SEC("syscall") int use(void *ctx) {
    int __arena *p = bpf_arena_alloc_pages(&arena, 0, 1, -1, 0);
    if (!p)
        return 1;
    *p = counter;
    more[3] = 5;
    plain = 3;
    return 0;
}

SEC("syscall") int globals_only(void *ctx) {
    counter++;
    more[2]++;
    return counter;
}

SEC("syscall") int none(void *ctx) {
    return plain;
}
