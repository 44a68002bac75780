// Extern functions as the compilers of 2019 wrote them: a VAR of linkage extern whose type is a
// FUNC_PROTO, in a DATASEC `.extern` that has no ELF section and the size 0. The kernel takes
// neither, so a load shows that neither is uploaded. A map, so that the object has other DATASECs,
// which moved when the types were rewritten.
//@ extern-2019
#include "weld.h"

extern int prog1(struct xdp_md *ctx);
extern int prog2(struct xdp_md *ctx);

struct {
	NUM(type, MAP_ARRAY);
	TYPE(key, u32);
	TYPE(value, u64);
	NUM(max_entries, 1);
} packets SEC(".maps");

SEC("xdp") int dispatcher(struct xdp_md *ctx)
{
	u32 key = 0;
	u64 *n = map_lookup(&packets, &key);

	if (!n)
		return 0;
	(*n)++;
	return *n * 100 + prog1(ctx) * 10 + prog2(ctx);
}

LICENSE("GPL");

//@ objects: root.o

//@ run: bound
//@ bind: prog1=one.o:one prog2=old.o:two
//@ packet: 64 * 2
//@ codes: 112 212
//@ functions: dispatcher one two
//@ lines: root.c one.c old.c

// The prototype is known, so it is compared as in today's encoding.
//@ run: wrong-prototype
//@ bind: prog1=one.o:one prog2=one.o:no_context
//@ packet: 64
//@ error: prog2
//@ error: no_context

//@ run: unbound
//@ bind: prog1=one.o:one
//@ packet: 64
//@ error: prog2
//@ error: root\.c:\d+

//@ run: inspect
//@ command: inspect
//@ json: externs[*].name == ["prog1","prog2"]
//@ json: externs[*].kind == ["function","function"]
//@ json: externs[0].weak == false
//@ json: externs[0].type ~ int prog1\(struct xdp_md \*
