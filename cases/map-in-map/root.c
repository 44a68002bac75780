// Maps of maps with initial values, in root and target: the slots hold the maps of the same
// instance.
#include "weld.h"

extern int prog(struct xdp_md *ctx);

struct inner {
	NUM(type, MAP_ARRAY);
	TYPE(key, u32);
	TYPE(value, u64);
	NUM(max_entries, 1);
} mine SEC(".maps");

struct {
	NUM(type, MAP_ARRAY_OF_MAPS);
	NUM(max_entries, 2);
	TYPE(key, u32);
	VALUES(struct inner);
} outer SEC(".maps") = { .values = { [1] = &mine } };

SEC("xdp") int root(struct xdp_md *ctx)
{
	u32 one = 1, zero = 0;
	void *inner = map_lookup(&outer, &one);
	u64 *n;

	if (!inner || map_lookup(&outer, &zero))
		return 1;
	n = map_lookup(inner, &zero);
	if (!n)
		return 2;
	*n += 1;
	// The same map by its own name.
	n = map_lookup(&mine, &zero);
	return prog(ctx) * 100 + (n ? *n : 90);
}

LICENSE("GPL");

//@ objects: root.o
//@ packet: 64 * 3

//@ run: in-both
//@ bind: prog=target.o:prog
//@ codes: 1001 2002 3003

//@ run: two-instances
//@ object: a=target.o b=target.o
//@ bind: prog=pair.o:pair pair.o:first=a pair.o:second=b
//@ codes: 11001 21002 32003
