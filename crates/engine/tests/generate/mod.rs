//! Programs that a verifier takes, at random: registers are always set, jumps go forward, the packet's
//! length is checked first.

use bpfweld_insn::Insn;
use bpfweld_link::{ImageSet, ImageTarget, MapSpec, SlotRef};
use bpfweld_object::{ProgramSpec, ProgramType};
use proptest::prelude::*;

use crate::common::*;

/// Registers that hold numbers throughout: r6 is the context, r7 the packet.
const NUMBERS: [u8; 8] = [0, 1, 2, 3, 4, 5, 8, 9];
/// Bytes of the packet that programs look at.
const SEEN: i16 = 48;
const ENTRIES: u32 = 4;
/// Types of the maps with keys, in the order of the set (`linux/bpf.h`): array, hash, LRU hash, LPM trie;
/// then those per CPU.
const KEYED_TYPES: [u32; 7] = [2, 1, 9, 11, 6, 5, 10];
/// So many maps have keys.
pub(crate) const KEYED: u8 = KEYED_TYPES.len() as u8;
/// Index of the first map with values per CPU.
pub(crate) const PER_CPU: usize = 4;
/// Index of the queue, behind it the stack and the prog array.
const QUEUE: usize = KEYED_TYPES.len();
const SLOTS: usize = QUEUE + 2;
/// A call of the other function, to be patched.
const CALL_OTHER: Insn = Insn { code: 0x85, dst: 0, src: 1, off: 0, imm: 0 };

/// One step of a program, each of one instruction or a few.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    /// Arithmetic: operation by number, registers, immediate, 64 bits?, register operand?
    Alu(u8, u8, u8, i32, bool, bool),
    /// Byte swap: which, register, width.
    Swap(u8, u8, u8),
    /// Sign-extending move.
    Extend(u8, u8, u8, bool),
    /// Jump over the next steps: condition, registers, immediate, 64 bits?, register?, how many.
    Jump(u8, u8, u8, i32, bool, bool, u8),
    /// Load: register, offset, size, from the packet?, signed?
    Load(u8, u8, u8, bool, bool),
    /// Store: register, offset, size, to the packet?, immediate?
    Store(u8, u8, u8, bool, Option<i32>),
    /// Atomic operation on the stack.
    Atomic(u8, u8, u8, bool),
    /// 64-bit immediate.
    Imm64(u8, u64),
    /// Look a key up and change the value: register of key, map.
    Lookup(u8, u8),
    /// Update or delete: register of key, map, flags; `None` deletes.
    Update(u8, u8, Option<u8>),
    /// Push, pop or peek; of the stack map, not the queue?
    Queue(u8, bool),
    /// Call the other function with two registers.
    Call(u8, u8),
    /// Move head, metadata or tail: which, by how many times 4 bytes.
    Move(u8, i8),
    /// Tail-call the program in a slot, or none.
    TailCall(bool),
    /// A checksum of the stack.
    Checksum(u8, u8),
}

