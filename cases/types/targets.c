#include "weld.h"

struct pair {
	u32 a, b;
};
struct other {
	u32 a, b;
};
struct opaque {
	u32 a, b;
};

int two_parameters(struct xdp_md *ctx, int x)
{
	return unknown(x);
}

int no_parameter(void)
{
	return unknown(1);
}

int returns_int(int x)
{
	return unknown(x);
}

void returns_void(int x)
{
	OPAQUE(x);
}

int takes_u64(u64 x)
{
	return unknown(x);
}

int takes_u32(u32 x)
{
	return unknown(x) + 1;
}

int takes_pair(struct pair *p)
{
	return p ? p->a + p->b : 0;
}

int takes_const_pair(const struct pair *p)
{
	return p ? p->a + p->b + 1 : 0;
}

int takes_other(struct other *p)
{
	return p ? p->a : 0;
}

int takes_opaque(struct opaque *p)
{
	return p ? p->a + p->b * 5 + 1 : 0;
}

enum xdp_action returns_action(struct xdp_md *ctx)
{
	return unknown(XDP_PASS);
}

int takes_context(struct xdp_md *ctx)
{
	return unknown(30);
}

LICENSE("GPL");
