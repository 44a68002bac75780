// One of everything that an object can hold. crates/object checks what is read from it, down to the
// offsets; here, that `inspect` shows it.
#include "weld.h"

/* Maps ------------------------------------------------------------------------------------------ */

struct inner {
	NUM(type, MAP_ARRAY);
	NUM(max_entries, 4);
	TYPE(key, u32);
	TYPE(value, u32);
};

struct pair {
	u32 a;
	u64 b;
};

struct inner first_inner SEC(".maps"), second_inner SEC(".maps");

struct {
	NUM(type, 1);
	NUM(max_entries, 100);
	NUM(map_flags, 1);
	NUM(pinning, 1);
	TYPE(key, u32);
	TYPE(value, struct pair);
} table SEC(".maps");

struct {
	NUM(type, 12);
	NUM(max_entries, 8);
	NUM(key_size, 4);
	VALUES(struct inner);
} outer SEC(".maps") = { .values = { [1] = &first_inner, [3] = &second_inner } };

int program(struct xdp_md *ctx);
int frags(struct xdp_md *ctx);

struct {
	NUM(type, 3);
	NUM(max_entries, 4);
	NUM(key_size, 4);
	VALUES(int(void *));
} jumps SEC(".maps") = { .values = { [0] = (void *)&program, [2] = (void *)&frags } };

struct {
	NUM(type, 27);
	NUM(max_entries, 4096);
	NUM(numa_node, 0);
} ring SEC(".maps");

/* Externs --------------------------------------------------------------------------------------- */

typedef bool flag;

extern const flag CONFIG_BOOL KCONFIG WEAK;
extern const volatile enum libbpf_tristate CONFIG_TRISTATE KCONFIG;
extern char CONFIG_CHAR KCONFIG;
extern const char CONFIG_STRING[20] KCONFIG;
extern u8 CONFIG_U8 KCONFIG;
extern s64 CONFIG_S64 KCONFIG;

extern const void kernel_symbol KSYM;
extern const int kernel_variable KSYM WEAK;
extern int kernel_function(int x) KSYM;

extern int other_function(struct xdp_md *ctx, int x);
extern int weak_function(void) WEAK;
extern int other_variable[4];

/* Variables ------------------------------------------------------------------------------------- */

int global = 5;
static volatile int local = 6;
static volatile int zero;
const volatile int constants[4] = { 1, 2, 3, 4 };
int named SEC(".data.named") = 3;
int *pointer = &global;

/* Functions ------------------------------------------------------------------------------------- */

static NOINLINE int helper(int x)
{
	return x * local + zero;
}

NOINLINE int global_function(int x)
{
	return x ^ global;
}

HIDDEN NOINLINE int hidden_function(int x)
{
	return x + constants[2];
}

WEAK NOINLINE int weak_definition(int x)
{
	return x - 1;
}

static long callback(u32 i, void *ctx)
{
	zero += i;
	return 0;
}

/* In the section of the program: called without a relocation. */
static NOINLINE SEC("xdp") int neighbour(int x)
{
	return helper(x) + zero;
}

SEC("xdp") int program(struct xdp_md *ctx)
{
	char text[] = "long enough for the compiler to keep it in .rodata.str1.1\n";
	u32 key = 1;
	int n = constants[ctx->rx_queue_index & 3];
	struct pair *p;

	trace_printk(text, sizeof(text), 1);
	p = map_lookup(&table, &key);
	if (p)
		n += p->a;
	loop(3, callback, NULL, 0);
	n += neighbour(n) + global_function(n) + hidden_function(n) + weak_definition(n);
	if (CONFIG_BOOL || CONFIG_TRISTATE == TRI_MODULE)
		n++;
	n += CONFIG_CHAR + CONFIG_STRING[3] + CONFIG_U8 + CONFIG_S64;
	n += (long)&kernel_symbol + kernel_variable + kernel_function(n);
	n += other_function(ctx, n) + other_variable[2] + named;
	if (weak_function)
		n += weak_function();
	map_lookup(&outer, &key);
	map_lookup(&ring, &key);
	tail_call(ctx, &jumps, 1);
	return n;
}

SEC("xdp.frags") int frags(struct xdp_md *ctx)
{
	u32 key = 1;

	return map_lookup(&first_inner, &key) ? *pointer : 0;
}

SEC("?tc") int not_loaded(void *skb)
{
	return 0;
}

SEC("xdp_drop") int old_name(struct xdp_md *ctx)
{
	return 1;
}

SEC("whatever") int unknown_name(struct xdp_md *ctx)
{
	return 0;
}

LICENSE("Dual MIT/GPL");
u32 version_ SEC("version") = 0x60100;

//@ run: inspect
//@ command: inspect
//@ objects: everything.o
//@ needs: nothing
//@ json: programs.length == 5
//@ json: functions.length == 11
//@ json: maps.length == 6
//@ json: externs.length == 12
//@ json: externs[name=weak_function].weak == true
//@ json: externs[name=CONFIG_U8].type ~ u8 CONFIG_U8
