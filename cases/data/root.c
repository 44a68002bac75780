// Every kind of data section, in root and target alike: .data, .rodata, .bss, sections of one's own
// name, string literals and constants that the compiler puts into sections without symbols and
// without a DATASEC. The values show that each reference reaches its own byte.
#include "weld.h"

extern int prog(struct xdp_md *ctx);

u32 in_data[3] = { 1, 2, 3 };
const volatile u32 in_rodata[2] = { 4, 5 };
u32 in_bss[2];
static u32 hidden_in_bss;
u32 in_own_data SEC(".data.own") = 6;
u32 in_own_bss SEC(".bss.own");
const volatile u32 in_own_rodata SEC(".rodata.own") = 7;

SEC("xdp") int root(struct xdp_md *ctx)
{
	in_data[2] += 10;
	in_bss[1] += 1;
	hidden_in_bss += 2;
	in_own_bss += 3;
	in_own_data += 1;
	return prog(ctx) * 100000 + in_data[2] * 1000 + in_rodata[1] * 100 + in_bss[1] + hidden_in_bss +
	       in_own_data + in_own_bss + in_own_rodata;
}

LICENSE("GPL");

//@ objects: root.o
//@ bind: prog=target.o:prog
//@ packet: 64 * 2

// root: 13 * 1000 + 500 + 1 + 2 + 7 + 3 + 7, then 23 * 1000 + 500 + 2 + 4 + 8 + 6 + 7
//@ run: all-sections
//@ codes: 68213520 75123527

//@ run: all-sections-static
//@ args: --static-functions
//@ codes: 68213520 75123527

//@ run: inspect
//@ command: inspect
//@ json: data[name=.data].size == 12
//@ json: data[name=.rodata].size == 8
//@ json: data[name=.data.own].size == 4
//@ json: data[name=.rodata.own].size == 4
