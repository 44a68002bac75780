// Fault 2 of the RFC: externs were sorted with the functions first and looked up as if they came
// last, so a function was taken for a kconfig value. Here both kinds, interleaved by name and by use.
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

//@ run: interleaved
//@ objects: root.o
//@ bind: z_function=targets.o:one c_function=targets.o:three a_function=targets.o:two
//@ kconfig: CONFIG_B=7
//@ kconfig: CONFIG_D=9
//@ packet: 64
//@ codes: 91273

//@ run: interleaved-2019
//@ objects: old.o
//@ bind: z_function=targets.o:one c_function=targets.o:three a_function=targets.o:two
//@ kconfig: CONFIG_B=7
//@ kconfig: CONFIG_D=9
//@ packet: 64
//@ codes: 91273

//@ run: kinds
//@ command: inspect
//@ objects: root.o
//@ json: externs[name=a_function].kind == "function"
//@ json: externs[name=z_function].kind == "function"
//@ json: externs[name=CONFIG_B].kind ~ kconfig
//@ json: externs[name=CONFIG_D].kind ~ kconfig
