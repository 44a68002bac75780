// A classifier: its packets have no address that tells where the start went, so that is found out from
// the bytes.
#include "weld.h"

extern int change(struct __sk_buff *skb);

SEC("tc") int classify(struct __sk_buff *skb)
{
	int verdict = change(skb);

	return verdict ? verdict : redirect(1, 0);
}

LICENSE("GPL");

//@ run: tc
//@ objects: tc.o
//@ bind: change=tc-change.o
//@ packet: hex 0102030405060708090a0b0c0800450000540001020340004001f000c0a80001c0a80002000102030405060708
//@ args: --trace
//@ codes: 7
//@ json: packets[0].trace.steps[0].call.steps[0].call.function == "shorten"
//@ json: packets[0].trace.steps[0].call.steps[0].call.length == [45, 40]
//@ json: packets[0].trace.steps[0].call.steps[0].call.steps[0].change.back == -5
//@ json: packets[0].trace.steps[0].call.steps[0].call.steps[0].change.bytes[0].new == "f1"
//@ json: packets[0].trace.steps[0].call.steps[1].redirect.interface == 1
//@ json: packets[0].trace.steps[0].call.steps[1].redirect.result == "TC_ACT_REDIRECT"
