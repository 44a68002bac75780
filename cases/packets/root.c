// Packets that the kernel cannot take are reported as such, and the rest go on with the state that
// the others left.
#include "weld.h"

extern int prog(struct xdp_md *ctx);

u32 packets;

SEC("xdp") int root(struct xdp_md *ctx)
{
	packets++;
	return prog(ctx) + packets * 1000;
}

LICENSE("GPL");

//@ objects: root.o
//@ bind: prog=length.o

// The kernel wants an Ethernet header: 14 bytes.
//@ run: too-short
//@ packet: 64
//@ packet: 13
//@ packet: hex 00
//@ packet: 14
//@ packet: 1514
//@ codes: 1064 - - 2014 4514
//@ json: packets[*].length == [64,13,1,14,1514]
//@ json: packets[1].error ~ .

//@ run: empty-packet
//@ packet: 0
//@ packet: 64
//@ codes: - 1064

// A verdict that has no name is shown by its number.
//@ run: unknown-verdict
//@ packet: 64
//@ json: packets[0].code == 1064
//@ json: packets[0].verdict ~ 1064

//@ run: no-packets
//@ exit: 2
//@ error: packet

//@ run: missing-packet-file
//@ args: --packet $TMP/nothing
//@ error: nothing

//@ run: not-a-capture
//@ documents: E0002
//@ file: x.pcap = text this is no capture file at all
//@ args: --pcap $TMP/x.pcap
//@ error: x\.pcap

//@ run: repeat-sees-the-state
//@ args: --repeat 10
//@ packet: 64
//@ codes: 10064

// Each packet counts once, however often it runs. Few packets: the kernel waits some 20 ms before and behind
// the repeated runs of an XDP program.
//@ run: repeated
//@ needs: kernel
//@ args: --repeat 3
//@ packet: 64 * 5
//@ json: packets.length == 5
//@ json: engine == "kernel"
