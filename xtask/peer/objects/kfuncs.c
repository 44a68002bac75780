/* Kernel functions: iterators, trees, dynptrs, kptrs, casts. */
#include "extra.h"

int bpf_iter_num_new(struct bpf_iter_num *it, int start, int end) __weak __ksym;
int *bpf_iter_num_next(struct bpf_iter_num *it) __weak __ksym;
void bpf_iter_num_destroy(struct bpf_iter_num *it) __weak __ksym;
void *bpf_obj_new_impl(__u64 local_type_id, void *meta) __ksym;
void bpf_obj_drop_impl(void *kptr, void *meta) __ksym;
int bpf_rbtree_add_impl(struct bpf_rb_root *root, struct bpf_rb_node *node,
                        bool(less)(struct bpf_rb_node *a, const struct bpf_rb_node *b), void *meta,
                        __u64 off) __ksym;
void *bpf_rdonly_cast(const void *obj, __u32 btf_id) __ksym;
void *bpf_cast_to_kern_ctx(void *obj) __ksym;
int bpf_xdp_metadata_rx_hash(const struct xdp_md *ctx, u32 *hash, enum xdp_rss_hash_type *t) __ksym;
int bpf_dynptr_from_xdp(struct xdp_md *xdp, u64 flags, struct bpf_dynptr *ptr) __ksym;
void *bpf_dynptr_slice(const struct bpf_dynptr *p, u32 off, void *b, u32 s) __ksym;

struct wnode {
    struct bpf_rb_node n;
    int key;
};

#define private(name) SEC(".data." #name) __hidden __attribute__((aligned(8)))
#define __contains(name, node) __attribute__((btf_decl_tag("contains:" #name ":" #node)))
private(A) struct bpf_spin_lock lock;
private(A) struct bpf_rb_root root __contains(wnode, n);

static bool less(struct bpf_rb_node *a, const struct bpf_rb_node *b) {
    struct wnode *x = (void *)a, *y = (void *)b;
    return x->key < y->key;
}

SEC("tc") int rb(struct __sk_buff *s) {
    struct wnode *n = bpf_obj_new_impl(bpf_core_type_id_local(struct wnode), 0);
    if (!n)
        return 1;
    n->key = 3;
    bpf_spin_lock(&lock);
    bpf_rbtree_add_impl(&root, &n->n, less, 0, 0);
    bpf_spin_unlock(&lock);
    return 0;
}

SEC("tc") int it(struct __sk_buff *s) {
    int n = 0, *v;
    struct bpf_iter_num i;
    bpf_iter_num_new(&i, 0, 10);
    while ((v = bpf_iter_num_next(&i)))
        n += *v;
    bpf_iter_num_destroy(&i);
    return n;
}

SEC("tc") int cast(struct __sk_buff *s) {
    struct sk_buff *k = bpf_cast_to_kern_ctx(s);
    struct sk_buff *r = bpf_rdonly_cast(k->head, bpf_core_type_id_kernel(struct skb_shared_info));
    return k->len + r->len;
}

SEC("xdp") int md(struct xdp_md *x) {
    u32 h = 0;
    enum xdp_rss_hash_type t;
    return bpf_xdp_metadata_rx_hash(x, &h, &t);
}

SEC("xdp") int dp(struct xdp_md *x) {
    struct bpf_dynptr p;
    char b[16];
    bpf_dynptr_from_xdp(x, 0, &p);
    char *c = bpf_dynptr_slice(&p, 0, b, 16);
    return c ? c[0] : 0;
}

struct kv {
    struct task_struct __kptr *t;
};

struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(max_entries, 1);
    __type(key, int);
    __type(value, struct kv);
} km SEC(".maps");

struct task_struct *bpf_task_acquire(struct task_struct *p) __ksym;
void bpf_task_release(struct task_struct *p) __ksym;
struct task_struct *bpf_task_from_pid(s32 pid) __ksym;
SEC("syscall") int kp(void *c) {
    int k = 0;
    struct kv *v = bpf_map_lookup_elem(&km, &k);
    struct task_struct *t = bpf_task_from_pid(1), *o;
    if (!t)
        return 0;
    if (!v) {
        bpf_task_release(t);
        return 0;
    }
    o = bpf_kptr_xchg(&v->t, t);
    if (o)
        bpf_task_release(o);
    return 0;
}
