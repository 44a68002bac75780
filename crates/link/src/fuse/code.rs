//! Functions of an image as basic blocks: what the passes work on.

use std::num::NonZeroU32;
use std::ops::Range;

use bpfweld_insn::flow::{CALLX, JCOND};
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

/// Straight-line code: which of the body's instructions ([`Body::code`]), and how it ends.
#[derive(Clone, Copy, Debug)]
pub(super) struct Block {
    start: u32,
    len: u32,
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
        let (all, count) = match *self {
            Self::Goto(to) => ([to, to], 1),
            Self::Branch { taken, next, .. } => ([next, taken], 2),
            Self::Exit(_) => ([0, 0], 0),
        };
        all.into_iter().take(count)
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
#[derive(Clone, Default, Debug)]
pub(super) struct Body {
    /// Each block's lie side by side; there may be others between them, which belong to none.
    insts: Vec<Inst>,
    pub(super) blocks: Vec<Block>,
}

impl Body {
    /// Without blocks, for so many instructions and blocks.
    pub(super) fn with_capacity(insts: usize, blocks: usize) -> Self {
        Self { insts: Vec::with_capacity(insts), blocks: Vec::with_capacity(blocks) }
    }

    /// A function of an image: its instructions in a row, and its blocks if it can be taken apart.
    pub(super) fn new(insts: Vec<Inst>, blocks: Vec<Block>) -> Self {
        Self { insts, blocks }
    }

    /// Of a function as it is in the image ([`Body::new`]), its instructions in a row.
    pub(super) fn listing(&self) -> &[Inst] {
        &self.insts
    }

    /// The instructions of a block, but for the jump that may end it.
    #[inline]
    pub(super) fn code(&self, id: BlockId) -> &[Inst] {
        &self.insts[self.blocks[id].range()]
    }

    /// The same, to be changed.
    #[inline]
    pub(super) fn code_mut(&mut self, id: BlockId) -> &mut [Inst] {
        &mut self.insts[self.blocks[id].range()]
    }

    /// Adds an instruction to the block that [`Body::close`] makes next.
    #[inline]
    pub(super) fn push(&mut self, inst: Inst) {
        self.insts.push(inst);
    }

    /// Makes a block of the last `len` instructions.
    pub(super) fn close(&mut self, len: usize, end: End) -> BlockId {
        // Programs have at most a million instructions.
        let start = (self.insts.len() - len) as u32;
        self.blocks.push(Block { start, len: len as u32, end });
        self.blocks.len() - 1
    }

    /// Adds copies of these instructions to the block that [`Body::close`] makes next.
    pub(super) fn append(&mut self, insts: &[Inst]) {
        self.insts.extend_from_slice(insts);
    }

    /// Adds a block with a copy of these instructions.
    pub(super) fn add(&mut self, insts: &[Inst], end: End) -> BlockId {
        self.append(insts);
        self.close(insts.len(), end)
    }

    /// Instruction slots, jumps between blocks left out.
    pub(super) fn size(&self) -> usize {
        let slots = |id| self.code(id).iter().map(Inst::slots).sum::<usize>() + 1;
        (0..self.blocks.len()).map(slots).sum()
    }

    /// How many instructions the blocks have, ends left out.
    pub(super) fn len(&self) -> usize {
        self.blocks.iter().map(Block::len).sum()
    }

    /// Looks at all instructions, ends included.
    pub(super) fn for_each(&self, mut look: impl FnMut(&Inst)) {
        self.any(|inst| {
            look(inst);
            false
        });
    }

    /// Is there such an instruction, ends included?
    pub(super) fn any(&self, mut is: impl FnMut(&Inst) -> bool) -> bool {
        self.find(|inst| is(inst).then_some(())).is_some()
    }

