//! Which registers hold the same value, which a known one: value numbers over a body's graph.
//!
//! A number stands for the outcome of the *last* execution of one instruction, or for what a register
//! held when one block was last entered from places that disagree. Two registers with the same number
//! hold the same value: for a register to keep the outcome of an earlier execution under the same number,
//! it would have to hold that number before the instruction on every path, and on the path that comes
//! there first nothing can.

use bpfweld_insn::{Insn, Regs, class};
use foldhash::{HashMap, HashMapExt as _};

use super::code::{BlockId, Body, End, FP, Inst};
use super::order::Waiting;

/// A value number. Most say themselves what they stand for; others are an index into [`Numbers`]' table.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) struct Number(u64);

impl Number {
    /// Bits of what stands beside the kind, which is above them.
    const BITS: u32 = 60;
    const MASK: u64 = (1 << Self::BITS) - 1;
    const IN_TABLE: u64 = 0;
    const ENTRY: u64 = 1;
    const CONST: u64 = 2;
    const OUTCOME: u64 = 3;
    const JOIN: u64 = 4;
    const UNKNOWN: u64 = 5;

    /// What r1 held when the function began.
    const CONTEXT: Self = Self::new(Self::ENTRY, 1);

    const fn new(kind: u64, rest: u64) -> Self {
        Self(kind << Self::BITS | rest & Self::MASK)
    }

    /// The number that says itself that it stands for this value.
    #[inline]
    fn speaking(value: Value) -> Option<Self> {
        /// Blocks and instructions have numbers below this: no program comes near.
        const MANY: u32 = 1 << 28;
        Some(match value {
            Value::Entry(reg) => Self::new(Self::ENTRY, reg.into()),
            Value::Const(value) if (value.cast_signed() << 4) >> 4 == value.cast_signed() => {
                Self::new(Self::CONST, value)
            }
            Value::Outcome(block, at, reg) if block < MANY && at < MANY && reg < 16 => {
                let place = u64::from(block) << 28 | u64::from(at);
                Self::new(Self::OUTCOME, place << 4 | u64::from(reg))
            }
            Value::Join(block, reg) => {
                Self::new(Self::JOIN, u64::from(block) << 8 | u64::from(reg))
            }
            _ => return None,
        })
    }
}

/// What a number stands for.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) enum Value {
    /// What a register held when the function began.
    Entry(u8),
    /// This constant.
    Const(u64),
    /// Outcome of an instruction (block, index) in a register.
    Outcome(u32, u32, u8),
    /// What a register held when the block began.
    Join(u32, u8),
    /// Another value plus a constant, 64 bits.
    Sum(Number, i64),
    /// A field of the context that bounds the packet, by its offset, as long as the packet is not
    /// moved (the second number); as a certain instruction (block, index) loaded it. Another load while
    /// a register holds it has the same number. A load after that has not, though the value is the same:
    /// to the verifier it is another pointer, of which no comparison has told anything.
    Bound(i16, Number, u32, u32),
    /// A load from the packet: the bound that its address is counted from, the distance in bytes, the
    /// opcode, the packet's contents.
    Packet(Number, i64, u8, Number),
    /// The packet's contents behind a store: the contents before, the bound and the distance that tell
    /// where, how many bytes, and the instruction (block, index).
    Stored(Number, Number, i64, u8, u32, u32),
    /// Arithmetic: opcode, operands.
    Outgrowth(u8, Number, Number),
}

/// Registers 0 to 10, the packet's whereabouts, its contents.
pub(super) type State = [Number; PARTS];
/// Index of the packet's whereabouts in a [`State`].
const PACKET: usize = 11;
/// Index of the packet's contents.
const CONTENTS: usize = 12;
const PARTS: usize = 13;
/// Stores that a load is looked for behind, back to the last load of the same place.
const MAX_STORES: usize = 16;

/// Context fields of 32 bits that hold the packet's bounds.
pub(super) type Bounds = &'static [i16];

/// A comparison that is known to hold, or not to: the jump's opcode, its operands, the answer.
pub(super) type Fact = (u8, Number, Number, bool);

/// Facts that are kept per block.
const MAX_FACTS: usize = 24;

/// What is known at some place.
#[derive(Clone, Copy, Debug)]
pub(super) struct Known {
    pub(super) regs: State,
    pub(super) facts: Facts,
}

/// Facts, by the one that was learned last: an index into [`Numbers`]' table of facts, each of which says
/// which was learned before. So places that know the same share it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Facts(u32);

