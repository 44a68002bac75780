// A member with a map that the kernel takes with its types only: there is a lock in its values.
#include "weld.h"

struct bpf_spin_lock {
	u32 val;
};

struct account {
	struct bpf_spin_lock lock;
	u32 unused;
	u64 n;
};

struct {
	NUM(type, MAP_ARRAY);
	TYPE(key, u32);
	TYPE(value, struct account);
	NUM(max_entries, 1);
} accounts SEC(".maps");

static long (*spin_lock)(struct bpf_spin_lock *lock) = (void *)93;
static long (*spin_unlock)(struct bpf_spin_lock *lock) = (void *)94;

SEC("xdp") int locked(struct xdp_md *ctx)
{
	u32 zero = 0;
	struct account *account = map_lookup(&accounts, &zero);

	if (!account)
		return XDP_ABORTED;
	spin_lock(&account->lock);
	account->n++;
	spin_unlock(&account->lock);
	return XDP_PASS;
}

LICENSE("GPL");

//@ objects: locked.o
//@ packet: 64
//@ run: locked-alone
//@ verdicts: XDP_PASS
