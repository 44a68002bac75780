// Two definitions of a map are compared in full, and the member that differs is named.
#include "maps.h"

int uses(int x)
{
	return x;
}

//@ run: each-member
//@ command: link
//@ objects: maps.o other-maps.o
//@ args: -o $TMP/out.o --keep-going
//@ error: map `m_type` is not the same in maps.o and in other-maps.o: type is 1 and 2
//@ error: `m_key_size` .*: key_size is 4 and 8
//@ error: `m_value_size` .*: value_size is 4 and 8
//@ error: `m_max_entries` .*: max_entries is 1 and 2
//@ error: `m_map_flags` .*: map_flags is 0x1 and 0x2
//@ error: `m_numa_node` .*: numa_node is 0 and 1
//@ error: `m_map_extra` .*: map_extra is 0x1 and 0x2
//@ error: `m_pinning` .*: pinning is not set and LIBBPF_PIN_BY_NAME
//@ error: `m_key` .*: key is `struct left` and `struct right`
//@ error: `m_value` .*: value is `struct left` and `struct right`
//@ error: `m_values` .*: values is max_entries 1 of the inner map and max_entries 2 of the inner map