pub(crate) fn step() -> impl Strategy<Value = Step> {
    let any_imm = prop_oneof![
        any::<i32>(),
        prop::sample::select(vec![0, 1, -1, i32::MIN, i32::MAX, 31, 32, 63, 64, 255, 65535])
    ];
    let imm = any_imm.boxed();
    prop_oneof![
        8 => (0..14u8, any::<u8>(), any::<u8>(), imm.clone(), any::<bool>(), any::<bool>())
            .prop_map(|(o, d, s, i, w, r)| Step::Alu(o, d, s, i, w, r)),
        1 => (0..3u8, any::<u8>(), 0..3u8).prop_map(|(k, d, w)| Step::Swap(k, d, w)),
        1 => (any::<u8>(), any::<u8>(), 0..3u8, any::<bool>())
            .prop_map(|(d, s, w, l)| Step::Extend(d, s, w, l)),
        2 => (0..12u8, any::<u8>(), any::<u8>(), imm.clone(), any::<bool>(), any::<bool>(), 1..6u8)
            .prop_map(|(o, d, s, i, w, r, n)| Step::Jump(o, d, s, i, w, r, n)),
        2 => (any::<u8>(), any::<u8>(), 0..4u8, any::<bool>(), any::<bool>())
            .prop_map(|(d, o, z, p, s)| Step::Load(d, o, z, p, s)),
        2 => (any::<u8>(), any::<u8>(), 0..4u8, any::<bool>(), prop::option::of(imm))
            .prop_map(|(d, o, z, p, i)| Step::Store(d, o, z, p, i)),
        1 => (0..10u8, any::<u8>(), any::<u8>(), any::<bool>())
            .prop_map(|(k, s, o, w)| Step::Atomic(k, s, o, w)),
        1 => (any::<u8>(), any::<u64>()).prop_map(|(d, i)| Step::Imm64(d, i)),
        2 => (any::<u8>(), 0..KEYED).prop_map(|(k, m)| Step::Lookup(k, m)),
        2 => (any::<u8>(), 0..KEYED, prop::option::of(0..4u8))
            .prop_map(|(k, m, f)| Step::Update(k, m, f)),
        1 => (0..3u8, any::<bool>()).prop_map(|(o, s)| Step::Queue(o, s)),
        1 => (any::<u8>(), any::<u8>()).prop_map(|(a, b)| Step::Call(a, b)),
        1 => (0..3u8, -3..4i8).prop_map(|(k, by)| Step::Move(k, by)),
        1 => any::<bool>().prop_map(Step::TailCall),
        1 => (0..4u8, 0..4u8).prop_map(|(a, b)| Step::Checksum(a, b)),
    ]
}

fn number(pick: u8) -> u8 {
    NUMBERS[usize::from(pick) % NUMBERS.len()]
}