    /// What the first instruction gives that gives something, ends included.
    pub(super) fn find<T>(&self, mut of: impl FnMut(&Inst) -> Option<T>) -> Option<T> {
        for block in &self.blocks {
            for inst in &self.insts[block.range()] {
                if let Some(found) = of(inst) {
                    return Some(found);
                }
            }
            if let End::Branch { test: inst, .. } | End::Exit(inst) = &block.end
                && let Some(found) = of(inst)
            {
                return Some(found);
            }
        }
        None
    }
}

impl Block {
    fn range(&self) -> Range<usize> {
        self.start as usize..self.start as usize + self.len as usize
    }

    /// Has it no instruction before its end?
    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.len == 0
    }

    #[inline]
    pub(super) fn len(&self) -> usize {
        self.len as usize
    }

    /// Keeps the first instructions only.
    pub(super) fn truncate(&mut self, len: usize) {
        self.len = self.len.min(len as u32);
    }

    /// Leaves the first instructions out.
    pub(super) fn skip(&mut self, count: usize) {
        let count = self.len.min(count as u32);
        self.start += count;
        self.len -= count;
    }
}

/// A function's instructions in a row, each with what belongs to it; jump offsets as in the stream.
pub(super) fn listing(image: &Image, f: usize) -> Option<Vec<Inst>> {
    let function = &image.functions[f];
    let start = function.start as usize;
    let insns = image.insns.get(start..start + function.len as usize)?;
    let mut relocs = Followed::new(&image.relocs, |r| r.insn, function.start);
    let mut poisons = Followed::new(&image.poisoned, |p| p.insn, function.start);
    let mut lines = Followed::new(&image.lines, |l| l.insn, function.start.saturating_add(1));
    let mut out = Vec::with_capacity(insns.len());
    let mut at = 0;
    while let Some(&insn) = insns.get(at) {
        let place = (start + at) as u32;
        let reloc = relocs.at(place);
        let poisoned = poisons.at(place);
        let line = lines.before(place + 1);
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
            reloc,
            callee,
            poisoned,
            line,
            func: f as u32,
            own: true,
        });
        at += insn.slots();
    }
    Some(out)
}

/// A list of what is said about instructions, in their order: looked through once, then followed.
struct Followed<'i, T> {
    all: &'i [T],
    insn: fn(&T) -> u32,
    /// The next one: its index, and the instruction that it is about.
    next: usize,
    place: u32,
}

impl<'i, T> Followed<'i, T> {
    /// The next one is the first that is about an instruction at `from` or behind it.
    fn new(all: &'i [T], insn: fn(&T) -> u32, from: u32) -> Self {
        let next = all.partition_point(|one| insn(one) < from);
        Self { all, insn, next, place: Self::place(all, insn, next) }
    }

    fn place(all: &[T], insn: fn(&T) -> u32, next: usize) -> u32 {
        all.get(next).map_or(u32::MAX, insn)
    }

    /// Goes on to the first that is about an instruction at `place` or behind it.
    #[inline]
    fn go_on(&mut self, place: u32) {
        while self.place < place {
            self.next += 1;
            self.place = Self::place(self.all, self.insn, self.next);
        }
    }

    /// What is said of an instruction.
    #[inline]
    fn at(&mut self, place: u32) -> Option<Index> {
        self.go_on(place);
        if self.place == place { Index::new(self.next) } else { None }
    }

    /// The last that is about an instruction before `place`.
    #[inline]
    fn before(&mut self, place: u32) -> Option<Index> {
        self.go_on(place);
        self.next.checked_sub(1).and_then(Index::new)
    }
}

/// The function that starts at a slot.
fn starting(image: &Image, slot: i64) -> Option<Index> {
    Index::new(image.functions.binary_search_by_key(&slot, |f| i64::from(f.start)).ok()?)
}

/// What [`blocks`] makes on the way, kept for its room.
#[derive(Default)]
pub(super) struct Ways {
    /// The ends of blocks, by the instruction; with slots, then instructions in place of blocks.
    ends: Vec<(usize, End)>,
    /// The slots in the middle of an instruction.
    middles: Vec<usize>,
    /// Does an instruction begin a block?
    leads: Vec<bool>,
    /// Those that do.
    starts: Vec<usize>,
}

