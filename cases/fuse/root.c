// A root with two members: what is fused, what is not and why, and what it looks like.
#include "weld.h"

extern int first(struct xdp_md *ctx);
extern int second(struct xdp_md *ctx);

SEC("xdp") int chain(struct xdp_md *ctx)
{
	int verdict = first(ctx);

	if (verdict != XDP_PASS)
		return verdict;
	return second(ctx);
}

LICENSE("GPL");

//@ objects: root.o

//@ run: both
//@ command: check
//@ bind: first=count.o second=dynamic.o
//@ json: programs[0].functions[0].name == "chain"
//@ json: programs[0].fused[0] == "count.o:count"
//@ json: programs[0].fused[1] == "dynamic.o:dynamic"
//@ args: --fuse always
//@ needs: kernel kernel-symbol:bpf_dynptr_from_mem

//@ run: never
//@ command: check
//@ bind: first=count.o second=dynamic.o
//@ json: programs[0].functions[2].name == "dynamic"
//@ args: --fuse never
//@ needs: kernel kernel-symbol:bpf_dynptr_from_mem

// What the kernel holds is one function, each instruction with the line that it was made of.
//@ run: lines
//@ bind: first=count.o second=count.o
//@ packet: 64
//@ verdicts: XDP_PASS
//@ functions: chain
//@ lines: root.c count.c
//@ dump: ; u64 \*number = map_lookup.*count\.c line_num:14 .*\n +\d+: .* r1 = map\[id:
//@ dump: ; \(\*number\)\+\+; .*count\.c line_num:17 .*\n +\d+: .* = \*\(u64 \*\)\(r0 \+ ?0\)
//@ dump: ; \} .*root\.c line_num:14 .*\n +\d+: \(95\) exit
//@ args: --fuse always

// A tail call leaves for good what it is in, so it has to be a function.
//@ run: tail-call
//@ command: check
//@ bind: first=tail.o second=count.o
//@ json: programs[0].calls[0].function == "tail.o:tail"
//@ json: programs[0].calls[0].why ~ tail-calls
//@ json: programs[0].fused[0] == "count.o:count"
//@ args: --fuse always
//@ needs: kernel

// What the first left on the stack is in the second's way, where both share it. Verifiers that do not mind are
// older than functions on dynptrs.
//@ run: refused-fused
//@ bind: first=dynamic.o second=bytes.o
//@ packet: 64 * 2
//@ verdicts: XDP_PASS*2
//@ warning: `bytes` stayed a call, because the kernel refused the program with it fused
//@ args: --fuse always --engine kernel
//@ needs: kernel kernel-symbol:bpf_dynptr_slice

//@ run: refused-and-not-fused
//@ command: check
//@ bind: first=dynamic.o second=bytes.o
//@ without: stayed a call
//@ args: --fuse never
//@ needs: kernel kernel-symbol:bpf_dynptr_from_mem

//@ run: disasm
//@ command: disasm
//@ bind: first=count.o second=tail.o
//@ stdout: chain, fused: \d+ instructions
//@ stdout: tail.o:tail stays a call: it tail-calls
//@ stdout: ; --- count of count.o
//@ stdout: ; count.c:\d+  .*number
//@ stdout: r1 = map counter of count.o
//@ stdout: call bpf_map_lookup_elem
//@ stdout: call tail of tail.o
//@ stdout: tail of tail.o:
//@ needs: nothing

//@ run: disasm-both
//@ command: disasm
//@ bind: first=count.o second=count.o
//@ args: --both
//@ json: programs[0].form == "linked"
//@ json: programs[0].functions[1].name == "count"
//@ json: programs[1].form == "fused"
//@ json: programs[1].functions[0].name == "chain"
//@ json: programs[1].insns[0].instance == "count.o"
//@ needs: nothing

// A function whose address is taken has to be one.
//@ run: callback
//@ command: disasm
//@ bind: first=callback.o second=count.o
//@ stdout: callback\.o:turn stays a call: it is a callback
//@ stdout: ; --- callback of callback\.o
//@ args: --fuse always
//@ needs: nothing

// The address of something on the root's stack lies in memory while it calls.
//@ run: frame-pointer
//@ command: disasm
//@ objects: escape.o
//@ bind: first=count.o
//@ stdout: count\.o:count stays a call: its caller uses the stack in a way that cannot be followed
//@ needs: nothing

//@ run: frame-pointer-runs
//@ objects: escape.o
//@ bind: first=count.o
//@ packet: 64
//@ verdicts: XDP_PASS
