// Three objects that need each other, linked in every order: functions, variables, maps and read-only data
// across; a section of its own; what all of them bring along, weak, as from a common header, once in the output.
#define ME 1
#include "shared.h"

const volatile int factor = 10;
int result;
int five = 5;

extern int library(int x);
extern int six;

SEC("xdp") int entry(struct xdp_md *ctx)
{
	int who = whoami(0);

	if (who != first_one || note(0, 1) != 1)
		return 1;
	// 1 + 2 + 3 + 5 + 6, and then times ten.
	result = library(1) * factor;
	if (note(1, 0) != 7)
		return 2;
	return who * 1000 + result + six;
}

LICENSE("GPL");

//@ objects: $TMP/all.o
//@ packet: 64

//@ run: one-two-three
//@ linked: all.o = one.o two.o three.o
//@ codes: 1176

//@ run: one-three-two
//@ linked: all.o = one.o three.o two.o
//@ codes: 1176

//@ run: two-one-three
//@ linked: all.o = two.o one.o three.o
//@ codes: 2176

//@ run: two-three-one
//@ linked: all.o = two.o three.o one.o
//@ codes: 2176

//@ run: three-one-two
//@ linked: all.o = three.o one.o two.o
//@ codes: 3176

//@ run: three-two-one
//@ linked: all.o = three.o two.o one.o
//@ codes: 3176

// In two steps, whichever come first.
//@ run: two-steps
//@ linked: half.o = three.o one.o
//@ linked: all.o = $TMP/half.o two.o
//@ codes: 3176

//@ run: two-other-steps
//@ linked: half.o = one.o two.o
//@ linked: all.o = three.o $TMP/half.o
//@ codes: 3176

//@ run: stripped
//@ linked: all.o = one.o two.o three.o --strip-unreachable
//@ codes: 1176

//@ run: each-of-them-once
//@ command: inspect
//@ linked: all.o = two.o three.o one.o
//@ json: maps[*].name == ["specs", "table"]
//@ json: functions[*].name == ["note", "whoami", "library", "sum", "unused", "sum", "entry"]
