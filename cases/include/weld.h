/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * What the test cases need of BPF, and nothing else: section attributes, map definitions, the
 * contexts that programs get, packet headers, helper declarations.
 *
 * Written for this project from the kernel's ABI (numbers, field order, sizes), so that the cases
 * need a compiler and no other header, and compile to the same bytes on every machine. What is
 * missing here is added here; a case does not include anything else.
 */
#ifndef WELD_H
#define WELD_H

typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;
typedef signed char s8;
typedef short s16;
typedef int s32;
typedef long long s64;
typedef u16 be16;
typedef u32 be32;

#ifndef NULL
#define NULL ((void *)0)
#endif
#define bool _Bool
#define true 1
#define false 0

/* Attributes ------------------------------------------------------------------------------------ */

#define SEC(name) __attribute__((section(name), used))
#define ALWAYS_INLINE inline __attribute__((always_inline))
#define NOINLINE __attribute__((noinline))
#define WEAK __attribute__((weak))
#define HIDDEN __attribute__((visibility("hidden")))
/* Externs that the loader fills in: values of the kernel's configuration, kernel symbols. */
#define KCONFIG __attribute__((section(".kconfig")))
#define KSYM __attribute__((section(".ksyms")))

/* Keeps the compiler from knowing a value, and so from folding a call away. */
#define OPAQUE(x) asm volatile("" : "+r"(x))

#define LICENSE(text) char license_[] SEC("license") = text

/* Map definitions --------------------------------------------------------------------------------
 * The shapes that loaders read from BTF: a number is the length of an array that the member points
 * to, a type is what the member points to, a list of initial values is a flexible array of pointers.
 */
#define NUM(field, value) int(*field)[value]
#define TYPE(field, t) __typeof__(t) *field
#define VALUES(t) __typeof__(t) *values[]

enum {
	MAP_HASH = 1,
	MAP_ARRAY = 2,
	MAP_PROG_ARRAY = 3,
	MAP_PERCPU_ARRAY = 6,
	MAP_ARRAY_OF_MAPS = 12,
	MAP_HASH_OF_MAPS = 13,
	MAP_RINGBUF = 27,
};

/* Contexts and verdicts -------------------------------------------------------------------------- */

struct xdp_md {
	u32 data;
	u32 data_end;
	u32 data_meta;
	u32 ingress_ifindex;
	u32 rx_queue_index;
	u32 egress_ifindex;
};

enum xdp_action { XDP_ABORTED, XDP_DROP, XDP_PASS, XDP_TX, XDP_REDIRECT };

/* Only the front of it; the kernel goes by the name and the offsets. */
struct __sk_buff {
	u32 len;
	u32 pkt_type;
	u32 mark;
	u32 queue_mapping;
	u32 protocol;
	u32 vlan_present;
	u32 vlan_tci;
	u32 vlan_proto;
	u32 priority;
	u32 ingress_ifindex;
	u32 ifindex;
	u32 tc_index;
	u32 cb[5];
	u32 hash;
	u32 tc_classid;
	u32 data;
	u32 data_end;
};

enum { TC_ACT_OK = 0, TC_ACT_RECLASSIFY = 1, TC_ACT_SHOT = 2 };

/* The name is the ABI: by it a loader knows that the value is one of n, y, m. */
enum libbpf_tristate { TRI_NO = 0, TRI_YES = 1, TRI_MODULE = 2 };

/* Packets ---------------------------------------------------------------------------------------- */

struct ethhdr {
	u8 dest[6];
	u8 source[6];
	be16 proto;
} __attribute__((packed));

struct iphdr {
	u8 version_ihl;
	u8 tos;
	be16 total_len;
	be16 id;
	be16 frag_off;
	u8 ttl;
	u8 protocol;
	u16 check;
	be32 saddr;
	be32 daddr;
};

struct udphdr {
	be16 source;
	be16 dest;
	be16 len;
	u16 check;
};

struct tcphdr {
	be16 source;
	be16 dest;
	be32 seq;
	be32 ack_seq;
	be16 flags;
	be16 window;
	u16 check;
	be16 urgent;
};

enum { ETH_P_IP = 0x0800, ETH_P_ARP = 0x0806, ETH_P_IPV6 = 0x86dd };
enum { PROTO_ICMP = 1, PROTO_TCP = 6, PROTO_UDP = 17 };

#define swap16(x) ((u16)__builtin_bswap16(x))
#define swap32(x) ((u32)__builtin_bswap32(x))
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
#define be16_of(x) swap16(x)
#define be32_of(x) swap32(x)
#else
#define be16_of(x) (x)
#define be32_of(x) (x)
#endif

/* Helpers, by their number in the kernel's ABI --------------------------------------------------- */

#define HELPER(number, ret, name, ...) \
	__attribute__((unused)) static ret (*const name)(__VA_ARGS__) = (void *)(number)

HELPER(1, void *, map_lookup, void *map, const void *key);
HELPER(2, long, map_update, void *map, const void *key, const void *value, u64 flags);
HELPER(5, u64, ktime_ns, void);
/* Only for programs under a GPL-compatible licence. */
HELPER(6, long, trace_printk, const char *fmt, u32 size, ...);
HELPER(7, u32, prandom_u32, void);
HELPER(8, u32, smp_processor_id, void);
HELPER(12, long, tail_call, void *ctx, void *prog_array, u32 index);
HELPER(26, long, skb_load_bytes, const void *skb, u32 offset, void *to, u32 len);
HELPER(44, long, xdp_adjust_head, struct xdp_md *ctx, int delta);
HELPER(54, long, xdp_adjust_meta, struct xdp_md *ctx, int delta);
HELPER(65, long, xdp_adjust_tail, struct xdp_md *ctx, int delta);
HELPER(118, u64, jiffies64, void);
HELPER(131, void *, ringbuf_reserve, void *ringbuf, u64 size, u64 flags);
HELPER(181, long, loop, u32 times, void *callback, void *ctx, u64 flags);
HELPER(189, long, xdp_load_bytes, struct xdp_md *ctx, u32 offset, void *to, u32 len);
HELPER(164, long, for_each_map_elem, void *map, void *callback, void *ctx, u64 flags);

/* A verdict read at run time, so that the verifier cannot know it. */
static ALWAYS_INLINE int unknown(int verdict)
{
	OPAQUE(verdict);
	return verdict;
}

// The context of whatever program calls the function (Linux 6.8).
#define ARG_CTX __attribute__((btf_decl_tag("arg:ctx")))

/* Further helpers; here, because what stands above has line numbers that objects remember. */
HELPER(9, long, skb_store_bytes, struct __sk_buff *skb, u32 offset, const void *from, u32 len,
       u64 flags);
HELPER(23, long, redirect, u32 ifindex, u64 flags);
HELPER(38, long, skb_change_tail, struct __sk_buff *skb, u32 len, u64 flags);
HELPER(43, long, skb_change_head, struct __sk_buff *skb, u32 len, u64 flags);
HELPER(51, long, redirect_map, void *map, u64 key, u64 flags);

#endif
