//! Control flow and register use of single instructions: where one can go next, which registers it
//! reads and writes. What a linker needs to move, inline or check code; no whole-program analysis.

use crate::{CALL, EXIT, Insn, JA, JA32, class, helper_arguments, pseudo};

/// Conditional `goto` that the verifier may take at will to bound a loop (`BPF_JMP | BPF_JCOND`,
/// `src` = 0), kernel 6.9.
pub const JCOND: u8 = 0xe5;
/// Indirect call of the function whose address is in a register (`BPF_JMP | BPF_CALL | BPF_X`).
/// clang emits it below `-O2`; no kernel takes it.
pub const CALLX: u8 = 0x8d;
/// Indirect jump to the address in a register (`BPF_JMP | BPF_JA | BPF_X`), kernel 6.19.
pub const JAX: u8 = 0x0d;

/// Where control goes behind an instruction, in slots of its function.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Flow {
    /// To this slot only: the next one, or the target of an unconditional jump. A call comes back,
    /// so it is one of these.
    To(i64),
    /// To either slot: falls through, or jumps.
    Either {
        /// Slot when the jump is not taken.
        next: i64,
        /// Slot when it is.
        target: i64,
    },
    /// Returns to the caller.
    Exit,
    /// To a place that the instruction does not tell ([`JAX`]).
    Unknown,
}

impl Flow {
    /// The slots that may come next; none behind an exit or an indirect jump.
    pub fn successors(self) -> impl Iterator<Item = i64> {
        let (a, b) = match self {
            Self::To(slot) => (Some(slot), None),
            Self::Either { next, target } => (Some(next), Some(target)),
            Self::Exit | Self::Unknown => (None, None),
        };
        a.into_iter().chain(b)
    }
}

/// A set of registers: bit n is register n.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Regs(pub u16);

impl Regs {
    /// No register.
    pub const NONE: Self = Self(0);
    /// r1 to r5: the arguments of a call, lost behind it.
    pub const ARGS: Self = Self(0b11_1110);
    /// r0 to r5: what a call overwrites.
    pub const CALLER_SAVED: Self = Self(0b11_1111);
    /// r6 to r9: what a call leaves alone.
    pub const CALLEE_SAVED: Self = Self(0b11_1100_0000);

    /// One register.
    pub fn one(reg: u8) -> Self {
        Self(1 << (reg & 0xf))
    }

    /// Is the register in the set?
    pub fn has(self, reg: u8) -> bool {
        self.0 & Self::one(reg).0 != 0
    }

    /// Registers of either set.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Registers of this set that are not in the other.
    #[must_use]
    pub fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }
}

impl std::fmt::Debug for Regs {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let regs = (0..16u8).filter(|&r| self.has(r)).map(|r| format!("r{r}"));
        f.debug_set().entries(regs).finish()
    }
}

/// Which registers an instruction reads and writes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct RegUse {
    /// Registers read. For a call of a function whose arity is not known here: all of r1 to r5.
    pub reads: Regs,
    /// Registers whose old value is gone afterwards.
    pub writes: Regs,
}

/// Operation of a jump that compares nothing: `BPF_JA`.
const OP_JA: u8 = 0x00;
const OP_CALL: u8 = 0x80;
const OP_EXIT: u8 = 0x90;
const OP_JCOND: u8 = 0xe0;
const OP_NEG: u8 = 0x80;
const OP_MOV: u8 = 0xb0;
const OP_END: u8 = 0xd0;
/// Bit of the opcode: the second operand is a register (`BPF_X`).
const SRC_REG: u8 = 0x08;
/// Memory modes (`BPF_MODE`).
const MODE_MASK: u8 = 0xe0;
const MODE_ABS: u8 = 0x20;
const MODE_IND: u8 = 0x40;
const MODE_ATOMIC: u8 = 0xc0;
/// Values of `imm` in an atomic operation (RFC 9669, section 5.3).
const ATOMIC_FETCH: i32 = 0x01;
const ATOMIC_CMPXCHG: i32 = 0xf1;
const ATOMIC_LOAD_ACQ: i32 = 0x100;
const ATOMIC_STORE_REL: i32 = 0x110;

