#include "weld.h"

extern int prog(struct __sk_buff *skb);

SEC("socket") int filter(struct __sk_buff *skb)
{
	return prog(skb) + 1000;
}

LICENSE("GPL");

//@ run: socket
//@ objects: socket.o
//@ bind: prog=socket-target.o
//@ packet: 64
//@ packet: 100
// A socket filter sees the frame behind its Ethernet header.
//@ codes: 1050 1086
