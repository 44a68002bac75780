#include "weld.h"

extern const int no_such_variable KSYM WEAK;

SEC("xdp") int target(struct xdp_md *ctx)
{
	return &no_such_variable ? 20 : 10;
}

extern void bpf_rcu_read_lock(void) KSYM;
extern void bpf_rcu_read_unlock(void) KSYM;

SEC("xdp") int target_calls(struct xdp_md *ctx)
{
	bpf_rcu_read_lock();
	bpf_rcu_read_unlock();
	return 30;
}

LICENSE("GPL");
