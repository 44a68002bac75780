// The same in the encoding that the RFC dealt with.
//@ extern-2019
#include "weld.h"

extern int a_function(struct xdp_md *ctx);
extern u32 CONFIG_B KCONFIG;
extern int c_function(struct xdp_md *ctx);
extern u64 CONFIG_D KCONFIG;
extern int z_function(struct xdp_md *ctx);

SEC("xdp") int root(struct xdp_md *ctx)
{
	return CONFIG_D * 10000 + z_function(ctx) * 1000 + a_function(ctx) * 100 + CONFIG_B * 10 +
	       c_function(ctx);
}

LICENSE("GPL");



