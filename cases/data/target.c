#include "weld.h"

u32 in_data[3] = { 100, 200, 50 };
const volatile u32 in_rodata[2] = { 8, 9 };
u32 in_bss[2];
u32 in_own_data SEC(".data.own") = 30;

static NOINLINE u32 letters(const char *text, u32 n)
{
	u32 sum = 0;

	OPAQUE(text);
	for (u32 i = 0; i < 4; i++)
		sum += text[i];
	return sum + n;
}

SEC("xdp") int prog(struct xdp_md *ctx)
{
	// A table of constants, copied to the stack from .rodata.cst*: which entry is not known.
	u64 table[4] = { 3, 5, 7, 11 };
	u32 at = ctx->data_end - ctx->data;
	const char *text = in_bss[1] ? "behind" : "abcd";

	in_bss[1] += 2;
	in_data[2] += 50;
	in_own_data += 3;
	// 97 + 98 + 99 + 100 = 394; "beh" + 'i' = 98 + 101 + 104 + 105 = 408
	return letters(text, 0) + in_data[2] + in_own_data + in_rodata[1] + in_bss[1] +
	       table[at & 3] * 0 + table[(at >> 4) & 3] * 48;
}

LICENSE("GPL");
