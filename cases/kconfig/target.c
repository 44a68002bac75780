// A target with kconfig externs, one of them of the root's name with another type: each instance
// has its own.
#include "weld.h"

extern u64 CONFIG_U16 KCONFIG;
extern char CONFIG_LETTER KCONFIG;

SEC("xdp") int target(struct xdp_md *ctx)
{
	return CONFIG_U16 * 10 + (CONFIG_LETTER == 'y');
}

LICENSE("GPL");
