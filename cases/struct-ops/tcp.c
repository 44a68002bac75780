// A congestion control that setting its value registers.
#include "congestion.h"

TABLE(".struct_ops", weld_by_value);

LICENSE("GPL");

//@ command: check
//@ objects: tcp.o
//@ bind: window=window.o:half
//@ entry: ssthresh
//@ needs: kernel-btf kernel root

//@ run: by-value
//@ json: programs[name=ssthresh].loaded == true

