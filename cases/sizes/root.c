// Sizes that the machine decides: a ring buffer is a power of two of pages, a perf event array has an
// entry for each CPU.
#include "weld.h"

struct {
	NUM(type, 27);
	NUM(max_entries, 5000);
} ring SEC(".maps");

struct {
	NUM(type, 4);
	NUM(key_size, 4);
	NUM(value_size, 4);
} events SEC(".maps");

static void *(*const reserve)(void *ring, u64 size, u64 flags) = (void *)131;
static void (*const discard)(void *data, u64 flags) = (void *)133;
static long (*const event)(void *ctx, void *map, u64 flags, void *data, u64 size) = (void *)25;

SEC("xdp") int root(struct xdp_md *ctx)
{
	// More than 5000 bytes, less than 8192.
	void *entry = reserve(&ring, 6000, 0);
	u64 data = 0;
	long sent;

	if (!entry)
		return XDP_ABORTED;
	discard(entry, 0);
	// Nobody listens on this CPU's entry; there is one, though (-ENOENT, not -E2BIG).
	sent = event(ctx, &events, 0xffffffff, &data, sizeof(data));
	return sent == -2 ? XDP_PASS : XDP_DROP;
}

LICENSE("GPL");

//@ objects: root.o
//@ needs: kernel feature:ring-buffer

//@ run: rounded
//@ packet: 64
//@ verdicts: XDP_PASS
