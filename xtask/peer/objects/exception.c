/* Exceptions and their callbacks. */
#include "extra.h"

#define __exception_cb(name) __attribute__((btf_decl_tag("exception_callback:" #name)))
void bpf_throw(u64 cookie) __ksym;

__noinline int exception_cb(u64 cookie) {
    bpf_printk("%d", (int)cookie);
    return cookie + 5;
}

__noinline int exception_cb2(u64 cookie) {
    return 7;
}

static __noinline int sub(int x) {
    if (x > 3)
        bpf_throw(9);
    return x;
}

__noinline int global_thrower(struct __sk_buff *ctx) {
    if (ctx->mark)
        bpf_throw(1);
    return 0;
}

SEC("tc") __exception_cb(exception_cb) int with_cb(struct __sk_buff *ctx) {
    return sub(ctx->len);
}

SEC("tc") __exception_cb(exception_cb2) int with_cb2(struct __sk_buff *ctx) {
    return sub(ctx->len) + global_thrower(ctx);
}

SEC("tc") int without(struct __sk_buff *ctx) {
    return sub(ctx->len);
}

SEC("tc") __exception_cb(exception_cb) int calls_cb(struct __sk_buff *ctx) {
    return exception_cb(ctx->len);
}
