// Maps and programs that are switched off, or on.
#include "weld.h"

struct {
	NUM(type, MAP_ARRAY);
	TYPE(key, u32);
	TYPE(value, u64);
	NUM(max_entries, 1);
} table SEC(".maps");

// No kernel makes such a map.
struct {
	NUM(type, 9999);
	TYPE(key, u32);
	TYPE(value, u64);
	NUM(max_entries, 1);
} impossible SEC(".maps");

const volatile bool use = false;
u32 counted;

SEC("xdp") int guarded(struct xdp_md *ctx)
{
	u32 key = 0;

	if (use)
		return map_lookup(&impossible, &key) ? XDP_TX : XDP_DROP;
	return map_lookup(&table, &key) ? XDP_PASS : XDP_ABORTED;
}

SEC("xdp") int counts(struct xdp_md *ctx)
{
	counted++;
	return XDP_PASS;
}

SEC("?xdp") int optional(struct xdp_md *ctx)
{
	return XDP_PASS;
}

LICENSE("GPL");

//@ objects: root.o

//@ run: made
//@ entry: guarded
//@ packet: 64
//@ needs: kernel
//@ error: E0303.*map `impossible`

//@ run: off
//@ entry: guarded
//@ packet: 64
//@ args: --map impossible=off
//@ verdicts: XDP_PASS

//@ run: off-and-used
//@ entry: guarded
//@ packet: 64
//@ needs: kernel
//@ args: --map impossible=off --map root.o:table=off
//@ error: root.o:guarded at .*root.c:[0-9]+:[0-9]+ uses map `table`, which is switched off
//@ error: hint: switch it on: --map NAME=on

//@ run: variables-off
//@ entry: counts
//@ packet: 64
//@ needs: kernel
//@ args: --map .bss=off
//@ error: uses map `.bss`, which is switched off

//@ run: no-such-map
//@ entry: counts
//@ packet: 64
//@ args: --map tabel=off
//@ documents: E0227

//@ run: some-programs
//@ command: check
//@ args: --program guarded=off
//@ json: programs[*].name == ["counts"]

//@ run: others
//@ command: check
//@ args: --program guarded=off --program root.o:optional=on --program counts=off
//@ json: programs[*].name == ["optional"]

//@ run: no-such-program
//@ command: check
//@ args: --program optinal=on
//@ error: E0209.*optional
