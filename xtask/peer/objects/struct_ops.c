/* Tables of functions for the kernel: by link and not, a flavour, a function in two of them. */
#include "extra.h"

struct tcp_congestion_ops___small {
    u32 (*ssthresh)(struct sock *sk);
    void (*cong_avoid)(struct sock *sk, u32 ack, u32 acked);
    u32 (*undo_cwnd)(struct sock *sk);
    char name[16];
} __attribute__((preserve_access_index));

SEC("struct_ops") u32 BPF_PROG(ssthresh, struct sock *sk) {
    return 2;
}

SEC("struct_ops/whatever") void BPF_PROG(avoid, struct sock *sk, u32 ack,
                                                              u32 acked) {}
SEC("?struct_ops") u32 BPF_PROG(undo, struct sock *sk) {
    return 3;
}

SEC("struct_ops.s") u32 BPF_PROG(sleepy, struct sock *sk) {
    return 3;
}

SEC("struct_ops") u32 BPF_PROG(unused, struct sock *sk) {
    return 3;
}

SEC(".struct_ops.link") struct tcp_congestion_ops ca = {
    .ssthresh = (void *)ssthresh,
    .cong_avoid = (void *)avoid,
    .undo_cwnd = (void *)undo,
    .name = "weld_ca"};
SEC("?.struct_ops.link") struct tcp_congestion_ops___small ca2 = {
    .ssthresh = (void *)ssthresh,
    .cong_avoid = (void *)avoid,
    .undo_cwnd = (void *)undo,
    .name = "weld_ca2"};
SEC(".struct_ops") struct tcp_congestion_ops ca3 = {.ssthresh = (void *)sleepy,
                                                                         .name = "weld_ca3"};
