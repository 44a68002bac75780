//@ cflags: -O2 -g0
#include "weld.h"

#define F(n)                              \
	static NOINLINE int f##n(int x)       \
	{                                     \
		OPAQUE(x);                        \
		return x + 1##n - 1000;           \
	}
#define TEN(d, do) do(d##0) do(d##1) do(d##2) do(d##3) do(d##4) do(d##5) do(d##6) do(d##7) do(d##8) do(d##9)
#define ALL(do)                                                                                    \
	TEN(00, do) TEN(01, do) TEN(02, do) TEN(03, do) TEN(04, do) TEN(05, do) TEN(06, do) TEN(07, do) \
	TEN(08, do) TEN(09, do) TEN(10, do) TEN(11, do) TEN(12, do)
ALL(F)

SEC("xdp") int hundred_and_thirty(struct xdp_md *ctx)
{
	int x = 0;
#define CALL(n) x = f##n(x);
	ALL(CALL)
	return x;
}

LICENSE("GPL");
