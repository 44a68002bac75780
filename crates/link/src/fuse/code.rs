//! Functions of an image as basic blocks: what the passes work on.

use std::num::NonZeroU32;

use bpfweld_insn::flow::{CALLX, JAX, JCOND};
use bpfweld_insn::{Flow, Insn, JA, JA32, RegUse, Regs, class, pseudo};

use super::report::Why;
use crate::image::Image;

/// The frame pointer.
pub(super) const FP: u8 = 10;
/// Helper number of `bpf_tail_call` (linux/bpf.h).
pub(super) const TAIL_CALL: u32 = 12;
/// `dst = src`, 64 bits.
pub(super) const MOV64: u8 = 0xbf;
/// `dst += imm`, 64 bits.
pub(super) const ADD64_IMM: u8 = 0x07;

/// An index, one of many that are mostly not there: as long as `Option` of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Index(NonZeroU32);

impl Index {
    /// `None` for the one number that is too large.
    pub(super) fn new(at: usize) -> Option<Self> {
        u32::try_from(at).ok()?.checked_add(1).and_then(NonZeroU32::new).map(Self)
    }

    pub(super) fn get(self) -> usize {
        self.0.get() as usize - 1
    }
}

/// An instruction (a 64-bit immediate load with its second half) and what the image says about it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Inst {
    pub(super) insn: Insn,
    /// What it reads and writes.
    used: RegUse,
    /// `imm` of the second slot of a 64-bit immediate load.
    pub(super) high: i32,
    /// Index into the image's relocs.
    pub(super) reloc: Option<Index>,
    /// Function of the image that is called, or whose address is loaded.
    pub(super) callee: Option<Index>,
    /// Index into the image's poisoned instructions.
    pub(super) poisoned: Option<Index>,
    /// Index into the image's lines: the record that covers it.
    pub(super) line: Option<Index>,
    /// Function of the image that it comes from.
    pub(super) func: u32,
    /// Does r10 stand for the frame that the body's function had before anything went inline?
    pub(super) own: bool,
}

impl Inst {
    /// One more instruction at the place of this one, made by a pass.
    pub(super) fn beside(&self, insn: Insn) -> Self {
        Self { high: 0, reloc: None, callee: None, poisoned: None, ..self.with(insn) }
    }

    /// Another one in its place, of which the image says the same.
    pub(super) fn with(&self, insn: Insn) -> Self {
        Self { insn, used: insn.reg_use(), ..*self }
    }

    /// It, where r10 stands for another frame.
    pub(super) fn inlined(self) -> Self {
        Self { own: false, ..self }
    }

    #[inline]
    pub(super) fn slots(&self) -> usize {
        self.insn.slots()
    }

    /// A call of a function of the image: which one.
    #[inline]
    pub(super) fn bpf_call(&self) -> Option<u32> {
        self.callee.filter(|_| !self.insn.is_ld_imm64()).map(|to| to.get() as u32)
    }

    /// Any call: of a helper, a kernel function, a function of the image.
    #[inline]
    pub(super) fn is_call(&self) -> bool {
        self.insn.code == bpfweld_insn::CALL
    }

    #[inline]
    pub(super) fn reg_use(&self) -> RegUse {
        self.used
    }
}

/// Index into [`Body::blocks`].
pub(super) type BlockId = usize;

/// Straight-line code.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Block {
    pub(super) insts: Vec<Inst>,
    pub(super) end: End,
}

/// How a block ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum End {
    /// Goes on there.
    Goto(BlockId),
    /// A conditional jump.
    Branch {
        /// The jump; its offset means nothing.
        test: Inst,
        /// Where it goes.
        taken: BlockId,
        /// Where it falls through to.
        next: BlockId,
    },
    /// Returns; the instruction.
    Exit(Inst),
}

impl End {
    /// The blocks that may come next; none for an exit.
    pub(super) fn successors(&self) -> impl Iterator<Item = BlockId> + use<> {
        let (a, b) = match *self {
            Self::Goto(to) => (Some(to), None),
            Self::Branch { taken, next, .. } => (Some(next), Some(taken)),
            Self::Exit(_) => (None, None),
        };
        a.into_iter().chain(b)
    }

    /// Changes where it goes.
    pub(super) fn retarget(&mut self, mut to: impl FnMut(BlockId) -> BlockId) {
        match self {
            Self::Goto(next) => *next = to(*next),
            Self::Branch { taken, next, .. } => {
                *taken = to(*taken);
                *next = to(*next);
            }
            Self::Exit(_) => {}
        }
    }

