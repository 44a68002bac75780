// A kconfig extern of a type that no value has.
#include "weld.h"

struct pair {
	int a, b;
};

extern const struct pair CONFIG_PAIR KCONFIG;

SEC("xdp") int root(struct xdp_md *ctx)
{
	return CONFIG_PAIR.a;
}

LICENSE("GPL");

//@ objects: kconfig.o
//@ command: check
//@ needs: nothing

//@ run: kconfig-type
//@ documents: E0113
