// Values of the kernel's configuration as externs: every type, weak ones, the kernel's version.
// The text is the runs' own (--kconfig); one run takes the running kernel's.
#include "weld.h"

extern bool CONFIG_BOOL KCONFIG;
extern enum libbpf_tristate CONFIG_TRI KCONFIG;
extern char CONFIG_CHAR KCONFIG;
extern u8 CONFIG_U8 KCONFIG;
extern s8 CONFIG_S8 KCONFIG;
extern u16 CONFIG_U16 KCONFIG;
extern s16 CONFIG_S16 KCONFIG;
extern u32 CONFIG_U32 KCONFIG;
extern s32 CONFIG_S32 KCONFIG;
extern u64 CONFIG_U64 KCONFIG;
extern s64 CONFIG_S64 KCONFIG;
extern char CONFIG_TEXT[8] KCONFIG;
extern const typeof(int) CONFIG_QUALIFIED KCONFIG;

extern bool CONFIG_WEAK_BOOL KCONFIG WEAK;
extern u64 CONFIG_WEAK_INT KCONFIG WEAK;
extern char CONFIG_WEAK_TEXT[4] KCONFIG WEAK;

extern u32 LINUX_KERNEL_VERSION KCONFIG;
extern bool CONFIG_BPF_SYSCALL KCONFIG;

#define PROGRAM(name, expression)               \
	SEC("xdp") int get_##name(struct xdp_md *ctx) \
	{                                           \
		return expression;                      \
	}

PROGRAM(bool, CONFIG_BOOL)
PROGRAM(tri, CONFIG_TRI)
PROGRAM(char, CONFIG_CHAR)
PROGRAM(u8, CONFIG_U8)
PROGRAM(s8, CONFIG_S8)
PROGRAM(u16, CONFIG_U16)
PROGRAM(s16, CONFIG_S16)
PROGRAM(u32, CONFIG_U32)
PROGRAM(s32, CONFIG_S32)
PROGRAM(u64, CONFIG_U64 >> 32)
PROGRAM(s64, CONFIG_S64 >> 32)
PROGRAM(text, CONFIG_TEXT[0] << 24 | CONFIG_TEXT[1] << 16 | CONFIG_TEXT[2] << 8 | CONFIG_TEXT[7])
PROGRAM(qualified, CONFIG_QUALIFIED)
PROGRAM(weak, CONFIG_WEAK_BOOL + CONFIG_WEAK_INT + CONFIG_WEAK_TEXT[0])
PROGRAM(version, LINUX_KERNEL_VERSION >= 0x040f00 && LINUX_KERNEL_VERSION < 0x630000)
PROGRAM(running, CONFIG_BPF_SYSCALL)
PROGRAM(both, CONFIG_U8 * 1000 + CONFIG_U16)

LICENSE("GPL");

//@ objects: root.o
//@ packet: 64

//@ run: bool-y
//@ entry: get_bool
//@ kconfig: CONFIG_BOOL=y
//@ codes: 1

//@ run: bool-n
//@ entry: get_bool
//@ kconfig: CONFIG_BOOL=n
//@ codes: 0

// A comment, an empty line and a value for nobody are passed over.
//@ run: bool-among-others
//@ entry: get_bool
//@ kconfig: # Automatically generated file
//@ kconfig:
//@ kconfig: CONFIG_BOOLEAN=n
//@ kconfig: CONFIG_OTHER="text"
//@ kconfig: CONFIG_BOOL=y
//@ codes: 1

//@ run: bool-m
//@ documents: E0304
//@ entry: get_bool
//@ kconfig: CONFIG_BOOL=m
//@ error: CONFIG_BOOL

//@ run: bool-number
//@ entry: get_bool
//@ kconfig: CONFIG_BOOL=1
//@ codes: 1

//@ run: bool-number-over
//@ entry: get_bool
//@ kconfig: CONFIG_BOOL=2
//@ error: CONFIG_BOOL.*2

// Absent and not weak.
//@ run: bool-missing
//@ entry: get_bool
//@ kconfig: # CONFIG_BOOL is not set
//@ error: CONFIG_BOOL

//@ run: tristate-m
//@ entry: get_tri
//@ kconfig: CONFIG_TRI=m
//@ codes: 2

//@ run: tristate-y
//@ entry: get_tri
//@ kconfig: CONFIG_TRI=y
//@ codes: 1

//@ run: tristate-text
//@ entry: get_tri
//@ kconfig: CONFIG_TRI="m"
//@ error: CONFIG_TRI

//@ run: char-m
//@ entry: get_char
//@ kconfig: CONFIG_CHAR=m
//@ codes: 109

//@ run: char-number
//@ entry: get_char
//@ kconfig: CONFIG_CHAR=65
//@ codes: 65

//@ run: char-out-of-range
//@ entry: get_char
//@ kconfig: CONFIG_CHAR=300
//@ error: CONFIG_CHAR.*300