/// The blocks of a function, or why it has to stay as it is.
pub(super) fn blocks(insts: &[Inst], ways: &mut Ways) -> Result<Vec<Block>, Why> {
    let Ways { ends, middles, leads, starts } = ways;
    ends.clear();
    middles.clear();
    let mut slot = 0;
    for (i, inst) in insts.iter().enumerate() {
        let insn = inst.insn;
        match insn.class() {
            class::LD if insn.is_ld_imm64() => {
                slot += 1;
                middles.push(slot);
            }
            class::JMP | class::JMP32 => {
                let to = |slot: i64| usize::try_from(slot).map_err(|_| Why::Control);
                let end = match insn.flow(slot) {
                    _ if insn.code == JCOND => return Err(Why::MayGoto),
                    _ if insn.code == CALLX => return Err(Why::Control),
                    Flow::To(target) if insn.is_jump() => Some(End::Goto(to(target)?)),
                    Flow::To(_) => None,
                    Flow::Either { next, target } => {
                        Some(End::Branch { test: *inst, taken: to(target)?, next: to(next)? })
                    }
                    Flow::Exit => Some(End::Exit(*inst)),
                    Flow::Unknown => return Err(Why::Control),
                };
                ends.extend(end.map(|end| (i, end)));
            }
            _ => {}
        }
        slot += 1;
    }
    // Runs off the end?
    if ends.last().is_none_or(|(last, _)| last + 1 < insts.len()) {
        return Err(Why::Control);
    }
    leads.clear();
    leads.resize(insts.len(), false);
    leads[0] = true;
    for (at, end) in ends.iter_mut() {
        let mut outside = false;
        end.retarget(|slot| {
            let at = slot - middles.partition_point(|&middle| middle < slot);
            outside |= at >= insts.len() || middles.binary_search(&slot).is_ok();
            at
        });
        if outside {
            return Err(Why::Control);
        }
        end.successors().for_each(|to| leads[to] = true);
        if let Some(next) = leads.get_mut(*at + 1) {
            *next = true;
        }
    }
    starts.clear();
    starts.extend(leads.iter().enumerate().filter_map(|(at, &leads)| leads.then_some(at)));
    let block = |at: usize| starts.partition_point(|&start| start < at);
    let mut blocks = Vec::with_capacity(starts.len());
    let mut ends = ends.drain(..).peekable();
    for (id, &start) in starts.iter().enumerate() {
        let stop = starts.get(id + 1).copied().unwrap_or(insts.len());
        let last = ends.next_if(|(at, _)| at + 1 == stop);
        let len = stop - start - usize::from(last.is_some());
        let mut end = last.map_or(End::Goto(stop), |(_, end)| end);
        end.retarget(block);
        blocks.push(Block { start: start as u32, len: len as u32, end });
    }
    Ok(blocks)
}

/// A body in a row again. Puts a block behind one that falls through to it where it can.
pub(super) fn flatten(body: &Body, long_jumps: bool) -> Result<Vec<Inst>, Why> {
    let order = order(body);
    let mut place = vec![usize::MAX; body.blocks.len()];
    let mut count = 0;
    for (i, &id) in order.iter().enumerate() {
        place[id] = i;
        count += body.blocks[id].len() + 2;
    }
    let mut out: Vec<Inst> = Vec::with_capacity(count);
    let mut jumps: Vec<Jump> = Vec::with_capacity(2 * order.len());
    let mut starts = vec![0usize; body.blocks.len()];
    for (i, &id) in order.iter().enumerate() {
        starts[id] = out.len();
        out.extend_from_slice(body.code(id));
        let follows = |to: BlockId| place[to] == i + 1;
        let mut jump = |inst: Inst, to: BlockId| {
            jumps.push(Jump { at: out.len(), to, far: false });
            out.push(inst);
        };
        let goto = |like: &Inst| like.beside(Insn { code: JA, ..Insn::default() });
        match body.blocks[id].end {
            End::Goto(to) => {
                if !follows(to) {
                    let like = body.code(id).last().or_else(|| first_inst(body, to));
                    jump(goto(like.ok_or(Why::Control)?), to);
                }
            }
            End::Branch { test, taken, next } => match inverse(test.insn) {
                Some(insn) if !follows(next) && follows(taken) => jump(test.with(insn), next),
                _ => {
                    jump(test, taken);
                    if !follows(next) {
                        jump(goto(&test), next);
                    }
                }
            },
            End::Exit(exit) => out.push(exit),
        }
    }
    place_jumps(out, jumps, &starts, long_jumps)
}

