// Exception callbacks and externs that make no sense.
#include "weld.h"

extern int somewhere;

__attribute__((btf_decl_tag("exception_callback:nobody")))
SEC("xdp") int throws(struct xdp_md *ctx)
{
	return XDP_PASS;
}

SEC("xdp") int reads(struct xdp_md *ctx)
{
	return somewhere;
}

LICENSE("GPL");

//@ objects: objects.o
//@ command: check
//@ needs: nothing

//@ run: exception-callback
//@ entry: throws
//@ documents: E0216

//@ run: not-a-function
//@ bind: somewhere=objects.o:throws
//@ documents: E0203