/// Instructions of a step, and which of them is to get the address of which map.
fn emit(step: &Step, tc: bool) -> (Vec<Insn>, Option<(u32, usize)>) {
    let size = |z: u8| [0x00u8, 0x08, 0x10, 0x18][usize::from(z)];
    let bytes = |z: u8| [4i16, 2, 1, 8][usize::from(z)];
    // Where r1 to r5 are taken from after a call.
    let again = || (1..=5).map(|r| ins(0x79, r, 10, -8 * i16::from(r), 0));
    let place = |packet: bool, offset: u8, z: u8| match packet {
        true => (7, i16::from(offset) % (SEEN / bytes(z)) * bytes(z)),
        false => (10, -64 + i16::from(offset) % (64 / bytes(z)) * bytes(z)),
    };
    // The key's second half is there for the trie, whose first half is the length of a prefix.
    let key = |k: u8, map: u8| {
        let trie = if KEYED_TYPES[usize::from(map)] == 11 { 2 } else { 0 };
        [
            ins(0x63, 10, number(k), -68, 0),
            mov_reg(1, number(k)),
            ins(0x57, 1, 0, 0, 7),
            ins(0x67, 1, 0, 0, trie),
            ins(0x63, 10, 1, -72, 0),
        ]
    };
    let pointer = |reg: u8, offset: i32| [mov_reg(reg, 10), add(reg, offset)];
    let one = |insn| (vec![insn], None);
    match *step {
        Step::Alu(op, d, s, imm, wide, reg) => {
            let class = if wide { 7 } else { 4 };
            let (op, off) = match op {
                12 => (0x30, 1),
                13 => (0x90, 1),
                op => (
                    [0, 0x10, 0x20, 0x30, 0x40, 0x50, 0x60, 0x70, 0x80, 0x90, 0xa0, 0xb0, 0xc0]
                        [usize::from(op)],
                    0,
                ),
            };
            let width = if wide { 64 } else { 32 };
            let imm = match op {
                0x60 | 0x70 | 0xc0 => imm.rem_euclid(width),
                0x30 | 0x90 if imm == 0 => 1,
                _ => imm,
            };
            let reg = reg && op != 0x80;
            let (source, s) = if reg { (8, number(s)) } else { (0, 0) };
            let imm = if reg || op == 0x80 { 0 } else { imm };
            one(ins(class | op | source, number(d), s, off, imm))
        }
        Step::Swap(kind, d, width) => {
            let width = [16, 32, 64][usize::from(width)];
            one(ins([0xd4, 0xdc, 0xd7][usize::from(kind)], number(d), 0, 0, width))
        }
        Step::Extend(d, s, width, long) => {
            let width = [8, 16, 32][usize::from(width)];
            let code = if long || width == 32 { 0xbf } else { 0xbc };
            one(ins(code, number(d), number(s), width, 0))
        }
        Step::Jump(op, d, s, imm, wide, reg, _) => {
            let class = if wide { 5 } else { 6 };
            if op == 11 {
                // What is behind an unconditional jump must be reached from elsewhere.
                let jump = ins(if wide { 0x05 } else { 0x06 }, 0, 0, 0, 0);
                return (vec![ins(0x15, number(d), 0, 1, imm), jump], None);
            }
            let op =
                [0x10, 0x20, 0x30, 0x40, 0x50, 0x60, 0x70, 0xa0, 0xb0, 0xc0, 0xd0][usize::from(op)];
            match reg {
                true => one(ins(class | op | 8, number(d), number(s), 0, 0)),
                false => one(ins(class | op, number(d), 0, 0, imm)),
            }
        }
        Step::Load(d, offset, z, packet, signed) => {
            let (base, at) = place(packet, offset, z);
            let mode = if signed && z != 3 { 0x80 } else { 0x60 };
            one(ins(1 | mode | size(z), number(d), base, at, 0))
        }
        Step::Store(s, offset, z, packet, imm) => {
            let (base, at) = place(packet, offset, z);
            match imm {
                Some(imm) => one(ins(2 | 0x60 | size(z), base, 0, at, imm)),
                None => one(ins(3 | 0x60 | size(z), base, number(s), at, 0)),
            }
        }
        Step::Atomic(kind, s, offset, wide) => {
            let z = if wide { 3 } else { 0 };
            let (base, at) = place(false, offset, z);
            let kind = [0, 1, 0x40, 0x41, 0x50, 0x51, 0xa0, 0xa1, 0xe1, 0xf1][usize::from(kind)];
            let atomic = ins(3 | 0xc0 | size(z), base, number(s), at, kind);
            // See the test of the upper half behind a cmpxchg.
            let clear = (kind == 0xf1 && !wide).then(|| ins(0xbc, 0, 0, 0, 0));
            (std::iter::once(atomic).chain(clear).collect(), None)
        }
        Step::Imm64(d, imm) => {
            let low = ins(0x18, number(d), 0, 0, imm as u32 as i32);
            (vec![low, ins(0, 0, 0, 0, (imm >> 32) as i32)], None)
        }
        Step::Lookup(k, map) => {
            let mut out: Vec<Insn> = key(k, map).into();
            out.extend(pointer(2, -72));
            let at = out.len() as u32;
            out.extend(imm64(1));
            out.push(call_helper(1));
            out.push(ins(0x15, 0, 0, 3, 0));
            out.extend([ins(0x79, 1, 0, 0, 0), ins(0x0f, 1, 9, 0, 0), ins(0x7b, 0, 1, 0, 0)]);
            out.push(ins(0x79, 0, 10, -8, 0));
            out.extend(again());
            (out, Some((at, map.into())))
        }
        Step::Update(k, map, flags) => {
            let mut out: Vec<Insn> = key(k, map).into();
            out.push(ins(0x7b, 10, 9, -80, 0));
            out.extend(pointer(2, -72));
            out.extend(pointer(3, -80));
            out.push(mov(4, flags.unwrap_or(0).into()));
            let at = out.len() as u32;
            out.extend(imm64(1));
            out.push(call_helper(if flags.is_some() { 2 } else { 3 }));
            out.extend(again());
            (out, Some((at, map.into())))
        }
        Step::Queue(op, stack) => {
            let mut out = vec![ins(0x7b, 10, 9, -80, 0)];
            out.extend(pointer(2, -80));
            out.push(mov(3, 0));
            let at = out.len() as u32;
            out.extend(imm64(1));
            out.push(call_helper([87, 88, 89][usize::from(op)]));
            out.push(ins(0x79, 9, 10, -80, 0));
            out.extend(again());
            (out, Some((at, QUEUE + usize::from(stack))))
        }
        Step::Call(a, b) => {
            let mut out = vec![ins(0x7b, 10, number(b), -80, 0), mov_reg(1, number(a))];
            out.extend([ins(0x79, 2, 10, -80, 0), CALL_OTHER]);
            out.extend(again());
            (out, None)
        }
        Step::Move(kind, by) => {
            let by = i32::from(by) * 4;
            let mut out = vec![mov_reg(1, 6), mov(2, if tc { 60 + by } else { by }), mov(3, 0)];
            out.push(call_helper(match tc {
                true => 38,
                false => [44, 54, 65][usize::from(kind)],
            }));
            let (data, end) = if tc { (76, 80) } else { (0, 4) };
            out.extend([load_u32(7, 6, data), load_u32(2, 6, end), mov_reg(1, 7)]);
            // Too short to go on.
            out.extend([add(1, SEEN.into()), ins(0xbd, 1, 2, 2, 0), mov(0, 3), exit()]);
            out.extend(again());
            (out, None)
        }
        Step::TailCall(there) => {
            let mut out = vec![mov_reg(1, 6), mov(3, if there { 0 } else { 1 })];
            let at = out.len() as u32;
            out.extend(imm64(2));
            out.extend([call_helper(12), ins(0x79, 0, 10, -8, 0)]);
            out.extend(again());
            (out, Some((at, SLOTS)))
        }
        Step::Checksum(a, b) => {
            let mut out = Vec::new();
            out.extend(pointer(1, -64));
            out.push(mov(2, i32::from(a) * 4));
            out.extend(pointer(3, -32));
            out.push(mov(4, i32::from(b) * 4));
            out.push(mov_reg(5, 9));
            out.push(call_helper(28));
            out.extend(again());
            (out, None)
        }
    }
}

