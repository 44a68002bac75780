// Maps as the user wants them: a program that counts entries shows how many there may be.
#include "weld.h"

struct {
	NUM(type, MAP_ARRAY);
	TYPE(key, u32);
	TYPE(value, u64);
	NUM(max_entries, 1);
} table SEC(".maps");

u32 grows[1] SEC(".data.grows") = { 3 };

SEC("xdp") int root(struct xdp_md *ctx)
{
	u32 key = 4;

	return map_lookup(&table, &key) ? XDP_PASS : XDP_DROP + grows[0] - 3;
}

LICENSE("GPL");

//@ objects: root.o
//@ packet: 64
//@ needs: kernel

//@ run: as-defined
//@ verdicts: XDP_DROP

//@ run: more-entries
//@ args: --map table=entries:5
//@ verdicts: XDP_PASS

//@ run: of-an-instance
//@ args: --map root.o:table=entries:5 --map .data.grows=value-size:8
//@ verdicts: XDP_PASS

//@ run: no-such-map
//@ args: --map tabel=entries:5
//@ error: map `tabel`.* no program refers to such a map; there are: .*root.o:table

//@ run: too-small
//@ args: --map .data.grows=value-size:2
//@ error: its variables have 4 bytes, which do not fit into 2

//@ run: nothing-to-change
//@ args: --map table=larger
//@ exit: 2
//@ error: --map table=larger: it does not say what to change

//@ run: no-such-pin
//@ args: --map table=reuse:/sys/fs/bpf/no-such-pin
//@ error: /sys/fs/bpf/no-such-pin cannot be opened as a pinned map
