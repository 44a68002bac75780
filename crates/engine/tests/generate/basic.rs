//! The steps that all generated programs may take, and what such a program begins and ends with: registers
//! are always set, jumps go forward, the packet's length is checked first.

use bpfweld_insn::Insn;
use proptest::prelude::*;

use super::common::*;

/// Registers that hold numbers throughout: r6 is the context, r7 the packet.
pub(crate) const NUMBERS: [u8; 8] = [0, 1, 2, 3, 4, 5, 8, 9];
/// Bytes of the packet that programs look at.
pub(crate) const SEEN: i16 = 48;

/// One step of a program, each of one instruction or a few.
#[derive(Clone, Debug)]
pub(crate) enum Basic {
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
    /// A checksum of the stack.
    Checksum(u8, u8),
}

/// The share of these steps among all, beside steps that count 1 or 2.
pub(crate) const WEIGHT: u32 = 19;

pub(crate) fn basic() -> impl Strategy<Value = Basic> {
    let any_imm = prop_oneof![
        any::<i32>(),
        prop::sample::select(vec![0, 1, -1, i32::MIN, i32::MAX, 31, 32, 63, 64, 255, 65535])
    ];
    let imm = any_imm.boxed();
    prop_oneof![
        8 => (0..14u8, any::<u8>(), any::<u8>(), imm.clone(), any::<bool>(), any::<bool>())
            .prop_map(|(o, d, s, i, w, r)| Basic::Alu(o, d, s, i, w, r)),
        1 => (0..3u8, any::<u8>(), 0..3u8).prop_map(|(k, d, w)| Basic::Swap(k, d, w)),
        1 => (any::<u8>(), any::<u8>(), 0..3u8, any::<bool>())
            .prop_map(|(d, s, w, l)| Basic::Extend(d, s, w, l)),
        2 => (0..12u8, any::<u8>(), any::<u8>(), imm.clone(), any::<bool>(), any::<bool>(), 1..6u8)
            .prop_map(|(o, d, s, i, w, r, n)| Basic::Jump(o, d, s, i, w, r, n)),
        2 => (any::<u8>(), any::<u8>(), 0..4u8, any::<bool>(), any::<bool>())
            .prop_map(|(d, o, z, p, s)| Basic::Load(d, o, z, p, s)),
        2 => (any::<u8>(), any::<u8>(), 0..4u8, any::<bool>(), prop::option::of(imm))
            .prop_map(|(d, o, z, p, i)| Basic::Store(d, o, z, p, i)),
        1 => (0..10u8, any::<u8>(), any::<u8>(), any::<bool>())
            .prop_map(|(k, s, o, w)| Basic::Atomic(k, s, o, w)),
        1 => (any::<u8>(), any::<u64>()).prop_map(|(d, i)| Basic::Imm64(d, i)),
        1 => (0..4u8, 0..4u8).prop_map(|(a, b)| Basic::Checksum(a, b)),
    ]
}

pub(crate) fn number(pick: u8) -> u8 {
    NUMBERS[usize::from(pick) % NUMBERS.len()]
}

/// Takes r1 to r5 from the stack again, behind a call.
pub(crate) fn again() -> impl Iterator<Item = Insn> {
    (1..=5).map(|r| ins(0x79, r, 10, -8 * i16::from(r), 0))
}

/// An address on the stack.
pub(crate) fn pointer(reg: u8, offset: i32) -> [Insn; 2] {
    [mov_reg(reg, 10), add(reg, offset)]
}