    /// Registers that it reads.
    pub(super) fn reads(&self) -> Regs {
        match self {
            Self::Goto(_) => Regs::NONE,
            Self::Branch { test, .. } => test.reg_use().reads,
            Self::Exit(exit) => exit.reg_use().reads,
        }
    }
}

/// A function as a graph of blocks. Block 0 is the entry.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Body {
    pub(super) blocks: Vec<Block>,
}

impl Body {
    /// Instruction slots, jumps between blocks left out.
    pub(super) fn size(&self) -> usize {
        let slots = |b: &Block| b.insts.iter().map(Inst::slots).sum::<usize>() + 1;
        self.blocks.iter().map(slots).sum()
    }

    /// All instructions, ends included.
    pub(super) fn insts(&self) -> impl Iterator<Item = &Inst> {
        self.blocks.iter().flat_map(|b| {
            let end = match &b.end {
                End::Goto(_) => None,
                End::Branch { test: i, .. } | End::Exit(i) => Some(i),
            };
            b.insts.iter().chain(end)
        })
    }
}

/// A function's instructions in a row, each with what belongs to it; jump offsets as in the stream.
pub(super) fn listing(image: &Image, f: usize) -> Option<Vec<Inst>> {
    let function = &image.functions[f];
    let start = function.start as usize;
    let insns = image.insns.get(start..start + function.len as usize)?;
    // What says something about instructions is in their order: looked for once, then followed.
    let mut relocs = image.relocs.partition_point(|r| r.insn < function.start);
    let mut poisons = image.poisoned.partition_point(|p| p.insn < function.start);
    let mut lines = image.lines.partition_point(|l| l.insn <= function.start);
    let mut out = Vec::with_capacity(insns.len());
    let mut at = 0;
    while let Some(&insn) = insns.get(at) {
        let place = (start + at) as u32;
        let reloc = follow(&image.relocs, &mut relocs, |r| r.insn, place);
        let poisoned = follow(&image.poisoned, &mut poisons, |p| p.insn, place);
        while image.lines.get(lines).is_some_and(|l| l.insn <= place) {
            lines += 1;
        }
        let line = lines.checked_sub(1);
        let refers = insn.is_bpf_call() || insn.is_ld_imm64() && insn.src() == pseudo::FUNC;
        // What a backend is yet to patch is as the compiler left it.
        let callee = match refers && reloc.is_none() {
            true => Some(starting(image, i64::from(place) + 1 + i64::from(insn.imm))?),
            false => None,
        };
        let high = match insn.is_ld_imm64() {
            true => insns.get(at + 1)?.imm,
            false => 0,
        };
        out.push(Inst {
            insn,
            used: insn.reg_use(),
            high,
            reloc: reloc.and_then(Index::new),
            callee,
            poisoned: poisoned.and_then(Index::new),
            line: line.and_then(Index::new),
            func: f as u32,
            own: true,
        });
        at += insn.slots();
    }
    Some(out)
}

/// Index of what is said of the instruction at `place`, if anything is. `next`: where to go on, in a list
/// whose order is that of the instructions.
fn follow<T>(all: &[T], next: &mut usize, at: impl Fn(&T) -> u32, place: u32) -> Option<usize> {
    while all.get(*next).is_some_and(|one| at(one) < place) {
        *next += 1;
    }
    all.get(*next).filter(|one| at(one) == place).map(|_| *next)
}

/// The function that starts at a slot.
fn starting(image: &Image, slot: i64) -> Option<Index> {
    Index::new(image.functions.binary_search_by_key(&slot, |f| i64::from(f.start)).ok()?)
}

