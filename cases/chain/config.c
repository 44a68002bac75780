// Says in its metadata how it wants to run, as libxdp's `XDP_RUN_CONFIG` has it.
#include "weld.h"

struct {
	NUM(priority, 10);
	NUM(XDP_PASS, 0);
	NUM(XDP_DROP, 1);
} _early SEC(".xdp_run_config");

SEC("xdp") int early(struct xdp_md *ctx)
{
	return unknown(XDP_DROP);
}

LICENSE("GPL");

//@ objects: config.o
//@ packet: 64
//@ run: the-metadata-is-no-map
//@ verdicts: XDP_DROP
