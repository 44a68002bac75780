// What a linker leaves of a weak function that lost: code that belongs to no symbol.
#include "weld.h"

asm(".section xdp, \"ax\", @progbits\n"
    "r0 = 66\n"
    "exit\n"
    "r0 = 77\n"
    "exit\n");

SEC("xdp") int behind(struct xdp_md *ctx)
{
	return 9;
}

LICENSE("GPL");
