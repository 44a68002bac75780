/* What the libbpf headers of Debian 12 have not. */
#include "vmlinux.h"
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

#ifndef __ulong
#define __ulong(name, value) enum { __unique_##name = value } name
#endif
#ifndef bpf_ksym_exists
#define bpf_ksym_exists(symbol) (!!(symbol))
#endif

char _license[] SEC("license") = "GPL";
