// Kernel symbols as externs: a function of the kernel, a typed variable, addresses without a type. They
// are the kernel's, so no object of the link stands behind them; weak ones may be missing.
#include "weld.h"

extern int prog(struct xdp_md *ctx);
extern const void bpf_prog_alloc KSYM WEAK;
extern void bpf_rcu_read_lock(void) KSYM;
extern void bpf_rcu_read_unlock(void) KSYM;
extern const void no_such_symbol KSYM WEAK;
extern const int no_such_variable KSYM WEAK;
extern u64 no_such_kfunc(void) KSYM WEAK;

// A function that may be missing, behind its guard.
SEC("xdp") int missing(struct xdp_md *ctx)
{
	if (no_such_kfunc)
		return no_such_kfunc();
	return (&no_such_symbol != 0) + (&no_such_variable != 0) * 2 + prog(ctx);
}

SEC("xdp") int there(struct xdp_md *ctx)
{
	return &bpf_prog_alloc != 0;
}

SEC("xdp") int calls(struct xdp_md *ctx)
{
	bpf_rcu_read_lock();
	bpf_rcu_read_unlock();
	return prog(ctx) + 100;
}

LICENSE("GPL");

//@ objects: root.o
//@ packet: 64
//@ needs: kernel-btf

//@ run: weak-and-missing
//@ entry: missing
//@ bind: prog=target.o:target
//@ codes: 10

//@ run: address
//@ needs: kernel
//@ entry: there
//@ codes: 1

// Called from the root and from a target. (Linux 6.2 brought the two.)
//@ run: kernel-function
//@ needs: feature:kfuncs kernel-symbol:bpf_rcu_read_lock
//@ entry: calls
//@ bind: prog=target.o:target_calls
//@ codes: 130

//@ run: strong-and-missing
//@ documents: E0305
//@ entry: there
//@ objects: strong.o
//@ error: surely_no_such_symbol

//@ run: inspect
//@ command: inspect
//@ json: externs[name=no_such_kfunc].weak == true
//@ json: externs[name=no_such_kfunc].kind ~ kernel
//@ json: externs[name=no_such_symbol].kind ~ sym
//@ json: externs[name=prog].kind == "function"
