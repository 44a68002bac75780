#include "weld.h"

static NOINLINE SEC("xdp") int near(int x)
{
	OPAQUE(x);
	return x + 3;
}

SEC("xdp") int first(struct xdp_md *ctx)
{
	return near(30);
}

static NOINLINE SEC("xdp") int far(int x)
{
	OPAQUE(x);
	return near(x) + 3;
}

SEC("xdp") int last(struct xdp_md *ctx)
{
	return far(50);
}

LICENSE("GPL");