/// The blocks of a function, or why it has to stay as it is.
pub(super) fn blocks(insts: &[Inst]) -> Result<Body, Why> {
    // Slot of each instruction; instruction of each slot.
    let mut slots = Vec::with_capacity(insts.len());
    let mut by_slot = Vec::with_capacity(insts.len());
    for (i, inst) in insts.iter().enumerate() {
        slots.push(by_slot.len());
        by_slot.push(Some(i));
        by_slot.resize(by_slot.len() + inst.slots() - 1, None);
    }
    let find = |slot: i64| {
        let at = usize::try_from(slot).ok().and_then(|slot| *by_slot.get(slot)?);
        at.ok_or(Why::Control)
    };
    // How the instructions go on that end a block; which begin one.
    let mut ends: Vec<Option<(Option<usize>, Option<usize>)>> = vec![None; insts.len()];
    let mut leads = vec![false; insts.len() + 1];
    leads[0] = true;
    for (i, inst) in insts.iter().enumerate() {
        let insn = inst.insn;
        if matches!(insn.code, JAX | CALLX) {
            return Err(Why::Control);
        }
        if insn.code == JCOND {
            return Err(Why::MayGoto);
        }
        let end = match insn.flow(slots[i]) {
            Flow::To(to) if insn.is_jump() => (Some(find(to)?), None),
            Flow::To(to) => {
                // Runs off the end?
                find(to)?;
                continue;
            }
            Flow::Either { next, target } => (Some(find(next)?), Some(find(target)?)),
            Flow::Exit => (None, None),
            Flow::Unknown => return Err(Why::Control),
        };
        for leader in [end.0, end.1, Some(i + 1)].into_iter().flatten() {
            leads[leader] = true;
        }
        ends[i] = Some(end);
    }
    // Of each instruction, the block that it begins.
    let mut count = 0;
    let block_of = |&leads: &bool| {
        count += usize::from(leads);
        leads.then(|| count - 1)
    };
    let block_of: Vec<Option<BlockId>> = leads[..insts.len()].iter().map(block_of).collect();
    let block_at = |i: usize| block_of.get(i).copied().flatten().ok_or(Why::Control);
    let mut blocks = Vec::with_capacity(count);
    let mut start = 0;
    while start < insts.len() {
        let more = leads[start + 1..insts.len()].iter().position(|&leads| leads);
        let stop = more.map_or(insts.len(), |more| start + 1 + more);
        let last = stop - 1;
        let (body, end) = match ends[last] {
            None => (start..stop, End::Goto(block_at(stop)?)),
            Some((Some(to), None)) => (start..last, End::Goto(block_at(to)?)),
            Some((Some(next), Some(taken))) => {
                let (taken, next) = (block_at(taken)?, block_at(next)?);
                (start..last, End::Branch { test: insts[last], taken, next })
            }
            Some((None, _)) => (start..last, End::Exit(insts[last])),
        };
        blocks.push(Block { insts: insts[body].to_vec(), end });
        start = stop;
    }
    match blocks.is_empty() {
        true => Err(Why::Control),
        false => Ok(Body { blocks }),
    }
}

/// A body in a row again. Puts a block behind one that falls through to it where it can.
pub(super) fn flatten(body: &Body, long_jumps: bool) -> Result<Vec<Inst>, Why> {
    let order = order(body);
    let mut place = vec![usize::MAX; body.blocks.len()];
    for (i, &id) in order.iter().enumerate() {
        place[id] = i;
    }
    // (instruction, block that it jumps to)
    let mut out: Vec<(Inst, Option<BlockId>)> = Vec::new();
    let mut starts = vec![0usize; body.blocks.len()];
    for (i, &id) in order.iter().enumerate() {
        let block = &body.blocks[id];
        starts[id] = out.len();
        out.extend(block.insts.iter().map(|&inst| (inst, None)));
        let follows = |to: BlockId| place[to] == i + 1;
        let goto = |like: &Inst| like.beside(Insn { code: JA, ..Insn::default() });
        match block.end {
            End::Goto(to) => {
                if !follows(to) {
                    let like = block.insts.last().or_else(|| first_inst(body, to));
                    let like = like.copied().ok_or(Why::Control)?;
                    out.push((goto(&like), Some(to)));
                }
            }
            End::Branch { test, taken, next } => match inverse(test.insn) {
                Some(insn) if !follows(next) && follows(taken) => {
                    out.push((test.with(insn), Some(next)));
                }
                _ => {
                    out.push((test, Some(taken)));
                    if !follows(next) {
                        out.push((goto(&test), Some(next)));
                    }
                }
            },
            End::Exit(exit) => out.push((exit, None)),
        }
    }
    place_jumps(&out, &starts, long_jumps)
}

