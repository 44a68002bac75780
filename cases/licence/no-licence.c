#include "weld.h"

SEC("xdp") int plain(struct xdp_md *ctx)
{
	return 7;
}
