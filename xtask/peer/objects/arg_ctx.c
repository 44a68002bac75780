/* Global functions that take the context of any program (`arg:ctx`) and pointers that are not null.
 */
#include "extra.h"

#define __arg_ctx __attribute__((btf_decl_tag("arg:ctx")))
#define __arg_nonnull __attribute__((btf_decl_tag("arg:nonnull")))
#define __arg_trusted __attribute__((btf_decl_tag("arg:trusted")))
#define __arg_untrusted __attribute__((btf_decl_tag("arg:untrusted")))

__noinline int anyctx(void *ctx __arg_ctx) {
    return ctx != 0;
}

__noinline int typed(struct xdp_md *ctx __arg_ctx) {
    return ctx->ingress_ifindex;
}

__noinline int nn(int *p __arg_nonnull) {
    return *p;
}

__noinline int two(void *ctx __arg_ctx, int *p __arg_nonnull) {
    return anyctx(ctx) + *p;
}

__noinline int pt(struct pt_regs *ctx __arg_ctx) {
    return anyctx(ctx);
}

__weak int weakctx(void *ctx __arg_ctx) {
    return anyctx(ctx) + 1;
}

SEC("xdp") int x(struct xdp_md *ctx) {
    int v = 3;
    return anyctx(ctx) + typed(ctx) + two(ctx, &v) + weakctx(ctx);
}

SEC("tc") int t(struct __sk_buff *ctx) {
    int v = 3;
    return anyctx(ctx) + nn(&v) + two(ctx, &v);
}

SEC("kprobe/foo") int k(struct pt_regs *ctx) {
    return anyctx(ctx) + pt(ctx);
}

SEC("tp/sched/sched_switch") int tp(void *ctx) {
    return anyctx(ctx);
}

SEC("raw_tp/sched_switch") int rtp(void *ctx) {
    return anyctx(ctx);
}

SEC("perf_event") int pe(struct bpf_perf_event_data *ctx) {
    return anyctx(ctx);
}

SEC("tp_btf/sched_switch") int tb(u64 *ctx) {
    return anyctx(ctx);
}

SEC("cgroup/connect4") int c4(struct bpf_sock_addr *ctx) {
    return anyctx(ctx);
}

SEC("socket") int so(struct __sk_buff *ctx) {
    return anyctx(ctx);
}

SEC("fentry/vfs_read") int fe(u64 *ctx) {
    return anyctx(ctx);
}

SEC("iter/task") int it(struct bpf_iter__task *ctx) {
    return anyctx(ctx);
}

SEC("struct_ops/x") int so_(u64 *ctx) {
    return anyctx(ctx);
}
