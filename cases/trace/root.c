// What `--trace` tells: functions of several objects that change the packet, each in its own way, and a
// callback, an inner function and redirects. The runs are compared between kernel and engine, too.
#include "weld.h"

extern int rewrite(struct xdp_md *ctx);
extern int grow(struct xdp_md *ctx);
extern int shrink(struct xdp_md *ctx);
extern int send(struct xdp_md *ctx);

struct {
	NUM(type, MAP_PROG_ARRAY);
	NUM(key_size, 4);
	NUM(value_size, 4);
	NUM(max_entries, 1);
} jumps SEC(".maps");

// Not across objects, and without the context: it works for its caller.
static NOINLINE u64 mark(void *data, void *data_end, u32 with)
{
	u8 *bytes = data;

	if ((void *)(bytes + 14) > data_end)
		return 0;
	bytes[11] = with;
	return 0xffffffff00000000ull | with;
}

static int visit(u32 index, void *sum)
{
	*(u64 *)sum += index;
	return 0;
}

SEC("xdp") int root(struct xdp_md *ctx)
{
	u64 sum = 0;
	int verdict;

	loop(3, visit, &sum, 0);
	if (mark((void *)(long)ctx->data, (void *)(long)ctx->data_end, sum) == 0)
		return XDP_ABORTED;
	verdict = rewrite(ctx);
	if (verdict != XDP_PASS)
		return verdict;
	verdict = grow(ctx);
	if (verdict != XDP_PASS)
		return verdict;
	verdict = shrink(ctx);
	if (verdict != XDP_PASS)
		return verdict;
	return send(ctx);
}

LICENSE("GPL");

//@ objects: root.o
//@ needs: feature:bpf-loop
//@ bind: rewrite=members.o:swap grow=members.o:encapsulate shrink=members.o:cut send=send.o:to_map

//@ run: all
//@ packet: hex 0102030405060708090a0b0c080045000054000040004001f000c0a80001c0a80002000102030405060708090a0b0c0d0e0f
//@ args: --trace
//@ verdicts: XDP_REDIRECT
//@ json: programs[function=swap].verdicts.XDP_PASS == 1
//@ json: programs[function=to_map].verdicts.XDP_REDIRECT == 1
//@ json: programs.length == 5
//@ json: packets[0].trace.steps[0].call.function == "root"
//@ json: packets[0].trace.steps[0].call.instance == "root.o"
//@ json: packets[0].trace.steps[0].call.length == [50, 46]
//@ json: packets[0].trace.steps[0].call.steps[0].call.function == "visit"
//@ json: packets[0].trace.steps[0].call.steps[3].call.value == 18446744069414584323
//@ json: packets[0].trace.steps[0].call.steps[4].change.bytes == [{"offset": 11, "old": "0c", "new": "03"}]
//@ json: packets[0].trace.steps[0].call.steps[5].call.verdict == "XDP_PASS"
//@ json: packets[0].trace.steps[0].call.steps[5].call.steps[0].change.bytes == [{"offset": 0, "old": "0102030405060708090a0b03", "new": "0708090a0b03010203040506"}]
//@ json: packets[0].trace.steps[0].call.steps[6].call.length == [50, 54]
//@ json: packets[0].trace.steps[0].call.steps[6].call.steps[0].change.front == 4
//@ json: packets[0].trace.steps[0].call.steps[6].call.steps[0].change.metadata == [0, 8]
//@ json: packets[0].trace.steps[0].call.steps[7].call.steps[0].change.back == -8
//@ json: packets[0].trace.steps[0].call.steps[8].call.steps[0].redirect.map == "ports"
//@ json: packets[0].trace.steps[0].call.steps[8].call.steps[0].redirect.key == 1
//@ json: packets[0].trace.steps[0].call.steps[8].call.steps[0].redirect.result == "XDP_PASS"

//@ run: all-in-words
//@ packet: hex 0102030405060708090a0b0c080045000054000040004001f000c0a80001c0a80002000102030405060708090a0b0c0d0e0f
//@ args: --trace
//@ stdout: packet 0: 50 bytes, XDP_REDIRECT
//@ stdout:     swap +members.o +XDP_PASS\n +· bytes 0 to 11: 0102030405060708090a0b03 → 0708090a0b03010203040506
//@ stdout:       · length 50 → 54: 4 bytes added in front
//@ stdout:       · metadata 0 → 8 bytes
//@ stdout:       · length 54 → 46: 8 bytes taken away at the end
//@ stdout:       · bytes 46 to 53 taken away: 08090a0b0c0d0e0f
//@ stdout:       · bpf_redirect_map to entry 1 of ports \(send.o\), flags 0x2: XDP_PASS
//@ stdout:       · bpf_redirect to interface 7: XDP_REDIRECT
//@ stdout: swap +members.o +XDP_PASS +1\n

// Where the kernel has no helper that copies bytes, lengths are told and bytes are not, and it says so.
//@ run: lengths
//@ needs: kernel
//@ packet: 64
//@ args: --trace --without xdp-load-bytes
//@ verdicts: XDP_REDIRECT
//@ warning: changed bytes of packets are not traced: the kernel has no helper
//@ json: packets[0].trace.steps[0].call.steps[5].call.length == [64, 68]
//@ json: packets[0].trace.steps[0].call.steps[5].call.steps[0].change.front == 4
//@ json: packets[0].trace.steps[0].call.steps[5].call.steps[0].change.metadata == [0, 8]

// Too short for `cut`: the program that decides is the last that is told.
//@ run: early
//@ packet: 20 * 2
//@ args: --trace
//@ verdicts: XDP_DROP*2
//@ json: programs[function=cut].verdicts.XDP_DROP == 2
//@ json: programs.length == 4

//@ run: static
//@ packet: 64
//@ args: --static-functions --trace
//@ verdicts: XDP_REDIRECT

//@ run: not-with-repeat
//@ needs: nothing
//@ packet: 64
//@ args: --trace --repeat 2
//@ exit: 2
//@ error: cannot be used with
