//! Counting verdicts: the map, and the code behind each call.

use bpfweld_btf::{BtfBuilder, IntEncoding, MemberSpec, TypeId};
use bpfweld_insn::{CALL, Insn, LD_IMM64, class};
use bpfweld_object::{MapDef, MapId, Reloc, RelocTarget};

use super::code::{Code, JLE, R0, R1, R2, jump, mov, mov_imm};

/// Name of the counters' map.
pub const COUNTERS_MAP: &str = "chain_counters";

/// Entries of the counters' map. A member keeps its slot as long as it is in the chain, whatever comes
/// and goes around it, so that the map can stay.
pub const COUNTER_SLOTS: u32 = 256;

/// Names of the counters of a slot, in order; each is a `u64`. The first five are the verdicts of
/// `enum xdp_action`, the last counts what that does not know.
pub const COUNTERS: [&str; 6] = ["aborted", "drop", "pass", "tx", "redirect", "unknown"];

/// The counters of one member.
pub type Counter = [u64; COUNTERS.len()];

/// `BPF_MAP_TYPE_PERCPU_ARRAY`.
const PERCPU_ARRAY: u32 = 6;
/// Helper number of `bpf_map_lookup_elem` (linux/bpf.h).
const MAP_LOOKUP_ELEM: i32 = 1;
/// The verdict while the counter is looked up, and the frame.
const VERDICT: u8 = 7;
const FRAME: u8 = 10;
/// Place of the key in the frame.
const KEY: i16 = -4;

/// The map's definition: one entry a slot, each a struct of the counters.
pub(super) fn map(builder: &mut BtfBuilder, key: TypeId) -> MapDef {
    let long = IntEncoding { bits: 64, ..IntEncoding::default() };
    let long = builder.add_int("unsigned long long", 8, long);
    let long = builder.add_typedef("__u64", long);
    let members: Vec<_> = (0..)
        .zip(COUNTERS)
        .map(|(i, name)| MemberSpec { name, type_id: long, bit_offset: i * 64, bitfield_size: 0 })
        .collect();
    let value = builder.add_struct("chain_counter", SIZE, &members);
    MapDef {
        name: COUNTERS_MAP.into(),
        map_type: PERCPU_ARRAY,
        key_size: 4,
        value_size: SIZE,
        max_entries: COUNTER_SLOTS,
        key_type: Some(key),
        value_type: Some(value),
        ..MapDef::default()
    }
}

/// Bytes of the counters of a slot.
const SIZE: u32 = 8 * COUNTERS.len() as u32;

/// Counts the verdict in r0, which stays. Not atomic: each CPU has its own counters, and XDP programs
/// do not interrupt each other on one.
pub(super) fn count(code: &mut Code, slot: u32) {
    const UNKNOWN: i32 = COUNTERS.len() as i32 - 1;
    const ADD: u8 = 0x00;
    const LSH: u8 = 0x60;
    const X: u8 = 0x08;
    const MEM: u8 = 0x60;
    const W: u8 = 0x00;
    const DW: u8 = 0x18;
    const JEQ: u8 = 0x10;
    let alu = |op: u8, dst: u8, src: u8, imm: i32| {
        let x = if src == 0 { 0 } else { X };
        Insn::new(class::ALU64 | op | x, dst, src, 0, imm)
    };
    let map = code.insns.len() + 4;
    // Slots are below COUNTER_SLOTS.
    let store = class::ST | MEM | W;
    code.insns.extend([
        mov(VERDICT, R0),
        Insn::new(store, FRAME, 0, KEY, slot as i32),
        mov(R2, FRAME),
        alu(ADD, R2, 0, KEY.into()),
        Insn::new(LD_IMM64, R1, 0, 0, 0),
        Insn::default(),
        Insn { code: CALL, imm: MAP_LOOKUP_ELEM, ..Insn::default() },
        // Never null; the verifier wants to be told.
        jump(JEQ, R0, 0, 8),
        mov(R1, VERDICT),
        jump(JLE, R1, UNKNOWN, 1),
        mov_imm(R1, UNKNOWN),
        alu(LSH, R1, 0, 3),
        alu(ADD, R0, R1, 0),
        Insn::new(class::LDX | MEM | DW, R2, R0, 0, 0),
        alu(ADD, R2, 0, 1),
        Insn::new(class::STX | MEM | DW, R0, R2, 0, 0),
        mov(R0, VERDICT),
    ]);
    code.relocs.push(Reloc { insn: map as u32, target: RelocTarget::Map(MapId(0)) });
}