impl Insn {
    /// Slots that the instruction takes: 2 for a 64-bit immediate load, else 1.
    pub fn slots(self) -> usize {
        if self.is_ld_imm64() { 2 } else { 1 }
    }

    /// Is it a jump (conditional or not) with a target in its own function? The target is
    /// [`Insn::jump_target`].
    pub fn is_jump(self) -> bool {
        let class = matches!(self.class(), class::JMP | class::JMP32);
        class && self.code != JAX && !matches!(self.code & 0xf0, OP_CALL | OP_EXIT)
    }

    /// Distance of a jump in slots from the slot behind it: `imm` for [`JA32`], else `off`. `None`
    /// when the instruction is no jump.
    pub fn jump_distance(self) -> Option<i32> {
        self.is_jump().then(|| if self.code == JA32 { self.imm } else { self.off.into() })
    }

    /// Slot that a jump at slot `at` goes to. May lie outside the function: the caller checks.
    pub fn jump_target(self, at: usize) -> Option<i64> {
        Some(slot(at) + 1 + i64::from(self.jump_distance()?))
    }

    /// Where control goes from this instruction, which is at slot `at`.
    pub fn flow(self, at: usize) -> Flow {
        let next = slot(at + self.slots());
        match self.jump_target(at) {
            Some(target) if matches!(self.code, JA | JA32) => Flow::To(target),
            Some(target) => Flow::Either { next, target },
            None if self.code == EXIT => Flow::Exit,
            None if self.code == JAX => Flow::Unknown,
            None => Flow::To(next),
        }
    }

    /// Which registers it reads and writes. Of a 64-bit immediate load: give the first slot; the
    /// second counts as an instruction that does nothing.
    pub fn reg_use(self) -> RegUse {
        let (dst, src) = (Regs::one(self.dst()), Regs::one(self.src()));
        let operand = if self.code & SRC_REG != 0 { src } else { Regs::NONE };
        match self.class() {
            class::LD => match self.code & MODE_MASK {
                // Legacy packet loads: r6 holds the context, and they clobber like a call.
                MODE_ABS => RegUse { reads: Regs::one(6), writes: Regs::CALLER_SAVED },
                MODE_IND => RegUse { reads: Regs::one(6).or(src), writes: Regs::CALLER_SAVED },
                _ if self.is_ld_imm64() => RegUse { reads: Regs::NONE, writes: dst },
                _ => RegUse::default(),
            },
            class::LDX => RegUse { reads: src, writes: dst },
            class::ST => RegUse { reads: dst, writes: Regs::NONE },
            class::STX if self.code & MODE_MASK == MODE_ATOMIC => self.atomic_use(),
            class::STX => RegUse { reads: dst.or(src), writes: Regs::NONE },
            class::ALU | class::ALU64 => match self.code & 0xf0 {
                OP_MOV => RegUse { reads: operand, writes: dst },
                // The operand bit selects the byte order here, not a register.
                OP_END | OP_NEG => RegUse { reads: dst, writes: dst },
                _ => RegUse { reads: dst.or(operand), writes: dst },
            },
            _ => self.branch_use(dst, operand),
        }
    }

    fn branch_use(self, dst: Regs, operand: Regs) -> RegUse {
        match self.code & 0xf0 {
            OP_CALL if self.code == CALLX => {
                RegUse { reads: Regs::ARGS.or(dst), writes: Regs::CALLER_SAVED }
            }
            OP_CALL => RegUse { reads: self.call_reads(), writes: Regs::CALLER_SAVED },
            OP_EXIT => RegUse { reads: Regs::one(0), writes: Regs::NONE },
            OP_JA if self.code == JAX => RegUse { reads: dst, writes: Regs::NONE },
            OP_JA | OP_JCOND => RegUse::default(),
            _ => RegUse { reads: dst.or(operand), writes: Regs::NONE },
        }
    }

