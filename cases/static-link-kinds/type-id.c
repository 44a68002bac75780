// The id of a type in an instruction; what comes first in a link gives it another one. tests/corpus.rs of
// the linker compares.
#include "weld.h"

struct looked_for {
	u64 a;
	u64 b;
};

SEC("xdp") int ids(struct xdp_md *ctx)
{
	u64 id = __builtin_btf_type_id(*(struct looked_for *)0, 0);

	return id > 1 ? XDP_PASS : XDP_ABORTED;
}

LICENSE("GPL");
