// Kernels that know less: each run treats one feature as missing. The BTF is then mended before it is
// uploaded, functions go in as static ones and so on; the verdicts stay the same. (What a missing
// feature makes impossible is told in the last runs.)
#include "weld.h"

extern int prog(struct xdp_md *ctx);

struct tagged {
	u32 plain;
	u32 __attribute__((btf_type_tag("kind"))) *pointer;
} __attribute__((btf_decl_tag("whole")));

enum signs { NEGATIVE = -1, POSITIVE = 1 };

struct {
	NUM(type, MAP_ARRAY);
	TYPE(key, u32);
	TYPE(value, struct tagged);
	NUM(max_entries, 1);
} values SEC(".maps");

double unused_float = 1.5;
enum signs sign = NEGATIVE;
const volatile u32 factor = 1000;
static u32 calls;

static NOINLINE int helper(int x)
{
	OPAQUE(x);
	return x * factor;
}

SEC("xdp") int root(struct xdp_md *ctx)
{
	u32 key = 0;
	struct tagged *value = map_lookup(&values, &key);

	if (!value)
		return 0;
	value->plain += 2;
	calls++;
	return helper(prog(ctx)) + value->plain * 10 + calls + sign;
}

LICENSE("GPL");

//@ objects: root.o
//@ bind: prog=target.o
//@ packet: 64 * 2

//@ run: all-there
//@ codes: 45020 88041

//@ run: no-btf-func
//@ args: --without btf-func
//@ codes: 45020 88041

//@ run: no-btf-datasec
//@ args: --without btf-datasec
//@ codes: 45020 88041

//@ run: no-btf-func-global
//@ args: --without btf-func-global
//@ codes: 45020 88041

//@ run: no-btf-float
//@ args: --without btf-float
//@ codes: 45020 88041

//@ run: no-btf-decl-tag
//@ args: --without btf-decl-tag
//@ codes: 45020 88041

//@ run: no-btf-type-tag
//@ args: --without btf-type-tag
//@ codes: 45020 88041

//@ run: no-btf-enum64
//@ args: --without btf-enum64
//@ codes: 45020 88041

//@ run: no-btf-enum-kflag
//@ args: --without btf-enum-kflag
//@ codes: 45020 88041

//@ run: no-btf-tag-kflag
//@ args: --without btf-tag-kflag
//@ codes: 45020 88041

//@ run: no-func-info
//@ args: --without func-info
//@ codes: 45020 88041

//@ run: no-btf-at-all
//@ args: --without btf
//@ codes: 45020 88041

//@ run: no-global-functions
//@ args: --without global-functions
//@ codes: 45020 88041

//@ run: no-names
//@ args: --without names
//@ codes: 45020 88041

//@ run: no-expected-attach-type
//@ args: --without expected-attach-type
//@ codes: 45020 88041

//@ run: no-map-freeze
//@ args: --without map-freeze --without mmapable-array
//@ codes: 45020 88041

//@ run: no-memcg-accounting
//@ args: --without memcg-accounting --without fd-array
//@ codes: 45020 88041

// Before 5.11 maps and programs count as locked memory; bpfweld raises the limit.
//@ run: no-locked-memory
//@ no-memlock
//@ codes: 45020 88041

// As a kernel of 5.2 might look.
//@ run: nothing-but-calls-and-data
//@ args: --without btf-func-global --without btf-float --without btf-decl-tag --without btf-type-tag
//@ args: --without btf-enum64 --without btf-enum-kflag --without btf-tag-kflag --without global-functions
//@ args: --without func-pointers --without bpf-loop --without kfuncs --without mmapable-array
//@ args: --without fd-array --without xdp-frags --without sleepable --without bpf-link
//@ codes: 45020 88041

// Without this there is no way to load it; the error names what the kernel lacks.

//@ run: no-global-data
//@ needs: kernel
//@ args: --without global-data
//@ error: global data|global-data|global variables

//@ run: no-calls
//@ documents: E0307
//@ needs: kernel
//@ args: --without bpf-calls
//@ error: calls between BPF functions

//@ run: unknown-feature
//@ args: --without no-such-feature
//@ exit: 2
//@ error: no-such-feature