impl Facts {
    const NONE: Self = Self(u32::MAX);
}

/// A fact that was learned, and what was known before.
#[derive(Clone, Copy, Debug)]
struct Learned {
    fact: Fact,
    before: Facts,
    /// How many facts that makes.
    count: usize,
}

/// What is known at the start of each block, as far as ways there were followed.
pub(super) struct Arrivals {
    /// `None` for a block that nothing leads to yet.
    pub(super) known: Vec<Option<Known>>,
    /// Registers that got a join's number in a block keep it: so going round ends.
    joined: Vec<[bool; PARTS]>,
}

/// Values and their numbers.
pub(super) struct Numbers {
    values: Vec<Value>,
    index: HashMap<Value, Number>,
    learned: Vec<Learned>,
    /// The last load of each place of the packet behind stores: of which contents, and as of which it is the same.
    loaded: HashMap<(Number, i64, u8), (Number, Number)>,
    /// How many numbers of which nothing is known were given out.
    unknown: u64,
    /// Bounds of the packet in the context that r1 holds on entry; empty where it holds another thing.
    bounds: Bounds,
}

impl Numbers {
    pub(super) fn new(bounds: Bounds) -> Self {
        /// Of a short program.
        const USUAL: usize = 32;
        Self {
            values: Vec::with_capacity(USUAL),
            index: HashMap::with_capacity(USUAL),
            learned: Vec::with_capacity(USUAL),
            loaded: HashMap::new(),
            unknown: 0,
            bounds,
        }
    }

    #[inline]
    pub(super) fn number(&mut self, value: Value) -> Number {
        match Number::speaking(value) {
            Some(number) => number,
            None => self.listed(value),
        }
    }

    fn listed(&mut self, value: Value) -> Number {
        let next = Number::new(Number::IN_TABLE, self.values.len() as u64);
        let at = *self.index.entry(value).or_insert(next);
        if at == next {
            self.values.push(value);
        }
        at
    }

    /// A number of its own, of which nothing is known.
    pub(super) fn unknown(&mut self) -> Number {
        self.unknown += 1;
        Number::new(Number::UNKNOWN, self.unknown)
    }

    #[inline]
    pub(super) fn value(&self, number: Number) -> Option<Value> {
        let rest = number.0 & Number::MASK;
        let reg = (rest & 0xf) as u8;
        Some(match number.0 >> Number::BITS {
            Number::ENTRY => Value::Entry(reg),
            Number::CONST => Value::Const(((rest << 4).cast_signed() >> 4).cast_unsigned()),
            Number::OUTCOME => {
                Value::Outcome((rest >> 32) as u32, (rest >> 4) as u32 & 0xfff_ffff, reg)
            }
            Number::JOIN => Value::Join((rest >> 8) as u32, reg),
            _ => return self.in_table(number).copied(),
        })
    }

    /// What a number stands for that does not say so itself.
    #[inline]
    fn in_table(&self, number: Number) -> Option<&Value> {
        let rest = (number.0 & Number::MASK) as usize;
        self.values.get(rest).filter(|_| number.0 >> Number::BITS == Number::IN_TABLE)
    }

    #[inline]
    pub(super) fn constant(&self, number: Number) -> Option<u64> {
        match self.value(number)? {
            Value::Const(c) => Some(c),
            _ => None,
        }
    }

    /// A bound of the packet?
    #[inline]
    fn bounds_packet(&self, number: Number) -> bool {
        matches!(self.in_table(number), Some(Value::Bound(..)))
    }

    /// The context pointer, or one of the packet's bounds?
    #[inline]
    pub(super) fn is_kept(&self, number: Number) -> bool {
        number == Number::CONTEXT || self.bounds_packet(number)
    }

    fn entry(&mut self) -> Known {
        let regs = std::array::from_fn(|reg| self.number(Value::Entry(reg as u8)));
        Known { regs, facts: Facts::NONE }
    }

    /// What is known at the start of each block; `None` for one that is not reached.
    pub(super) fn analyse(&mut self, body: &Body) -> Arrivals {
        let mut arrivals = self.arrivals(body);
        let mut waiting = Waiting::at_entry(body);
        while let Some(at) = waiting.next() {
            let Some(Known { mut regs, facts }) = arrivals.known[at] else { continue };
            for (i, inst) in body.code(at).iter().enumerate() {
                self.step((at, i), inst, &mut regs);
            }
            for (to, fact) in self.edges(&body.blocks[at].end, &regs).into_iter().flatten() {
                let arriving = Known { regs, facts: self.learn(facts, fact) };
                if self.arrive(&mut arrivals, to, arriving) {
                    waiting.add(to);
                }
            }
        }
        arrivals
    }

