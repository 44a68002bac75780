// A section whose name stands for no program type.
#include "weld.h"

SEC("xpd") int root(struct xdp_md *ctx)
{
	return XDP_PASS;
}

LICENSE("GPL");

//@ run: unknown-section
//@ objects: section.o
//@ needs: kernel
//@ command: check
//@ error: section `xpd` stands for no program type; the nearest names that do: .*\bxdp\b