//@ run: u8-max
//@ entry: get_u8
//@ kconfig: CONFIG_U8=255
//@ codes: 255

//@ run: u8-over
//@ entry: get_u8
//@ kconfig: CONFIG_U8=256
//@ error: CONFIG_U8.*256

//@ run: u8-negative
//@ entry: get_u8
//@ kconfig: CONFIG_U8=-1
//@ error: CONFIG_U8.*-1

// -128 as the 32 bits that a verdict is.
//@ run: s8-min
//@ entry: get_s8
//@ kconfig: CONFIG_S8=-128
//@ codes: 4294967168

//@ run: s8-under
//@ entry: get_s8
//@ kconfig: CONFIG_S8=-129
//@ error: CONFIG_S8.*-129

//@ run: u16-hexadecimal
//@ entry: get_u16
//@ kconfig: CONFIG_U16=0xFFFF
//@ codes: 65535

//@ run: u16-over
//@ entry: get_u16
//@ kconfig: CONFIG_U16=0x10000
//@ error: CONFIG_U16

//@ run: s16-max
//@ entry: get_s16
//@ kconfig: CONFIG_S16=32767
//@ codes: 32767

//@ run: s16-over
//@ entry: get_s16
//@ kconfig: CONFIG_S16=32768
//@ error: CONFIG_S16

//@ run: u32-max
//@ entry: get_u32
//@ kconfig: CONFIG_U32=4294967295
//@ codes: 4294967295

//@ run: u32-over
//@ entry: get_u32
//@ kconfig: CONFIG_U32=4294967296
//@ error: CONFIG_U32

//@ run: s32-min
//@ entry: get_s32
//@ kconfig: CONFIG_S32=-2147483648
//@ codes: 2147483648

//@ run: u64-max
//@ entry: get_u64
//@ kconfig: CONFIG_U64=0xffffffffffffffff
//@ codes: 4294967295

//@ run: u64-over
//@ entry: get_u64
//@ kconfig: CONFIG_U64=18446744073709551616
//@ error: CONFIG_U64

//@ run: s64-min
//@ entry: get_s64
//@ kconfig: CONFIG_S64=-9223372036854775808
//@ codes: 2147483648

//@ run: int-tristate
//@ entry: get_u32
//@ kconfig: CONFIG_U32=y
//@ error: CONFIG_U32

//@ run: int-text
//@ entry: get_u32
//@ kconfig: CONFIG_U32="12"
//@ error: CONFIG_U32

//@ run: int-nonsense
//@ entry: get_u32
//@ kconfig: CONFIG_U32=12abc
//@ error: CONFIG_U32.*12abc

//@ run: int-empty
//@ entry: get_u32
//@ kconfig: CONFIG_U32=
//@ error: CONFIG_U32

//@ run: text
//@ entry: get_text
//@ kconfig: CONFIG_TEXT="abc"
//@ codes: 1633837824

// Cut to what fits, the zero byte behind it stays.
//@ run: text-cut
//@ entry: get_text
//@ kconfig: CONFIG_TEXT="abcdefghij"
//@ codes: 1633837824
//@ warning: CONFIG_TEXT

//@ run: text-empty
//@ entry: get_text
//@ kconfig: CONFIG_TEXT=""
//@ codes: 0

//@ run: text-unquoted
//@ entry: get_text
//@ kconfig: CONFIG_TEXT=abc
//@ error: CONFIG_TEXT

//@ run: qualified
//@ entry: get_qualified
//@ kconfig: CONFIG_QUALIFIED=77
//@ codes: 77

//@ run: weak-missing
//@ entry: get_weak
//@ kconfig: # nothing
//@ codes: 0

//@ run: weak-there
//@ entry: get_weak
//@ kconfig: CONFIG_WEAK_BOOL=y
//@ kconfig: CONFIG_WEAK_INT=20
//@ kconfig: CONFIG_WEAK_TEXT="A"
//@ codes: 86

// The kernel's version comes from the kernel, whatever the text says.
//@ run: version
//@ entry: get_version
//@ kconfig: # nothing
//@ codes: 1

// Two values of different size in one map.
//@ run: two-values
//@ entry: get_both
//@ kconfig: CONFIG_U16=500
//@ kconfig: CONFIG_U8=7
//@ codes: 7500

// Both that are missing are named, not the first alone.
//@ run: two-missing
//@ entry: get_both
//@ kconfig: # nothing
//@ error: CONFIG_U8.*CONFIG_U16|CONFIG_U16.*CONFIG_U8

//@ run: inspect
//@ command: inspect
//@ json: externs[name=CONFIG_BOOL].weak == false
//@ json: externs[name=CONFIG_WEAK_BOOL].weak == true
//@ json: externs[name=CONFIG_TEXT].type ~ char CONFIG_TEXT\[8\]
