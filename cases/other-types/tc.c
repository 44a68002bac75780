// Roots that are no XDP programs: a TC classifier and a socket filter.
#include "weld.h"

extern int prog(struct __sk_buff *skb);

SEC("tc") int classifier(struct __sk_buff *skb)
{
	if (skb->len != 64)
		return TC_ACT_OK;
	return prog(skb);
}

LICENSE("GPL");

//@ objects: tc.o
//@ packet: 60
//@ packet: 64

//@ run: tc
//@ bind: prog=tc-target.o
//@ codes: 0 2
//@ lines: tc.c tc-target.c

//@ run: tc-static
//@ bind: prog=tc-target.o
//@ args: --static-functions
//@ codes: 0 2