    /// What is known before any block was looked at.
    pub(super) fn arrivals(&mut self, body: &Body) -> Arrivals {
        let count = body.blocks.len();
        let mut arrivals =
            Arrivals { known: vec![None; count], joined: vec![[false; PARTS]; count] };
        arrivals.known[0] = Some(self.entry());
        arrivals
    }

    /// Where a block may go on, and what is then known.
    pub(super) fn edges(&mut self, end: &End, regs: &State) -> [Option<(usize, Option<Fact>)>; 2] {
        match *end {
            End::Goto(to) => [Some((to, None)), None],
            End::Exit(_) => [None, None],
            End::Branch { test, taken, next } => {
                if taken == next {
                    return [Some((next, None)), None];
                }
                let (a, b) = self.operands(test.insn, regs);
                // Of comparisons with a bound of the packet only. What the verifier concludes from one
                // holds for all copies of the pointers; of two equal numbers it may know more about the
                // one that was compared.
                // And of comparisons of what was read from the packet; see `decide`.
                let kept = self.bounds_packet(a) || self.bounds_packet(b) || self.is_read(a);
                let fact = |holds| kept.then_some((test.insn.code, a, b, holds));
                [Some((next, fact(false))), Some((taken, fact(true)))]
            }
        }
    }

    /// Adds what is known where one more way leads to a block. Is less known of the block than before?
    pub(super) fn arrive(&mut self, arrivals: &mut Arrivals, at: usize, arriving: Known) -> bool {
        let Some(old) = &mut arrivals.known[at] else {
            arrivals.known[at] = Some(arriving);
            return true;
        };
        let mut changed = false;
        for (reg, joined) in arrivals.joined[at].iter_mut().enumerate() {
            if old.regs[reg] != arriving.regs[reg] && !*joined {
                *joined = true;
                old.regs[reg] = self.number(Value::Join(at as u32, reg as u8));
                changed = true;
            }
        }
        let agreed = self.agree(old.facts, arriving.facts);
        changed |= agreed != old.facts;
        old.facts = agreed;
        changed
    }

    /// Facts, the last learned first.
    fn facts(&self, mut facts: Facts) -> impl Iterator<Item = Fact> {
        std::iter::from_fn(move || {
            let learned = self.learned.get(facts.0 as usize)?;
            facts = learned.before;
            Some(learned.fact)
        })
    }

    fn count(&self, facts: Facts) -> usize {
        self.learned.get(facts.0 as usize).map_or(0, |learned| learned.count)
    }

    /// Adds a fact.
    pub(super) fn learn(&mut self, facts: Facts, fact: Option<Fact>) -> Facts {
        let count = self.count(facts) + 1;
        match fact {
            Some(fact) if count <= MAX_FACTS && !self.facts(facts).any(|f| f == fact) => {
                let more = Facts(self.learned.len() as u32);
                self.learned.push(Learned { fact, before: facts, count });
                more
            }
            _ => facts,
        }
    }

    /// The facts that others have as well.
    fn agree(&mut self, facts: Facts, others: Facts) -> Facts {
        // Most come from one place and begin alike.
        let (mut same, mut rest) = (facts, others);
        while same != rest {
            let (a, b) = (self.count(same), self.count(rest));
            if a >= b {
                same = self.before(same);
            }
            if b >= a {
                rest = self.before(rest);
            }
        }
        let mut more: Vec<Fact> =
            self.facts(facts).take(self.count(facts) - self.count(same)).collect();
        let before = more.len();
        more.retain(|fact| self.facts(others).any(|other| other == *fact));
        if more.len() == before {
            return facts;
        }
        more.into_iter().rev().fold(same, |facts, fact| self.learn(facts, Some(fact)))
    }

    fn before(&self, facts: Facts) -> Facts {
        self.learned.get(facts.0 as usize).map_or(Facts::NONE, |learned| learned.before)
    }

    /// The number of what an instruction makes, and what is known behind it. `place`: its block and index there.
    pub(super) fn step(&mut self, place: (BlockId, usize), inst: &Inst, regs: &mut State) {
        if self.is_bound(inst, regs) {
            let number = self.bound(place, inst.insn.off, regs);
            regs[usize::from(inst.insn.dst().min(FP))] = number;
        } else {
            self.step_unbound(place, inst, regs);
        }
    }

