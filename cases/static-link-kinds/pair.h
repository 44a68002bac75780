#include "weld.h"

/* Two objects that need each other, for both byte orders. */
#ifdef FIRST
extern int other(u32 x);
extern u32 shared;
u64 mine = 0x1122334455667788;

SEC("xdp") int first(struct xdp_md *ctx)
{
	return other(7) + shared;
}
#else
extern u64 mine;
u32 shared = 0x01020304;
u32 *volatile place = &shared;

static NOINLINE int local(u32 x)
{
	OPAQUE(x);
	return x + 1;
}

int other(u32 x)
{
	return local(x) + (int)mine;
}
#endif

LICENSE("GPL");
