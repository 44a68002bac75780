#include "weld.h"

struct counter {
	NUM(type, MAP_ARRAY);
	TYPE(key, u32);
	TYPE(value, u32);
	NUM(max_entries, 1);
};

#define M(n) struct counter m##n SEC(".maps");
#define TEN(d, do) do(d##0) do(d##1) do(d##2) do(d##3) do(d##4) do(d##5) do(d##6) do(d##7) do(d##8) do(d##9)
#define ALL(do) TEN(0, do) TEN(1, do) TEN(2, do) do(30) do(31) do(32)
ALL(M)

SEC("xdp") int count_all(struct xdp_md *ctx)
{
	u32 key = 0, *value, sum = 0;
#define ADD(n)                       \
	value = map_lookup(&m##n, &key); \
	if (value)                       \
		sum += *value + 1;
	ALL(ADD)
	return sum;
}

LICENSE("GPL");
