// Targets that take more than the context: five scalars, a pointer to a struct on the root's stack,
// no argument at all.
#include "weld.h"

struct pair {
	u32 a, b;
};

extern int sum(int a, int b, int c, int d, int e);
extern int fold(struct pair *pair);
extern int constant(void);

SEC("xdp") int root(struct xdp_md *ctx)
{
	struct pair pair = { ctx->data_end - ctx->data, 2 };

	return sum(1, 2, 3, 4, 5) * 10000 + fold(&pair) * 10 + constant();
}

LICENSE("GPL");

//@ objects: root.o
//@ bind: sum=target.o:sum fold=target.o:fold constant=target.o:constant
//@ packet: 64

// 55 * 10000 + (64 + 2 * 7) * 10 + 9
//@ run: global
//@ codes: 550789

//@ run: static
//@ args: --static-functions
//@ codes: 550789
