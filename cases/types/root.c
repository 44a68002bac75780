// The types of an extern and of its target are compared before anything is linked; a mismatch is
// told with both prototypes. One entry program for each pair; `targets.c` has the other sides.
#include "weld.h"

struct pair {
	u32 a, b;
};
struct other {
	u32 a, b;
};
struct opaque;
typedef u32 number;

extern int two(struct xdp_md *ctx);
extern int none(int x);
extern u64 wide(int x);
extern int width(u32 x);
extern int sign(u32 x);
extern int named(struct pair *p);
extern int forward(struct opaque *p);
extern int aliased(number x);
extern int constant(const struct pair *p);
extern int pointer(u64 x);
extern int depth(struct pair **p);
extern void nothing(int x);
extern enum xdp_action action(struct xdp_md *const ctx);
typedef struct xdp_md context;
extern int typed_context(context *ctx);

#define PROGRAM(name, expression)                \
	SEC("xdp") int try_##name(struct xdp_md *ctx) \
	{                                            \
		struct pair pair = { 1, 2 };             \
		struct pair *at = &pair;                 \
		OPAQUE(at);                              \
		(void)at;                                \
		return expression;                       \
	}

PROGRAM(two, two(ctx))
PROGRAM(none, none(1))
PROGRAM(wide, wide(1))
PROGRAM(width, width(1))
PROGRAM(sign, sign(1))
PROGRAM(named, named(at))
PROGRAM(forward, forward((struct opaque *)at))
PROGRAM(aliased, aliased(1))
PROGRAM(constant, constant(at))
PROGRAM(pointer, pointer((u64)at))
PROGRAM(depth, depth(&at))
PROGRAM(nothing, (nothing(1), 1))
PROGRAM(action, action(ctx) + 10)
PROGRAM(typed_context, typed_context(ctx))

LICENSE("GPL");

//@ objects: root.o
//@ packet: 64

//@ run: arity
//@ entry: try_two
//@ bind: two=targets.o:two_parameters
//@ error: int two\(struct xdp_md \*.*int two_parameters\(struct xdp_md \*\w*, int

//@ run: arity-less
//@ entry: try_none
//@ bind: none=targets.o:no_parameter
//@ error: int none\(int.*int no_parameter\(void\)

//@ run: return-width
//@ entry: try_wide
//@ bind: wide=targets.o:returns_int
//@ error: wide\(int.*int returns_int\(int

//@ run: return-void
//@ entry: try_none
//@ bind: none=targets.o:returns_void
//@ error: int none\(int.*void returns_void\(int

//@ run: void-expected
//@ entry: try_nothing
//@ bind: nothing=targets.o:returns_int
//@ error: void nothing\(int.*int returns_int\(int

//@ run: integer-width
//@ entry: try_width
//@ bind: width=targets.o:takes_u64
//@ error: width\(.*takes_u64\(

//@ run: signedness
//@ entry: try_sign
//@ bind: sign=targets.o:returns_int
//@ error: sign\(.*returns_int\(int

//@ run: struct-name
//@ entry: try_named
//@ bind: named=targets.o:takes_other
//@ error: named\(struct pair \*.*takes_other\(struct other \*

//@ run: pointer-for-integer
//@ entry: try_pointer
//@ bind: pointer=targets.o:takes_pair
//@ error: pointer\(.*takes_pair\(struct pair \*

//@ run: pointer-depth
//@ entry: try_depth
//@ bind: depth=targets.o:takes_pair
//@ error: depth\(struct pair \*\*.*takes_pair\(struct pair \*

// What follows is compatible.

//@ run: same-struct
//@ entry: try_named
//@ bind: named=targets.o:takes_pair
//@ codes: 3

//@ run: forward-and-struct
//@ entry: try_forward
//@ bind: forward=targets.o:takes_opaque
//@ codes: 12

//@ run: typedef
//@ entry: try_aliased
//@ bind: aliased=targets.o:takes_u32
//@ codes: 2

//@ run: const-for-plain
//@ entry: try_constant
//@ bind: constant=targets.o:takes_pair
//@ codes: 3

//@ run: plain-for-const
//@ entry: try_named
//@ bind: named=targets.o:takes_const_pair
//@ codes: 4

//@ run: void-return
//@ entry: try_nothing
//@ bind: nothing=targets.o:returns_void
//@ args: --static-functions
//@ codes: 1

// A global function must return something for the kernel, so one that does not goes in as a static one.
//@ run: void-return-by-default
//@ entry: try_nothing
//@ bind: nothing=targets.o:returns_void
//@ codes: 1

//@ run: enumeration
//@ entry: try_action
//@ bind: action=targets.o:returns_action
//@ codes: 12

//@ run: typedef-of-the-context
//@ entry: try_typed_context
//@ bind: typed_context=targets.o:takes_context
//@ codes: 30
