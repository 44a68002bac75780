// The chain whose cost the project measures itself by: ten programs, each a map look-up and a
// counter, from ten objects that all use the same names.
#include "weld.h"

#define CALL(n)                                         \
	extern int member##n(struct xdp_md *ctx);           \
	static ALWAYS_INLINE int call##n(struct xdp_md *ctx) \
	{                                                   \
		return member##n(ctx);                          \
	}
CALL(0) CALL(1) CALL(2) CALL(3) CALL(4) CALL(5) CALL(6) CALL(7) CALL(8) CALL(9)

SEC("xdp") int chain(struct xdp_md *ctx)
{
	int verdict;

#define STEP(n)                      \
	verdict = call##n(ctx);          \
	if (verdict != XDP_PASS)         \
		return verdict;
	STEP(0) STEP(1) STEP(2) STEP(3) STEP(4) STEP(5) STEP(6) STEP(7) STEP(8) STEP(9)
	return XDP_PASS;
}

LICENSE("GPL");

//@ objects: root.o
//@ bind: member0=m0.o member1=m1.o member2=m2.o member3=m3.o member4=m4.o
//@ bind: member5=m5.o member6=m6.o member7=m7.o member8=m8.o member9=m9.o

// Packet n is the first that member n sees.
//@ run: own-counters
//@ packet: 64 * 12
//@ verdicts: XDP_DROP*10 XDP_PASS*2
//@ lines: root.c member.h

//@ run: static-functions
//@ args: --static-functions
//@ packet: 64 * 12
//@ verdicts: XDP_DROP*10 XDP_PASS*2
