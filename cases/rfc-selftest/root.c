// The case that the whole project starts from: a dispatcher names two functions that it does not
// define, and the caller says which programs of which objects stand behind them.
#include "weld.h"

extern int prog1(struct xdp_md *ctx);
extern int prog2(struct xdp_md *ctx);

SEC("xdp") int dispatcher(struct xdp_md *ctx)
{
	int verdict = prog1(ctx);

	if (verdict != XDP_PASS)
		return verdict;
	return prog2(ctx);
}

LICENSE("GPL");

//@ objects: root.o
//@ packet: 64

//@ run: pass-then-drop
//@ bind: prog1=dummy.o:xdp_dummy_prog prog2=drop.o:xdp_drop_prog
//@ verdicts: XDP_DROP
//@ functions: dispatcher xdp_dummy_prog xdp_drop_prog
//@ lines: root.c dummy.c drop.c

//@ run: drop-comes-first
//@ bind: prog1=drop.o:xdp_drop_prog prog2=dummy.o:xdp_dummy_prog
//@ verdicts: XDP_DROP

// Several externs may share a target. The copy is made once.
//@ run: both-pass
//@ bind: prog1=dummy.o:xdp_dummy_prog prog2=dummy.o:xdp_dummy_prog
//@ verdicts: XDP_PASS
//@ functions: dispatcher xdp_dummy_prog

// The function defaults to the object's only entry program.
//@ run: function-left-out
//@ bind: prog1=dummy.o prog2=drop.o
//@ verdicts: XDP_DROP

//@ run: static-functions
//@ bind: prog1=dummy.o prog2=drop.o
//@ args: --static-functions
//@ verdicts: XDP_DROP
//@ functions: dispatcher xdp_dummy_prog xdp_drop_prog

//@ run: check
//@ command: check
//@ bind: prog1=dummy.o prog2=drop.o
//@ json: programs[name=dispatcher].loaded == true
//@ json: programs[0].functions[*].name == ["dispatcher","xdp_dummy_prog","xdp_drop_prog"]
//@ json: programs[0].functions[*].global == [true,true,true]

//@ run: check-static
//@ command: check
//@ bind: prog1=dummy.o prog2=drop.o
//@ args: --static-functions
//@ json: programs[0].functions[name=xdp_drop_prog].global == false
