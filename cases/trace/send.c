#include "weld.h"

struct {
	NUM(type, 14); // BPF_MAP_TYPE_DEVMAP
	NUM(key_size, 4);
	NUM(value_size, 4);
	NUM(max_entries, 4);
} ports SEC(".maps");

// The map has nothing at 1, so the lower bits of the flags are the verdict; then somewhere else.
SEC("xdp") int to_map(struct xdp_md *ctx)
{
	if (redirect_map(&ports, 1, XDP_PASS) == XDP_REDIRECT)
		return XDP_REDIRECT;
	return redirect(7, 0);
}

LICENSE("GPL");
