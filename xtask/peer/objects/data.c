/* Data sections of every name, hidden and static variables, functions of every linkage, callbacks.
 */
#include "extra.h"

const volatile int ro = 5;
static const volatile int sro = 6;
int zero;
int init = 9;
static int sinit = 10;
static int szero;
int d1 SEC(".data.foo") = 4;
int d2 SEC(".data.foo.bar") = 6;
const volatile int r1 SEC(".rodata.foo") = 8;
int b1 SEC(".bss.foo");
static int sb SEC(".bss.stat");
static int sd SEC(".data.stat") = 3;
__hidden int hid = 11;

struct {
    int a;
    long b[3];
    char c;
} st = {1, {2, 3, 4}, 5};

char str[] = "hello";
const char *ptr = "pointer";
static const char fmt[] = "x %d";
int *pp = &init;
const volatile char big[300] = "a";
int arr[1000];
static volatile const int tbl[] = {1, 2, 3, 4};

__noinline int f1(int x) {
    return x + zero;
}

static __noinline int f2(int x) {
    sinit += x;
    return f1(x) + tbl[x & 3];
}

__weak int f3(int x) {
    return x * 2;
}

__hidden __noinline int f4(int x) {
    return x * 3 + init;
}

SEC("xdp") int prog_a(struct xdp_md *ctx) {
    st.b[1] += ro + sro + init;
    szero++;
    d1++;
    d2++;
    b1 += r1;
    sb++;
    sd++;
    bpf_printk("%s %d", str, hid);
    return f1(1) + f2(2) + f3(3) + f4(4) + arr[ctx->ingress_ifindex & 511];
}

SEC("xdp") int prog_b(struct xdp_md *ctx) {
    bpf_trace_printk(fmt, sizeof fmt, 3);
    return f2(ctx->ingress_ifindex) + big[3];
}

SEC("xdp.frags") int c(struct xdp_md *ctx) {
    int *p = (int *)ptr;
    return p ? f3(1) : f4(2);
}

static long cb(u32 i, void *c) {
    *(int *)c += i;
    return f1(i) > 5;
}

static long cb2(u32 i, void *c) {
    return cb(i, c);
}

SEC("tc") int l(struct __sk_buff *s) {
    int n = 0;
    bpf_loop(10, cb, &n, 0);
    bpf_loop(3, cb2, &n, 0);
    return n;
}

SEC("tcx/ingress") int sw(struct __sk_buff *s) {
    switch (s->len) {
    case 1:
        return f1(2);
    case 2:
        return f2(3);
    case 3:
        return 7;
    case 4:
        return 9;
    case 5:
        return 11;
    default:
        return 0;
    }
}
