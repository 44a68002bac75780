// A member that asks the driver about packets, which only a program bound to an interface may. Used by the
// tests of chains, crates/cli/tests/xdp.
#include "weld.h"

extern int bpf_xdp_metadata_rx_timestamp(const struct xdp_md *ctx, u64 *timestamp) KSYM;

u64 asked;

SEC("xdp") int hints(struct xdp_md *ctx)
{
	u64 timestamp = 0;

	bpf_xdp_metadata_rx_timestamp(ctx, &timestamp);
	asked++;
	return XDP_PASS;
}

LICENSE("GPL");

//@ objects: hints.o
//@ needs: feature:xdp-dev-bound
//@ run: only-where-bound
//@ command: check
//@ error: device-bound