    fn atomic_use(self) -> RegUse {
        let (dst, src) = (Regs::one(self.dst()), Regs::one(self.src()));
        let operation = self.imm;
        match operation {
            ATOMIC_LOAD_ACQ => RegUse { reads: src, writes: dst },
            ATOMIC_STORE_REL => RegUse { reads: dst.or(src), writes: Regs::NONE },
            ATOMIC_CMPXCHG => RegUse { reads: dst.or(src).or(Regs::one(0)), writes: Regs::one(0) },
            op if op & ATOMIC_FETCH != 0 => RegUse { reads: dst.or(src), writes: src },
            _ => RegUse { reads: dst.or(src), writes: Regs::NONE },
        }
    }

    /// Arguments that a call reads: of a helper as many as it takes, of anything else all five.
    fn call_reads(self) -> Regs {
        let helper =
            self.code == CALL && self.src() != pseudo::CALL && self.src() != pseudo::KFUNC_CALL;
        let count = if helper { helper_arguments(self.imm.cast_unsigned()) } else { None };
        // r1 is the first.
        count.map_or(Regs::ARGS, |count| Regs(Regs::ARGS.0 & ((2 << count) - 1)))
    }
}

/// Slot numbers are signed where jumps are computed; a program has far fewer than 2^63.
fn slot(at: usize) -> i64 {
    i64::try_from(at).unwrap_or(i64::MAX - i64::from(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::LD_IMM64;

    #[test]
    fn flow_of_every_sort() {
        let conditional = Insn::new(0x15, 1, 0, -3, 0); // if r1 == 0 goto -3
        assert_eq!(conditional.flow(10), Flow::Either { next: 11, target: 8 });
        assert_eq!(Insn::new(0x16, 1, 0, 2, 0).flow(0), Flow::Either { next: 1, target: 3 });
        assert_eq!(Insn::new(JA, 0, 0, -1, 7).flow(4), Flow::To(4));
        assert_eq!(Insn::new(JA32, 0, 0, 7, -100_000).flow(200_000), Flow::To(100_001));
        assert_eq!(Insn::new(JCOND, 0, 0, 5, 0).flow(1), Flow::Either { next: 2, target: 7 });
        assert_eq!(Insn::new(LD_IMM64, 1, 0, 0, 0).flow(3), Flow::To(5));
        assert_eq!(Insn::new(CALL, 0, 1, 0, 50).flow(3), Flow::To(4));
        assert_eq!(Insn::new(CALLX, 2, 0, 0, 0).flow(3), Flow::To(4));
        assert_eq!(Insn::new(EXIT, 0, 0, 0, 0).flow(3), Flow::Exit);
        assert_eq!(Insn::new(JAX, 1, 0, 0, 0).flow(3), Flow::Unknown);
        assert_eq!(Insn::new(0x07, 1, 0, 9, 1).flow(0), Flow::To(1)); // an off field of no jump
        assert_eq!(Insn::new(JA, 0, 0, i16::MIN, 0).jump_target(0), Some(-32767));
        assert_eq!(Flow::Either { next: 1, target: 3 }.successors().collect::<Vec<_>>(), [1, 3]);
        assert_eq!(Flow::Exit.successors().count(), 0);
    }

    #[test]
    fn registers_of_every_class() {
        let used = |i: Insn| (i.reg_use().reads.0, i.reg_use().writes.0);
        let (r0, r1, r2, r6) = (1, 2, 4, 1 << 6);
        assert_eq!(used(Insn::new(LD_IMM64, 2, 1, 0, 0)), (0, r2));
        assert_eq!(used(Insn::new(0x79, 1, 2, 8, 0)), (r2, r1)); // r1 = *(u64 *)(r2 + 8)
        assert_eq!(used(Insn::new(0x7b, 1, 2, 8, 0)), (r1 | r2, 0)); // *(u64 *)(r1 + 8) = r2
        assert_eq!(used(Insn::new(0x7a, 1, 0, 8, 3)), (r1, 0)); // *(u64 *)(r1 + 8) = 3
        assert_eq!(used(Insn::new(0xbf, 1, 2, 0, 0)), (r2, r1)); // r1 = r2
        assert_eq!(used(Insn::new(0xb7, 1, 0, 0, 5)), (0, r1)); // r1 = 5
        assert_eq!(used(Insn::new(0x0f, 1, 2, 0, 0)), (r1 | r2, r1)); // r1 += r2
        assert_eq!(used(Insn::new(0xdc, 1, 0, 0, 16)), (r1, r1)); // r1 = be16 r1
        assert_eq!(used(Insn::new(0x87, 1, 0, 0, 0)), (r1, r1)); // r1 = -r1
        assert_eq!(used(Insn::new(0x1d, 1, 2, 1, 0)), (r1 | r2, 0)); // if r1 == r2
        assert_eq!(used(Insn::new(0x15, 1, 0, 1, 0)), (r1, 0)); // if r1 == 0
        assert_eq!(used(Insn::new(JA, 0, 0, 1, 0)), (0, 0));
        assert_eq!(used(Insn::new(EXIT, 0, 0, 0, 0)), (r0, 0));
        assert_eq!(used(Insn::new(CALL, 0, 0, 0, 1)), (r1 | r2, 0x3f)); // map_lookup_elem
        assert_eq!(used(Insn::new(CALL, 0, 0, 0, 25)), (0x3e, 0x3f)); // perf_event_output: all five
        assert_eq!(used(Insn::new(CALL, 0, 0, 0, 212)), (0x3e, 0x3f)); // no kernel has it
        assert_eq!(used(Insn::new(CALL, 0, 0, 0, -1)), (0x3e, 0x3f));
        assert_eq!(used(Insn::new(CALL, 0, 0, 0, 5)), (0, 0x3f)); // ktime_get_ns
        assert_eq!(used(Insn::new(CALL, 0, 1, 0, 5)), (0x3e, 0x3f)); // a call 5 slots ahead
        assert_eq!(used(Insn::new(0x30, 0, 0, 0, 4)), (r6, 0x3f)); // r0 = *(u8 *)skb[4]
        assert_eq!(used(Insn::new(0x50, 0, 2, 0, 4)), (r6 | r2, 0x3f));
        assert_eq!(used(Insn::new(0xdb, 1, 2, 0, 0)), (r1 | r2, 0)); // lock add
        assert_eq!(used(Insn::new(0xdb, 1, 2, 0, 1)), (r1 | r2, r2)); // fetch add
        assert_eq!(used(Insn::new(0xdb, 1, 2, 0, 0xe1)), (r1 | r2, r2)); // xchg
        assert_eq!(used(Insn::new(0xdb, 1, 2, 0, 0xf1)), (r0 | r1 | r2, r0)); // cmpxchg
        assert_eq!(used(Insn::new(0xdb, 1, 2, 0, 0x100)), (r2, r1)); // load_acquire
        assert_eq!(used(Insn::new(0xdb, 1, 2, 0, 0x110)), (r1 | r2, 0)); // store_release
        assert_eq!(used(Insn::default()), (0, 0)); // second slot of an ldimm64
    }

    #[test]
    fn register_sets() {
        let set = Regs::one(1).or(Regs::one(6));
        assert!(set.has(6) && !set.has(2));
        assert_eq!(set.without(Regs::ARGS), Regs::one(6));
        assert_eq!(format!("{set:?}"), r#"{"r1", "r6"}"#);
    }
}
