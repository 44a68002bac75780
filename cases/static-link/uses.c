// Names what defines.c has, and replaces its weak function.
#include "state.h"

extern struct {
	NUM(type, MAP_HASH);
	TYPE(key, u32);
	TYPE(value, struct state);
	NUM(max_entries, 8);
} states MAPS;

extern int limit;
extern u64 total[4];
extern int bump(int x);
extern int kept_inside(int x);
static volatile int counter = 1;

static NOINLINE int add(int x)
{
	return x + counter;
}

NOINLINE int which(void)
{
	struct state *state;
	u32 key = 0;

	state = map_lookup(&states, &key);
	if (state)
		return XDP_DROP;
	return XDP_PASS;
}

SEC("xdp") int uses(struct xdp_md *ctx)
{
	// 7 + 3 + 100
	if (bump(7) != 110 || total[1] != 7)
		return XDP_ABORTED;
	// 20 + 1
	if (add(20) != 21 || limit != 5)
		return XDP_ABORTED;
	// 100 + 5
	if (kept_inside(limit) != 105)
		return XDP_ABORTED;
	return which();
}

LICENSE("GPL");

//@ objects: $TMP/all.o
//@ packet: 64

//@ run: uses-first
//@ linked: all.o = uses.o defines.o
//@ verdicts: XDP_PASS
//@ lines: uses.c defines.c

//@ run: defines-first
//@ linked: all.o = defines.o uses.o
//@ verdicts: XDP_PASS

//@ run: linked-again
//@ linked: first.o = uses.o defines.o
//@ linked: all.o = $TMP/first.o
//@ verdicts: XDP_PASS

//@ run: stripped
//@ linked: all.o = uses.o defines.o unused.o --strip-unreachable
//@ verdicts: XDP_PASS

//@ run: externs-stay-externs-over-two-links
//@ linked: half.o = uses.o
//@ linked: again.o = $TMP/half.o
//@ linked: all.o = defines.o $TMP/again.o
//@ verdicts: XDP_PASS

//@ run: statics-are-told-apart
//@ command: inspect
//@ linked: all.o = uses.o defines.o
//@ json: data[name=.data].variables[*].name == ["counter", "limit", "counter_2"]

//@ run: the-stricter-licence
//@ command: inspect
//@ linked: all.o = unused.o uses.o defines.o
//@ json: license == "GPL"

//@ run: nobody-reaches-it
//@ command: inspect
//@ linked: all.o = uses.o defines.o unused.o --strip-unreachable
//@ json: functions[*].name lacks "unused"
//@ json: maps[*].name lacks "unused_map"
//@ json: maps[*].name == ["states"]
//@ json: data[*].variables[*].name lacks "only_unused"
//@ json: data[name=.bss].variables[*].name == ["total"]

//@ run: all-is-there-otherwise
//@ command: inspect
//@ linked: all.o = uses.o defines.o unused.o
//@ json: data[name=.bss].variables[*].name == ["total", "only_unused"]

//@ run: told-of-the-licence
//@ command: link
//@ objects: uses.o defines.o unused.o
//@ args: -o $TMP/out.o
//@ warning: the licence of the output is "GPL", as the stricter one; unused.o has "Dual BSD/GPL"

//@ run: another-map
//@ documents: E0904
//@ command: link
//@ objects: defines.o other-map.o
//@ args: -o $TMP/out.o
//@ error: map `states` is not the same in defines.o and in other-map.o: map_extra is 0x0 and 0x4
//@ error: defines.o: `struct \{ int \(\*type\)\[1\]; .* states`
//@ error: other-map.o: .* at .*other-map.c:\d+: state = map_lookup

//@ run: another-type
//@ documents: E0903
//@ command: link
//@ objects: defines.o other-type.o
//@ args: -o $TMP/out.o
//@ error: `bump` is not the same in defines.o and in other-type.o
//@ error: defines.o: `int bump\(int x\)` at .*defines.c:\d+: 
//@ error: other-type.o: `int bump\(u64\)` at .*other-type.c:\d+: return bump\(x\)

//@ run: defined-twice
//@ documents: E0902
//@ command: link
//@ objects: defines.o twice.o
//@ args: -o $TMP/out.o
//@ error: `bump` is defined in defines.o and in twice.o
//@ error: defines.o: `int bump\(int x\)` at .*defines.c:\d+: 
//@ error: twice.o: `int bump\(int x\)` at .*twice.c:\d+: 
//@ error: --localize 'twice.o:bump'

//@ run: nothing-is-written-then
//@ command: link
//@ objects: defines.o twice.o
//@ args: -o /dev/full
//@ error: is defined in

//@ run: all-errors-at-once
//@ command: link
//@ objects: defines.o twice.o other-map.o other-type.o
//@ args: -o $TMP/out.o --keep-going
//@ error: is defined in defines.o and in twice.o
//@ error: map_extra is 0x0 and 0x4
//@ error: `bump` is not the same

//@ run: made-local
//@ linked: all.o = uses.o defines.o twice.o --localize twice.o:b*mp
//@ verdicts: XDP_PASS

//@ run: renamed
//@ linked: all.o = uses.o defines.o twice.o --rename twice.o:bump=bumped
//@ verdicts: XDP_PASS

//@ run: renamed-what-is-not-there
//@ documents: E0908
//@ command: link
//@ objects: uses.o defines.o
//@ args: -o $TMP/out.o --rename defines.o:bumb=x
//@ error: defines.o has no symbol `bumb`; did you mean `bump`

//@ run: cannot-be-written
//@ command: link
//@ objects: uses.o defines.o
//@ args: -o /nowhere/out.o
//@ error: cannot write /nowhere/out.o

//@ run: json-and-object-on-one-stream
//@ command: link
//@ objects: uses.o
//@ args: -o -
//@ exit: 2

//@ run: byte-orders
//@ documents: E0901
//@ command: link
//@ objects: uses.o ../big-endian/big.o
//@ args: -o $TMP/out.o
//@ error: uses.o is little-endian, ../big-endian/big.o is big-endian

//@ run: licences
//@ documents: E0905
//@ command: link
//@ objects: ../licence/gpl.o ../licence/proprietary.o
//@ args: -o $TMP/out.o
//@ error: proprietary.o has the licence "Proprietary", ../licence/gpl.o has "GPL v2": .* `traces` of the second calls bpf_trace_printk
//@ error: gpl.o: `char license_\[\] = "GPL v2"` at .*gpl.c:\d+: trace_printk
