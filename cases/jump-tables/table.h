#include "weld.h"

int first(int x);

/* A function that jumps to one of three places. */
#define JUMPS(name)                                                                                \
	asm(".section .text\n"                                                                     \
	    ".globl " #name "\n"                                                                   \
	    ".type " #name ", @function\n" #name ":\n"                                             \
	    "r1 <<= 3\n"                                                                           \
	    "r2 = BPF.JT.0.0 ll\n"                                                                 \
	    "r2 += r1\n"                                                                           \
	    "r2 = *(u64 *)(r2 + 0)\n"                                                              \
	    ".byte 0x0d, 2, 0, 0, 0, 0, 0, 0\n" /* gotox r2 */                                     \
	    ".L0" #name ":\n"                                                                      \
	    "r0 = 5\n"                                                                             \
	    "exit\n"                                                                               \
	    ".L1" #name ":\n"                                                                      \
	    "r0 = 17\n"                                                                            \
	    "exit\n"                                                                               \
	    ".L2" #name ":\n"                                                                      \
	    "r0 = 3\n"                                                                             \
	    "exit\n"                                                                               \
	    ".size " #name ", .-" #name "\n"                                                       \
	    ".section .jumptables, \"\", @progbits\n"                                              \
	    ".globl BPF.JT.0.0\n"                                                                  \
	    ".type BPF.JT.0.0, @object\n"                                                          \
	    "BPF.JT.0.0:\n"                                                                        \
	    ".quad .L0" #name "-.text\n"                                                           \
	    ".quad .L1" #name "-.text\n"                                                           \
	    ".quad .L2" #name "-.text\n"                                                           \
	    ".size BPF.JT.0.0, 24\n"                                                               \
	    ".text\n");