/// Gives jumps their offsets. `starts`: the index in `out` where a block begins. Conditional jumps have 16
/// bits only: one that is to go farther is turned round and jumps over a long one.
fn place_jumps(
    out: &[(Inst, Option<BlockId>)],
    starts: &[usize],
    long_jumps: bool,
) -> Result<Vec<Inst>, Why> {
    let is_long = |far: bool, inst: &Inst| far && inst.insn.code != JA;
    let slots = |far: bool, inst: &Inst| match is_long(far, inst) {
        true if inverse(inst.insn).is_none() => 3,
        true => 2,
        false => inst.slots(),
    };
    let mut far = vec![false; out.len()];
    // Each round makes at least one more jump far.
    let places = loop {
        let mut at = 0;
        let mut places = Vec::with_capacity(out.len() + 1);
        for ((inst, _), &far) in out.iter().zip(&far) {
            places.push(at);
            at += slots(far, inst) as i64;
        }
        places.push(at);
        let mut changed = false;
        for (i, (_, jump)) in out.iter().enumerate() {
            let Some(to) = jump else { continue };
            let distance = places[starts[*to]] - places[i + 1];
            if !far[i] && i16::try_from(distance).is_err() {
                far[i] = true;
                changed = true;
            }
        }
        if !changed {
            break places;
        }
        if !long_jumps {
            return Err(Why::JumpRange);
        }
    };
    let mut insts = Vec::with_capacity(out.len());
    for (i, &(inst, jump)) in out.iter().enumerate() {
        let Some(to) = jump else {
            insts.push(inst);
            continue;
        };
        let distance = places[starts[to]] - places[i + 1];
        let imm = i32::try_from(distance).map_err(|_| Why::JumpRange)?;
        let long = inst.with(Insn { code: JA32, imm, ..Insn::default() });
        match (far[i], inst.insn.code == JA, inverse(inst.insn)) {
            (false, ..) => {
                // In range, or it would be far.
                let off = distance as i16;
                insts.push(inst.with(Insn { off, ..inst.insn }));
            }
            (true, true, _) => insts.push(long),
            (true, false, Some(insn)) => {
                insts.push(inst.with(Insn { off: 1, ..insn }));
                insts.push(inst.beside(long.insn));
            }
            (true, false, None) => {
                insts.push(inst.with(Insn { off: 1, ..inst.insn }));
                insts.push(inst.beside(Insn { code: JA, off: 1, ..Insn::default() }));
                insts.push(inst.beside(long.insn));
            }
        }
    }
    Ok(insts)
}

/// An instruction that says where (source line, function) a block is.
fn first_inst(body: &Body, mut id: BlockId) -> Option<&Inst> {
    // Chains of empty blocks are short; a cycle of them is an endless loop, which no verifier takes.
    for _ in 0..body.blocks.len() {
        let block = &body.blocks[id];
        match (block.insts.first(), &block.end) {
            (Some(inst), _) => return Some(inst),
            (None, End::Branch { test: inst, .. } | End::Exit(inst)) => return Some(inst),
            (None, End::Goto(to)) => id = *to,
        }
    }
    None
}

/// Reachable blocks in the order in which they are written: each chain of fall-throughs as far as it
/// goes, then the last block that was jumped to. Exits that several blocks share come last, so that none
/// of these has to jump over them.
fn order(body: &Body) -> Vec<BlockId> {
    let mut order = Vec::with_capacity(body.blocks.len());
    let mut placed = vec![false; body.blocks.len()];
    let mut arrivals = vec![0usize; body.blocks.len()];
    for to in body.blocks.iter().flat_map(|b| b.end.successors()) {
        arrivals[to] += 1;
    }
    let shared = |id: BlockId| arrivals[id] > 1 && matches!(body.blocks[id].end, End::Exit(_));
    let mut last = Vec::new();
    let mut waiting = vec![0];
    while let Some(start) = waiting.pop() {
        let mut next = Some(start).filter(|&b| !placed[b]);
        while let Some(id) = next {
            placed[id] = true;
            if shared(id) {
                last.push(id);
                break;
            }
            order.push(id);
            next = match body.blocks[id].end {
                End::Goto(to) => Some(to),
                End::Branch { taken, next, .. } => {
                    let through = if placed[next] { taken } else { next };
                    waiting.extend([taken, next].into_iter().filter(|&b| b != through));
                    Some(through)
                }
                End::Exit(_) => None,
            }
            .filter(|&b| !placed[b]);
        }
    }
    order.extend(last);
    order
}

/// The conditional jump on the opposite; `None` for `&`, which has none.
fn inverse(insn: Insn) -> Option<Insn> {
    let op = match insn.code & 0xf0 {
        0x10 => 0x50, // == !=
        0x50 => 0x10,
        0x20 => 0xb0, // > <=
        0xb0 => 0x20,
        0x30 => 0xa0, // >= <
        0xa0 => 0x30,
        0x60 => 0xd0, // s> s<=
        0xd0 => 0x60,
        0x70 => 0xc0, // s>= s<
        0xc0 => 0x70,
        _ => return None,
    };
    matches!(insn.class(), class::JMP | class::JMP32)
        .then_some(Insn { code: insn.code & 0x0f | op, ..insn })
}
