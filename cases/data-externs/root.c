// Variables and maps of other objects, found by name: what one object counts, the other reads.
#include "weld.h"

extern int count(struct xdp_md *ctx);
extern u32 packets;
extern u32 table[];
extern u64 nowhere WEAK;

extern struct {
	NUM(type, MAP_ARRAY);
	TYPE(key, u32);
	TYPE(value, u32);
	NUM(max_entries, 2);
} sizes __attribute__((section(".maps")));

SEC("xdp") int root(struct xdp_md *ctx)
{
	u32 key = 1, *size = map_lookup(&sizes, &key);
	int verdict = count(ctx);

	if (&nowhere)
		return 0;
	if (!size)
		return 1;
	return verdict * 100000 + *size * 1000 + table[2] * 10 + packets;
}

LICENSE("GPL");

//@ packet: 64 * 2

//@ run: shared
//@ objects: root.o counter.o
//@ codes: 764071 764072

// A static variable of the same name is nobody else's business.
//@ run: static-does-not-clash
//@ objects: root.o counter.o static.o
//@ codes: 764071 764072

//@ run: missing
//@ objects: root.o
//@ bind: count=static.o:other
//@ error: packets.*table|table.*packets|packets

//@ run: two-definitions
//@ objects: root.o counter.o counter2.o
//@ bind: count=counter.o:count
//@ error: extern (variable|map) .* two strong definitions: counter.o:.* and counter2.o

//@ run: other-type
//@ objects: root.o wrong.o
//@ error: packets.*differ in type

//@ run: inspect
//@ command: inspect
//@ objects: root.o
//@ json: externs[name=packets].kind == "variable"
//@ json: externs[name=sizes].kind == "map"