/// A jump between blocks that lie in a row.
struct Jump {
    /// Index of the instruction.
    at: usize,
    to: BlockId,
    /// Has it to go farther than 16 bits can say?
    far: bool,
}

/// Gives jumps their offsets. `starts`: the index in `out` where a block begins. Conditional jumps have 16
/// bits only: one that is to go farther is turned round and jumps over a long one.
fn place_jumps(
    mut out: Vec<Inst>,
    mut jumps: Vec<Jump>,
    starts: &[usize],
    long_jumps: bool,
) -> Result<Vec<Inst>, Why> {
    let extra = |jump: &Jump, inst: &Inst| match jump.far && inst.insn.code != JA {
        true if inverse(inst.insn).is_none() => 2,
        true => 1,
        false => 0,
    };
    // Each round makes at least one more jump far.
    let places = loop {
        let mut at = 0;
        let mut places = Vec::with_capacity(out.len() + 1);
        let mut next = jumps.iter().peekable();
        for (i, inst) in out.iter().enumerate() {
            places.push(at);
            let more = next.next_if(|jump| jump.at == i).map_or(0, |jump| extra(jump, inst));
            at += (inst.slots() + more) as i64;
        }
        places.push(at);
        let mut changed = false;
        for jump in jumps.iter_mut().filter(|jump| !jump.far) {
            let distance = places[starts[jump.to]] - places[jump.at + 1];
            jump.far = i16::try_from(distance).is_err();
            changed |= jump.far;
        }
        if !changed {
            break places;
        }
        if !long_jumps {
            return Err(Why::JumpRange);
        }
    };
    let distance = |jump: &Jump| places[starts[jump.to]] - places[jump.at + 1];
    for jump in jumps.iter().filter(|jump| !jump.far) {
        // In range, or it would be far.
        out[jump.at].insn.off = distance(jump) as i16;
    }
    if jumps.iter().all(|jump| !jump.far) {
        return Ok(out);
    }
    let mut insts = Vec::with_capacity(out.len() + 2 * jumps.len());
    let mut from = 0;
    for jump in jumps.iter().filter(|jump| jump.far) {
        insts.extend_from_slice(&out[from..jump.at]);
        from = jump.at + 1;
        let inst = out[jump.at];
        let imm = i32::try_from(distance(jump)).map_err(|_| Why::JumpRange)?;
        let long = inst.with(Insn { code: JA32, imm, ..Insn::default() });
        match inverse(inst.insn) {
            _ if inst.insn.code == JA => insts.push(long),
            Some(insn) => {
                insts.push(inst.with(Insn { off: 1, ..insn }));
                insts.push(inst.beside(long.insn));
            }
            None => {
                insts.push(inst.with(Insn { off: 1, ..inst.insn }));
                insts.push(inst.beside(Insn { code: JA, off: 1, ..Insn::default() }));
                insts.push(inst.beside(long.insn));
            }
        }
    }
    insts.extend_from_slice(&out[from..]);
    Ok(insts)
}

/// An instruction that says where (source line, function) a block is.
fn first_inst(body: &Body, mut id: BlockId) -> Option<&Inst> {
    // Chains of empty blocks are short; a cycle of them is an endless loop, which no verifier takes.
    for _ in 0..body.blocks.len() {
        match (body.code(id).first(), &body.blocks[id].end) {
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