    /// The same for one that does not load a bound of the packet from the context ([`Numbers::is_bound`]).
    pub(super) fn step_unbound(
        &mut self,
        (block, at): (BlockId, usize),
        inst: &Inst,
        regs: &mut State,
    ) {
        let insn = inst.insn;
        let outcome = |reg: u8| Value::Outcome(block as u32, at as u32, reg);
        let makes = match insn.class() {
            class::ALU | class::ALU64 | class::LDX => true,
            class::LD => insn.is_ld_imm64(),
            _ => false,
        };
        if makes {
            let made = self.result(inst, regs);
            let dst = insn.dst().min(FP);
            if made.is_some() || dst < FP {
                regs[usize::from(dst)] = made.unwrap_or_else(|| self.number(outcome(dst)));
            }
            return;
        }
        let contents = self.contents(block, at, inst, regs);
        let written = inst.reg_use().writes;
        for reg in (0..FP).filter(|&reg| written.has(reg)) {
            regs[usize::from(reg)] = self.number(outcome(reg));
        }
        if let Some(contents) = contents {
            regs[CONTENTS] = contents;
        }
        if moves_packet(inst) {
            regs[PACKET] = self.number(outcome(PACKET as u8));
        }
    }

    /// The number of an instruction's result where it is more than "the outcome".
    fn result(&mut self, inst: &Inst, regs: &State) -> Option<Number> {
        let insn = inst.insn;
        let of = |reg: u8| regs[usize::from(reg.min(FP))];
        match insn.class() {
            class::LD if insn.is_ld_imm64() && insn.src() == 0 && inst.reloc.is_none() => {
                let low = u64::from(insn.imm.cast_unsigned());
                let high = u64::from(inst.high.cast_unsigned());
                Some(self.number(Value::Const(high << 32 | low)))
            }
            class::ALU64 | class::ALU => {
                let wide = insn.class() == class::ALU64;
                let op = insn.code & 0xf0;
                // In a byte swap the bit selects the order, and `imm` is the width.
                let by_reg = insn.code & 8 != 0 && op != 0xd0;
                let imm = i64::from(insn.imm);
                if insn.off != 0 {
                    return None;
                }
                if op == 0xb0 && wide {
                    return Some(match by_reg {
                        true => of(insn.src()),
                        false => self.number(Value::Const(imm.cast_unsigned())),
                    });
                }
                let operand = match by_reg {
                    true => self.constant(of(insn.src())),
                    false => Some(imm.cast_unsigned()),
                };
                if op == 0x00
                    && wide
                    && operand.is_some()
                    && self.constant(of(insn.dst())).is_none()
                {
                    let by = operand?.cast_signed();
                    return Some(self.sum(of(insn.dst()), by));
                }
                let dst = self.constant(of(insn.dst()));
                if let Some(value) = arithmetic(op, wide, dst, operand) {
                    return Some(self.number(Value::Const(value)));
                }
                let b = match by_reg {
                    true => of(insn.src()),
                    false => self.number(Value::Const(imm.cast_unsigned())),
                };
                let a = if op == 0xb0 { b } else { of(insn.dst()) };
                Some(self.number(Value::Outgrowth(insn.code, a, b)))
            }
            class::LDX if insn.code & 0xe0 == 0x60 => {
                let (bound, off) = self.in_packet(of(insn.src()), insn.off)?;
                let len = i64::from(length(insn.code));
                let place = (bound, off, insn.code);
                let last = self.loaded.get(&place).copied();
                let mut contents = regs[CONTENTS];
                // Stores elsewhere in the packet, seen from the same bound, have not changed it.
                for _ in 0..MAX_STORES {
                    if let Some((_, same)) = last.filter(|(of, _)| *of == contents) {
                        contents = same;
                        break;
                    }
                    match self.value(contents) {
                        Some(Value::Stored(before, to, at, stored, ..))
                            if to == bound
                                && (at + i64::from(stored) <= off || off + len <= at) =>
                        {
                            contents = before;
                        }
                        _ => break,
                    }
                }
                if contents != regs[CONTENTS] {
                    self.loaded.insert(place, (regs[CONTENTS], contents));
                }
                Some(self.number(Value::Packet(bound, off, insn.code, contents)))
            }
            _ => None,
        }
    }

