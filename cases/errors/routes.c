// What the engine is told on the command line: routes, a seed, a number of CPUs.
#include "weld.h"

struct lookup {
	u8 family, protocol;
	be16 sport, dport;
	u16 length;
	u32 ifindex, tos;
	be32 source[4], destination[4];
	be16 vlan_proto, vlan_tci;
	u8 smac[6], dmac[6];
};

HELPER(69, long, fib_lookup, void *ctx, struct lookup *params, int size, u32 flags);

/* The interface that 10.1.2.3 goes by, and the last byte of its next hop's address. */
SEC("xdp") int route(struct xdp_md *ctx)
{
	struct lookup params = { .family = 2, .ifindex = 1 };

	params.destination[0] = be32_of(0x0a010203);
	if (fib_lookup(ctx, &params, sizeof(params), 0))
		return 0;
	return params.ifindex * 256 + params.dmac[5];
}

SEC("xdp") int chance(struct xdp_md *ctx)
{
	return prandom_u32() & 0xffff;
}

LICENSE("GPL");

//@ objects: routes.o
//@ needs: nothing
//@ args: --engine engine
//@ packet: 64

//@ run: no-routes
//@ entry: route
//@ codes: 0

//@ run: routes
//@ entry: route
//@ file: table = text 10.1.0.0/16 dev 7 via 192.0.2.1 from 2:0:0:0:0:1 to 2:0:0:0:0:9
//@ args: --routes $TMP/table
//@ codes: 1801

//@ run: bad-routes
//@ entry: route
//@ file: table = text 10.1.0.0/16 dev
//@ args: --routes $TMP/table
//@ error: E0002.*line 1.*dev

//@ run: seed
//@ entry: chance
//@ args: --seed 5 --cpus 4
//@ packet: 64
//@ codes: 50010 14072

//@ run: cpus
//@ entry: chance
//@ args: --cpus 5000
//@ exit: 2
//@ error: 1024
