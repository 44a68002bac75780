// A congestion control that a link registers.
#include "congestion.h"

TABLE(".struct_ops.link", weld_by_link);

LICENSE("GPL");

//@ command: check
//@ objects: link.o
//@ bind: window=window.o:half
//@ entry: ssthresh
//@ needs: kernel-btf kernel root

//@ needs: kernel-symbol:bpf_struct_ops_link_create

//@ run: by-link
//@ json: programs[name=ssthresh].loaded == true