    /// An address as a bound of the packet and a distance from it.
    fn in_packet(&self, base: Number, off: i16) -> Option<(Number, i64)> {
        let (bound, by) = match *self.in_table(base)? {
            Value::Sum(bound, by) => (bound, by),
            _ => (base, 0),
        };
        let known = self.bounds_packet(bound);
        // No packet is longer, and what is counted on from here cannot overflow.
        let distance = by.checked_add(off.into()).filter(|&by| i32::try_from(by).is_ok());
        distance.filter(|_| known).map(|by| (bound, by))
    }

    /// The packet's contents behind an instruction that may change them.
    fn contents(&mut self, block: usize, at: usize, inst: &Inst, regs: &State) -> Option<Number> {
        let insn = inst.insn;
        let place = (block as u32, at as u32);
        let other = Value::Outcome(place.0, place.1, CONTENTS as u8);
        match insn.class() {
            class::ST | class::STX => {
                let base = regs[usize::from(insn.dst().min(FP))];
                let root = match self.value(base)? {
                    Value::Sum(root, _) => self.value(root)?,
                    value => value,
                };
                if root == Value::Entry(FP) {
                    return None;
                }
                match self.in_packet(base, insn.off) {
                    // Not for atomic operations, which are rare.
                    Some((bound, off)) if insn.code & 0xe0 == 0x60 => {
                        let (len, before) = (length(insn.code), regs[CONTENTS]);
                        let stored = Value::Stored(before, bound, off, len, place.0, place.1);
                        Some(self.number(stored))
                    }
                    _ => Some(self.number(other)),
                }
            }
            _ if inst.is_call() => {
                let helper = inst.insn.helper().filter(|_| inst.reloc.is_none());
                let reads = helper.is_some_and(|n| READERS.binary_search(&n).is_ok());
                (!reads).then(|| self.number(other))
            }
            class::LD if !insn.is_ld_imm64() => Some(self.number(other)),
            _ => None,
        }
    }

    /// The number of a bound of the packet that is loaded at a place (block, index).
    pub(super) fn bound(
        &mut self,
        (block, at): (BlockId, usize),
        field: i16,
        regs: &State,
    ) -> Number {
        let held = regs.iter().find(|&&number| match self.in_table(number) {
            Some(&Value::Bound(off, packet, ..)) => (off, packet) == (field, regs[PACKET]),
            _ => false,
        });
        match held {
            Some(&number) => number,
            None => self.number(Value::Bound(field, regs[PACKET], block as u32, at as u32)),
        }
    }

    fn sum(&mut self, base: Number, by: i64) -> Number {
        let (base, by) = match self.in_table(base) {
            Some(&Value::Sum(base, before)) => (base, before.wrapping_add(by)),
            _ => (base, by),
        };
        if by == 0 { base } else { self.number(Value::Sum(base, by)) }
    }

    /// A load of one of the packet's bounds from the context?
    pub(super) fn is_bound(&self, inst: &Inst, regs: &State) -> bool {
        self.field(inst).is_some() && self.is_context(regs[usize::from(inst.insn.src().min(FP))])
    }

    /// Which of the packet's bounds an instruction loads if it loads from the context.
    pub(super) fn field(&self, inst: &Inst) -> Option<usize> {
        let insn = inst.insn;
        // 32 bits, zero-extended.
        let loads = insn.code == 0x61;
        loads.then(|| self.bounds.iter().position(|&off| off == insn.off)).flatten()
    }

    /// Where the context has the packet's bounds.
    pub(super) fn bounds(&self) -> Bounds {
        self.bounds
    }

    /// The context pointer of a program whose context bounds a packet?
    pub(super) fn is_context(&self, number: Number) -> bool {
        !self.bounds.is_empty() && number == Number::CONTEXT
    }

    /// What a conditional jump compares.
    pub(super) fn operands(&mut self, insn: Insn, regs: &State) -> (Number, Number) {
        let a = regs[usize::from(insn.dst().min(FP))];
        let b = match insn.code & 8 != 0 {
            true => regs[usize::from(insn.src().min(FP))],
            false => self.number(Value::Const(i64::from(insn.imm).cast_unsigned())),
        };
        (a, b)
    }

    /// Read from the packet, or made of that?
    fn is_read(&self, number: Number) -> bool {
        matches!(self.in_table(number), Some(Value::Packet(..) | Value::Outgrowth(..)))
    }