/// What a set is made of: the steps of its program, of the function that it calls, and of the program
/// in the slot of its prog array.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    steps: Vec<Step>,
    called: Vec<Step>,
    second: Vec<Step>,
    /// A program of type TC, not XDP?
    tc: bool,
}

pub(crate) fn plan() -> impl Strategy<Value = Plan> {
    let steps = |n| prop::collection::vec(step(), 1..n);
    let parts = (steps(40), steps(12), steps(12), any::<bool>());
    parts.prop_map(|(steps, called, second, tc)| Plan { steps, called, second, tc })
}

/// The set of a plan.
pub(crate) fn program(plan: &Plan) -> ImageSet {
    let mut set = SetBuilder::new();
    let mut maps = Vec::new();
    for (i, map_type) in KEYED_TYPES.into_iter().enumerate() {
        let spec = MapSpec { map_type, value_size: 8, ..array(ENTRIES) };
        let spec = match map_type {
            11 => MapSpec { key_size: 8, map_flags: 1, ..spec },
            // As many as there are keys: which one an LRU map gives up is the kernel's affair.
            9 | 10 => MapSpec { max_entries: 64, ..spec },
            _ => spec,
        };
        maps.push(set.defined(&format!("m{i}"), spec));
    }
    for (name, map_type) in [("queue", 22), ("stack", 23)] {
        let spec = MapSpec { map_type, key_size: 0, value_size: 8, ..array(ENTRIES) };
        maps.push(set.defined(name, spec));
    }
    let values = vec![(0, SlotRef::Image(1))];
    maps.push(set.defined("slots", MapSpec { map_type: 3, values, ..array(2) }));
    for (name, steps) in [("generated", &plan.steps), ("second", &plan.second)] {
        let (insns, relocs, main) = code(steps, &plan.called, plan.tc);
        let relocs: Vec<_> =
            relocs.into_iter().map(|(at, map)| (at, ImageTarget::Map(maps[map]))).collect();
        let rest = insns.len() as u32 - main;
        let functions = [(name, 0, main), ("called", main, rest)];
        let functions = if rest == 0 { &functions[..1] } else { &functions[..] };
        let image = set.functions(name, insns, &relocs, functions);
        if plan.tc {
            let image = &mut set.images[image as usize];
            image.section = "tc".into();
            image.program =
                ProgramSpec { prog_type: ProgramType::SCHED_CLS, ..ProgramSpec::unknown() };
        }
    }
    let mut set = set.finish();
    set.entries = 1;
    set
}

