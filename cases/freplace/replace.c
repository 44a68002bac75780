// Programs that attach to functions of another program, linked like any other.
#include "weld.h"

extern int verdict(struct xdp_md *ctx);

SEC("freplace/slot") int replaces_slot(struct xdp_md *ctx)
{
	return verdict(ctx);
}

SEC("freplace") int replaces_all(struct xdp_md *ctx)
{
	return verdict(ctx);
}

SEC("fentry/slot") int watches(u64 *ctx)
{
	return 0;
}

SEC("xdp") int ordinary(struct xdp_md *ctx)
{
	return verdict(ctx);
}

LICENSE("GPL");

//@ command: check
//@ objects: replace.o
//@ bind: verdict=verdict.o
//@ loaded: other = target.o
//@ needs: kernel root

//@ run: function-of-the-section
//@ entry: replaces_slot
//@ args: --attach-target replaces_slot=pin:$TMP/bpffs/other/target
//@ needs: feature:extensions
//@ json: programs[name=replaces_slot].loaded == true

//@ run: function-by-name
//@ entry: replaces_all
//@ args: --attach-target replace.o:replaces_all=pin:$TMP/bpffs/other/target:slot
//@ needs: feature:extensions
//@ json: programs[name=replaces_all].loaded == true

//@ run: the-program-itself
//@ entry: replaces_all
//@ args: --attach-target replaces_all=pin:$TMP/bpffs/other/target
//@ needs: feature:extensions
//@ json: programs[name=replaces_all].loaded == true

//@ run: watched
//@ entry: watches
//@ args: --attach-target watches=pin:$TMP/bpffs/other/target
//@ needs: feature:extensions
//@ json: programs[name=watches].loaded == true

//@ run: not-said
//@ entry: replaces_slot
//@ documents: E0306

//@ run: no-such-function
//@ entry: replaces_all
//@ args: --attach-target replaces_all=pin:$TMP/bpffs/other/target:slit
//@ error: E0306.*program [0-9]+ `target`, has no function `slit`; it has: .*slot

//@ run: no-such-program
//@ entry: replaces_all
//@ args: --attach-target replaces_al=pin:$TMP/bpffs/other/target
//@ error: E0306.*it is not loaded; there are: replace.o:replaces_all

//@ run: no-such-pin
//@ entry: replaces_all
//@ args: --attach-target replaces_all=pin:$TMP/bpffs/nothing
//@ error: E0306.*nothing cannot be opened as a program

//@ run: no-types
//@ loaded: bare = target.o --without btf
//@ entry: replaces_all
//@ args: --attach-target replaces_all=pin:$TMP/bpffs/bare/target
//@ error: E0306.*loaded without types

//@ run: another-type
//@ entry: ordinary
//@ args: --attach-target ordinary=pin:$TMP/bpffs/other/target
//@ error: E0306.*programs of section `xdp` do not attach to functions of others

//@ run: nothing-said
//@ entry: replaces_all
//@ args: --attach-target replaces_all
//@ exit: 2
//@ error: it does not say what to attach to
