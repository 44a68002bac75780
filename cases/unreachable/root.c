// What the entry cannot reach is left out: functions, their maps, their externs.
#include "weld.h"

extern int prog(struct xdp_md *ctx);
extern int never_bound(struct xdp_md *ctx);

SEC("xdp") int root(struct xdp_md *ctx)
{
	return prog(ctx) + 100;
}

SEC("xdp") int another(struct xdp_md *ctx)
{
	return never_bound(ctx);
}

LICENSE("GPL");

//@ objects: root.o
//@ bind: prog=target.o:wanted
//@ packet: 64

//@ run: only-what-is-called
//@ entry: root
//@ codes: 103
//@ functions: root wanted called
//@ without: never_bound

// Without --entry, `check` takes all programs: one links, the other does not.
//@ run: check-all
//@ command: check
//@ exit: 1
//@ json: programs[name=root].loaded == true
//@ json: programs[name=another].loaded == false
//@ json: programs[name=another].error ~ never_bound

//@ run: pins
//@ command: load
//@ entry: root
//@ json: pins[*].name lacks "unused"
//@ json: pins[*].name lacks "another"
//@ json: pins[kind=program].name == "root"
