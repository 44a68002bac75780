// What `--maps` shows: structs with their members' names, enumerators by name, arrays, bitfields, values
// per CPU, maps of maps and prog arrays by id, variables; of two instances each its own.
#include "weld.h"

extern int count(struct xdp_md *ctx);

enum state { IDLE, BUSY = 7 };

struct inner {
	u16 port;
	s8 delta;
};

struct flow {
	u32 packets;
	enum state state;
	char name[8];
	u8 mac[6];
	struct inner in[2];
	u32 low : 3, high : 5;
	union {
		u64 whole;
		u32 half;
	};
	bool on;
};

struct key {
	u32 id;
	u8 zone;
};

struct {
	NUM(type, MAP_HASH);
	TYPE(key, struct key);
	TYPE(value, struct flow);
	NUM(max_entries, 8);
} flows SEC(".maps");

struct {
	NUM(type, MAP_ARRAY);
	TYPE(key, u32);
	TYPE(value, s64);
	NUM(max_entries, 1000);
} sums SEC(".maps");

struct {
	NUM(type, MAP_PERCPU_ARRAY);
	TYPE(key, u32);
	TYPE(value, enum state);
	NUM(max_entries, 2);
} states SEC(".maps");

struct plain {
	NUM(type, MAP_ARRAY);
	TYPE(key, u32);
	TYPE(value, u32);
	NUM(max_entries, 1);
} one SEC(".maps");

struct {
	NUM(type, MAP_ARRAY_OF_MAPS);
	NUM(key_size, 4);
	NUM(max_entries, 4);
	VALUES(struct plain);
} outer SEC(".maps") = { .values = { [2] = &one } };

struct {
	NUM(type, MAP_RINGBUF);
	NUM(max_entries, 4096);
} ring SEC(".maps");

u32 runs = 3;
static volatile int negative;

SEC("xdp") int root(struct xdp_md *ctx)
{
	struct flow flow;
	struct key key;
	u32 at = 7, zero = 0, two = 2;
	void *unread = &ring;
	s64 *sum = map_lookup(&sums, &at);
	enum state *state = map_lookup(&states, &zero);

	OPAQUE(unread);
	__builtin_memset(&flow, 0, sizeof(flow));
	__builtin_memset(&key, 0, sizeof(key));
	flow.packets = 5;
	flow.state = BUSY;
	__builtin_memcpy(flow.name, "eth0", 4);
	flow.mac[0] = 2;
	flow.mac[5] = 0xff;
	flow.in[1].port = 80;
	flow.in[1].delta = -1;
	flow.low = 5;
	flow.high = 17;
	flow.whole = 0x100000002;
	flow.on = true;
	key.id = 1;
	key.zone = 2;
	map_update(&flows, &key, &flow, 0);
	key.id = 0;
	flow.state = 3;
	map_update(&flows, &key, &flow, 0);
	if (sum)
		*sum -= 12;
	if (state)
		*state = BUSY;
	runs++;
	negative--;
	if (!map_lookup(&outer, &two))
		return XDP_ABORTED;
	return count(ctx);
}

LICENSE("GPL");

//@ objects: root.o
//@ object: a=counter.o
//@ bind: count=a
//@ packet: 64 * 2

//@ run: by-type
//@ args: --maps
//@ verdicts: XDP_PASS*2
//@ json: maps[name=flows].type == "hash"
//@ json: maps[name=flows].entries[0].key == {"id": 0, "zone": 2}
//@ json: maps[name=flows].entries[1].key == {"id": 1, "zone": 2}
//@ json: maps[name=flows].entries[0].value.state == 3
//@ json: maps[name=flows].entries[1].value == {"packets": 5, "state": "BUSY", "name": "eth0", "mac": "0200000000ff", "in": [{"port": 0, "delta": 0}, {"port": 80, "delta": -1}], "low": 5, "high": 17, "whole": 4294967298, "half": 2, "on": true}
//@ json: maps[name=sums].entries == [{"key": 7, "value": -24}]
//@ json: maps[name=sums].zeros == 999
//@ json: maps[name=states].entries.length == 1
//@ json: maps[name=states].entries[0].values[*] lacks "nonsense"
//@ json: maps[name=outer].entries[0].key == 2
//@ json: maps[name=outer].entries[0].value.map == "one"
//@ json: maps[name=outer].entries[0].value.instance == "root.o"
//@ json: maps[name=ring].unreadable ~ no keys
//@ json: maps[name=.data].variables.runs == 5
//@ json: maps[name=.bss].variables.negative == -2
//@ json: maps[instance=a].entries[0].value == 2

//@ run: in-words
//@ args: --maps
//@ stdout: flows  root.o, hash, 2 entries\n
//@ stdout:   \{id: 1, zone: 2\} → \{packets: 5, state: BUSY, name: "eth0", mac: "0200000000ff", in: \[\{port: 0, delta: 0\}, \{port: 80, delta: -1\}\], low: 5, high: 17,
//@ stdout: sums  root.o, array, 1000 entries\n  7 → -24\n  999 entries of zeros
//@ stdout:     cpu 0 → 
//@ stdout:   2 → \{id: \d+, map: "one", instance: "root.o"\}
//@ stdout:   runs = 5