/// Instructions of a step; a jump is its last one, and goes nowhere yet.
pub(crate) fn emit(step: &Basic) -> Vec<Insn> {
    let size = |z: u8| [0x00u8, 0x08, 0x10, 0x18][usize::from(z)];
    let bytes = |z: u8| [4i16, 2, 1, 8][usize::from(z)];
    let place = |packet: bool, offset: u8, z: u8| match packet {
        true => (7, i16::from(offset) % (SEEN / bytes(z)) * bytes(z)),
        false => (10, -64 + i16::from(offset) % (64 / bytes(z)) * bytes(z)),
    };
    let one = |insn| vec![insn];
    match *step {
        Basic::Alu(op, d, s, imm, wide, reg) => {
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
        Basic::Swap(kind, d, width) => {
            let width = [16, 32, 64][usize::from(width)];
            one(ins([0xd4, 0xdc, 0xd7][usize::from(kind)], number(d), 0, 0, width))
        }
        Basic::Extend(d, s, width, long) => {
            let width = [8, 16, 32][usize::from(width)];
            let code = if long || width == 32 { 0xbf } else { 0xbc };
            one(ins(code, number(d), number(s), width, 0))
        }
        Basic::Jump(op, d, s, imm, wide, reg, _) => {
            let class = if wide { 5 } else { 6 };
            if op == 11 {
                // What is behind an unconditional jump must be reached from elsewhere.
                let jump = ins(if wide { 0x05 } else { 0x06 }, 0, 0, 0, 0);
                return vec![ins(0x15, number(d), 0, 1, imm), jump];
            }
            let op =
                [0x10, 0x20, 0x30, 0x40, 0x50, 0x60, 0x70, 0xa0, 0xb0, 0xc0, 0xd0][usize::from(op)];
            match reg {
                true => one(ins(class | op | 8, number(d), number(s), 0, 0)),
                false => one(ins(class | op, number(d), 0, 0, imm)),
            }
        }
        Basic::Load(d, offset, z, packet, signed) => {
            let (base, at) = place(packet, offset, z);
            let mode = if signed && z != 3 { 0x80 } else { 0x60 };
            one(ins(1 | mode | size(z), number(d), base, at, 0))
        }
        Basic::Store(s, offset, z, packet, imm) => {
            let (base, at) = place(packet, offset, z);
            match imm {
                Some(imm) => one(ins(2 | 0x60 | size(z), base, 0, at, imm)),
                None => one(ins(3 | 0x60 | size(z), base, number(s), at, 0)),
            }
        }
        Basic::Atomic(kind, s, offset, wide) => {
            let z = if wide { 3 } else { 0 };
            let (base, at) = place(false, offset, z);
            let kind = [0, 1, 0x40, 0x41, 0x50, 0x51, 0xa0, 0xa1, 0xe1, 0xf1][usize::from(kind)];
            let atomic = ins(3 | 0xc0 | size(z), base, number(s), at, kind);
            // A comparison that holds leaves the upper half of r0 alone on Linux 6.18 (x86) where its
            // verifier overlooks who reads it; RFC 9669 (5.3) and the engine clear it.
            let clear = (kind == 0xf1 && !wide).then(|| ins(0xbc, 0, 0, 0, 0));
            std::iter::once(atomic).chain(clear).collect()
        }
        Basic::Imm64(d, imm) => {
            let low = ins(0x18, number(d), 0, 0, imm as u32 as i32);
            vec![low, ins(0, 0, 0, 0, (imm >> 32) as i32)]
        }
        Basic::Checksum(a, b) => {
            let mut out = Vec::new();
            out.extend(pointer(1, -64));
            out.push(mov(2, i32::from(a) * 4));
            out.extend(pointer(3, -32));
            out.push(mov(4, i32::from(b) * 4));
            out.push(mov_reg(5, 9));
            out.push(call_helper(28));
            out.extend(again());
            out
        }
    }
}

/// The context to r6, the packet to r7 (its bounds are at these offsets), numbers from it to the other
/// registers and the stack.
fn prologue(data: i16, end: i16) -> Vec<Insn> {
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
    insns
}

/// A program but for its exit: what it begins with, its steps, what it ends with; and where it refers to
/// which map. `emit` gives a step's instructions, and which of them refers to a map; `basic` the step as
/// one that may jump.
pub(crate) fn body<'s, S, M>(
    (data, end): (i16, i16),
    steps: &'s [S],
    emit: impl Fn(&S) -> (Vec<Insn>, Option<(u32, M)>),
    basic: impl Fn(&'s S) -> Option<&'s Basic>,
) -> (Vec<Insn>, Vec<(u32, M)>) {
    let mut insns = prologue(data, end);
    let mut relocs = Vec::new();
    let mut starts = Vec::new();
    for step in steps {
        starts.push(insns.len());
        let (more, map) = emit(step);
        relocs.extend(map.map(|(at, map)| (insns.len() as u32 + at, map)));
        insns.extend(more);
    }
    starts.push(insns.len());
    jump(&mut insns, &starts, steps.iter().map(basic));
    insns.extend(epilogue());
    (insns, relocs)
}

/// Lets the jumps of steps go where they are to. `starts`: of each step, and behind the last one.
fn jump<'s>(insns: &mut [Insn], starts: &[usize], steps: impl Iterator<Item = Option<&'s Basic>>) {
    for (i, step) in steps.enumerate() {
        if let Some(Basic::Jump(.., over)) = step {
            let to = starts[(i + 1 + usize::from(*over)).min(starts.len() - 1)];
            // The jump is the step's last instruction.
            let distance = to - starts[i + 1];
            let insn = &mut insns[starts[i + 1] - 1];
            match insn.code {
                0x06 => insn.imm = distance as i32,
                _ => insn.off = distance as i16,
            }
        }
    }
}

/// Everything that was computed can be seen: in the packet, and in the verdict.
fn epilogue() -> Vec<Insn> {
    let stores = [0, 1, 2, 3, 8, 9].into_iter().enumerate();
    let stores = stores.map(|(i, reg)| ins(0x7b, 7, reg, i as i16 * 8, 0));
    stores.chain([4, 5, 8, 9].map(|reg| ins(0xaf, 0, reg, 0, 0))).collect()
}