/// Instructions, where they refer to which map, and how many of them are the entry function's.
fn code(steps: &[Step], called: &[Step], tc: bool) -> (Vec<Insn>, Vec<(u32, usize)>, u32) {
    let (data, end) = if tc { (76, 80) } else { (0, 4) };
    let mut insns = vec![
        mov_reg(6, 1),
        load_u32(7, 6, data),
        load_u32(8, 6, end),
        mov_reg(0, 7),
        add(0, SEEN.into()),
        // Too short: never so at first, but the verifier wants to see it.
        ins(0xbd, 0, 8, 2, 0),
        mov(0, 1),
        exit(),
    ];
    for (i, &reg) in NUMBERS.iter().enumerate() {
        insns.push(ins(0x79, reg, 7, i as i16 % 6 * 8, 0));
        insns.push(ins(0x7b, 10, reg, -8 * (i as i16 + 1), 0));
    }
    let mut relocs = Vec::new();
    let mut starts = Vec::new();
    for step in steps {
        starts.push(insns.len());
        let (more, map) = emit(step, tc);
        if let Some((at, map)) = map {
            relocs.push((insns.len() as u32 + at, map));
        }
        insns.extend(more);
    }
    starts.push(insns.len());
    for (i, step) in steps.iter().enumerate() {
        if let Step::Jump(.., over) = step {
            let to = starts[(i + 1 + usize::from(*over)).min(steps.len())];
            // The jump is the step's last instruction.
            let distance = to - starts[i + 1];
            let insn = &mut insns[starts[i + 1] - 1];
            match insn.code {
                0x06 => insn.imm = distance as i32,
                _ => insn.off = distance as i16,
            }
        }
    }
    // Everything that was computed can be seen: in the packet, and in the verdict.
    for (i, reg) in [0, 1, 2, 3, 8, 9].into_iter().enumerate() {
        insns.push(ins(0x7b, 7, reg, i as i16 * 8, 0));
    }
    for reg in [4, 5, 8, 9] {
        insns.push(ins(0xaf, 0, reg, 0, 0));
    }
    insns.push(exit());
    let main = insns.len();
    let mut calls = false;
    for (at, insn) in insns.iter_mut().enumerate().filter(|(_, insn)| **insn == CALL_OTHER) {
        insn.imm = (main - at - 1) as i32;
        calls = true;
    }
    if calls {
        // A function of numbers only.
        insns.extend([0, 3, 5, 8].map(|reg| mov_reg(reg, 1)));
        insns.extend([4, 9].map(|reg| mov_reg(reg, 2)));
        for step in called {
            if matches!(step, Step::Alu(..) | Step::Swap(..) | Step::Extend(..) | Step::Imm64(..)) {
                insns.extend(emit(step, tc).0);
            }
        }
        insns.extend([1, 2, 3, 4, 5, 8, 9].map(|reg| ins(0xaf, 0, reg, 0, 0)));
        insns.push(exit());
    }
    (insns, relocs, main as u32)
}