    /// Does a conditional jump jump? `None` where that is not known. `live`: registers that are read
    /// behind it.
    pub(super) fn decide(&mut self, insn: Insn, known: &Known, live: Regs) -> Option<bool> {
        let (a, b) = self.operands(insn, &known.regs);
        if let (Some(a), Some(b)) = (self.constant(a), self.constant(b)) {
            return compare(insn, a, b);
        }
        let fact = self.facts(known.facts).filter(|f| (f.0, f.1, f.2) == (insn.code, a, b)).last();
        // A number that is read behind the comparison may need what the verifier concludes from it.
        let needed =
            |n| self.is_read(n) && (0..10).any(|r| live.has(r) && known.regs[usize::from(r)] == n);
        fact.filter(|_| !needed(a) && !needed(b)).map(|fact| fact.3)
    }
}

fn compare(insn: Insn, a: u64, b: u64) -> Option<bool> {
    let wide = insn.class() == class::JMP;
    let (a, b) = if wide { (a, b) } else { (a & 0xffff_ffff, b & 0xffff_ffff) };
    let signed = |v: u64| match wide {
        true => v.cast_signed(),
        false => i64::from((v as u32).cast_signed()),
    };
    Some(match insn.code & 0xf0 {
        0x10 => a == b,
        0x20 => a > b,
        0x30 => a >= b,
        0x40 => a & b != 0,
        0x50 => a != b,
        0x60 => signed(a) > signed(b),
        0x70 => signed(a) >= signed(b),
        0xa0 => a < b,
        0xb0 => a <= b,
        0xc0 => signed(a) < signed(b),
        0xd0 => signed(a) <= signed(b),
        _ => return None,
    })
}

/// Arithmetic on constants, of the operations that verdicts go through.
fn arithmetic(op: u8, wide: bool, dst: Option<u64>, operand: Option<u64>) -> Option<u64> {
    let operand = operand?;
    let shift = if wide { operand & 63 } else { operand & 31 } as u32;
    let cut = |v: u64| if wide { v } else { v & 0xffff_ffff };
    let value = match op {
        0xb0 => operand,
        0x00 => dst?.wrapping_add(operand),
        0x10 => dst?.wrapping_sub(operand),
        0x40 => dst? | operand,
        0x50 => dst? & operand,
        0xa0 => dst? ^ operand,
        0x60 => cut(dst?) << shift,
        0x70 => cut(dst?) >> shift,
        _ => return None,
    };
    Some(cut(value))
}

/// May an instruction move the packet, so that its bounds have to be read again?
fn moves_packet(inst: &Inst) -> bool {
    if inst.insn.class() == class::LD && !inst.insn.is_ld_imm64() {
        return true;
    }
    if !inst.is_call() {
        return false;
    }
    match inst.insn.helper().filter(|_| inst.reloc.is_none() && inst.callee.is_none()) {
        // Helpers that move packets (kernel, `bpf_helper_changes_pkt_data`, all versions together),
        // those that call functions, and numbers that no kernel has.
        Some(number) => MOVERS.binary_search(&number).is_ok() || number > 211,
        // Any function may.
        None => true,
    }
}

/// Bytes of an access.
fn length(code: u8) -> u8 {
    match code & 0x18 {
        0x00 => 4,
        0x08 => 2,
        0x10 => 1,
        _ => 8,
    }
}

/// Helpers that leave the packet's contents alone: maps, time, random numbers, CPU. By rising number.
const READERS: [u32; 8] = [1, 2, 3, 5, 7, 8, 118, 125];

/// By rising number.
const MOVERS: [u32; 29] = [
    9,   // skb_store_bytes
    10,  // l3_csum_replace
    11,  // l4_csum_replace
    12,  // tail_call
    13,  // clone_redirect
    18,  // skb_vlan_push
    19,  // skb_vlan_pop
    31,  // skb_change_proto
    38,  // skb_change_tail
    39,  // skb_pull_data
    43,  // skb_change_head
    44,  // xdp_adjust_head
    50,  // skb_adjust_room
    54,  // xdp_adjust_meta
    62,  // msg_cork_bytes
    63,  // msg_pull_data
    65,  // xdp_adjust_tail
    73,  // lwt_push_encap
    74,  // lwt_seg6_store_bytes
    75,  // lwt_seg6_adjust_srh
    76,  // lwt_seg6_action
    90,  // msg_push_data
    91,  // msg_pop_data
    143, // store_hdr_opt
    144, // reserve_hdr_opt
    164, // for_each_map_elem
    180, // find_vma
    181, // loop
    209, // user_ringbuf_drain
];
