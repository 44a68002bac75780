// Kernel symbols that are nowhere, and what a program attaches to: the refusal says where they were looked for.
#include "weld.h"

extern void surely_no_such_function(void) KSYM;
extern void surely_no_weak_function(void) KSYM WEAK;
extern const int surely_no_such_variable KSYM;

SEC("xdp") int calls(struct xdp_md *ctx)
{
	surely_no_such_function();
	return XDP_PASS;
}

SEC("xdp") int calls_weakly(struct xdp_md *ctx)
{
	surely_no_weak_function();
	return XDP_PASS;
}

SEC("xdp") int reads(struct xdp_md *ctx)
{
	return surely_no_such_variable;
}

SEC("fentry/surely_no_such_function") int traces(void *ctx)
{
	return 0;
}

LICENSE("GPL");

//@ objects: nowhere.o
//@ needs: kernel-btf kernel

//@ run: function
//@ needs: feature:kfuncs
//@ command: check
//@ entry: calls
//@ error: `surely_no_such_function`: no BTF has a function of that name \(searched vmlinux(;| and the module)

//@ run: weak-function
//@ needs: feature:kfuncs
//@ command: check
//@ entry: calls_weakly
//@ error: E0417.*calls_weakly at .* calls the weak kernel function `surely_no_weak_function` without asking .* no BTF has one of that name \(searched vmlinux(;| and the module)
//@ error: hint: call it behind `if \(bpf_ksym_exists

//@ run: variable
//@ command: check
//@ entry: reads
//@ error: `surely_no_such_variable`: no BTF has a variable of that name \(searched vmlinux(;| and the module)

//@ run: attach-target
//@ command: check
//@ entry: traces
//@ error: E0306.*attaches to `surely_no_such_function`, but no BTF has `surely_no_such_function` \(searched vmlinux.*\); check the name
