// What old objects have and libbpf has dropped: map definitions in the section `maps`, entry programs
// that are static. Both are taken, with a note.
#include "weld.h"

extern int prog(struct xdp_md *ctx);

struct old_definition {
	u32 type;
	u32 key_size;
	u32 value_size;
	u32 max_entries;
	u32 map_flags;
};

struct old_definition SEC("maps") packets = { MAP_ARRAY, 4, 8, 1, 0 };

SEC("xdp") static int root(struct xdp_md *ctx)
{
	u32 key = 0;
	u64 *count = map_lookup(&packets, &key);

	if (!count)
		return XDP_ABORTED;
	*count += 1;
	return *count == 2 ? prog(ctx) : XDP_PASS;
}

LICENSE("GPL");

//@ objects: root.o
//@ bind: prog=target.o

//@ run: loaded
//@ packet: 64 * 3
//@ verdicts: XDP_PASS XDP_DROP XDP_PASS
//@ warning: note: root.o: section maps: old-style map definitions
//@ warning: note: target.o: function drops is static

//@ run: checked
//@ command: check
//@ warning: note: root.o: function root is static

//@ run: pinned
//@ command: load
//@ warning: note: root.o: section maps: old-style map definitions

//@ run: told
//@ command: inspect
//@ json: notes[*] ~ old-style map definitions
//@ stdout: old-style map definitions.*static|static.*old-style map definitions
