// A helper for GPL-compatible programs only, in an object that is alone and not under such a licence:
// the verifier says so.
#include "weld.h"

SEC("xdp") int says(struct xdp_md *ctx)
{
	static const char text[] = "packet";

	trace_printk(text, sizeof(text));
	return XDP_PASS;
}

LICENSE("Proprietary");

//@ objects: licence.o
//@ command: check
//@ needs: kernel

//@ run: licence
//@ documents: E0414
