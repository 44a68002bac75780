//! A callee's code at the place of its call.
//!
//! What holds afterwards, and why it is the same program:
//! * **Arguments and result** stay in r1 to r5 and r0. Behind a call r1 to r5 cannot be read, so what the
//!   callee leaves there is nobody's.
//! * **r6 to r9**: the verifier lets no function read them before it wrote them, so a callee's are its
//!   own. Those that hold nothing that the caller reads again are shared; else the callee's get other
//!   names, or stand for the caller's where both hold the same (the context), or the caller's are saved
//!   on the stack around the callee.
//! * **Stack**: offsets from r10 are shifted below what the caller uses. Callees do not live across each
//!   other, so all share that area. A callee cannot read a slot before it wrote it, so what another one
//!   left there does not show. Addresses into the callee's frame cannot outlive it: the verifier lets
//!   none be returned, nor stored in the caller's frame or anywhere else.
//! * **exit** becomes a jump behind the call.

use bpfweld_insn::{Insn, Regs, class};

use super::code::{ADD64_IMM, BlockId, Body, End, FP, Inst, MOV64, TAIL_CALL};
use super::order::{before, live_in, live_out};
use super::report::Why;

/// Bytes of a saved register.
const SLOT: i32 = 8;
/// `*(u64 *)(dst + off) = src`, `dst = *(u64 *)(src + off)`.
const STORE64: u8 = 0x7b;
const LOAD64: u8 = 0x79;

/// May a function go inline at all?
pub(super) fn check(body: &Body) -> Result<(), Why> {
    let prevents = |inst: &Inst| {
        let insn = inst.insn;
        if insn.class() == class::LD && !insn.is_ld_imm64() {
            return Some(Why::LegacyLoad);
        }
        if insn.helper() == Some(TAIL_CALL) && inst.reloc.is_none() {
            return Some(Why::TailCall);
        }
        let used = inst.reg_use();
        let frame = used.writes.has(FP) || used.reads.has(FP) && !is_plain_use(insn);
        frame.then_some(Why::FramePointer)
    };
    body.find(prevents).map_or(Ok(()), Err)
}

/// A use of r10 that can be shifted: the base of an access below it, or a copy.
fn is_plain_use(insn: Insn) -> bool {
    match insn.class() {
        class::LDX => insn.off < 0,
        class::ST => insn.off < 0,
        class::STX => insn.dst() == FP && insn.src() != FP && insn.off < 0,
        class::ALU64 => is_copy(insn),
        _ => false,
    }
}

/// `dst = src`, 64 bits, without sign extension.
fn is_copy(insn: Insn) -> bool {
    insn.code == MOV64 && insn.off == 0
}

/// Puts the callees that `callee_of` gives for a call in its place. `frame` is what the caller uses of its
/// own stack, in bytes, a multiple of 8. The second of the result: bytes of stack below that for saved
/// registers.
pub(super) fn inline<'b>(
    caller: &Body,
    frame: u32,
    callee_of: impl Fn(&Inst) -> Option<&'b Body>,
) -> (Body, u32) {
    let live = live_in(caller);
    // What each call needs, found before the first is replaced: replacing changes no register that the
    // caller reads.
    let mut jobs: Vec<Job<'b>> = Vec::new();
    // Where each block of the caller will be.
    let mut starts: Vec<BlockId> = Vec::with_capacity(caller.blocks.len());
    let (mut count, mut length) = (0, 0);
    for (id, block) in caller.blocks.iter().enumerate() {
        let first = jobs.len();
        let mut now = live_out(block, &live);
        let code = caller.code(id);
        starts.push(count);
        count += 1;
        length += code.len();
        for (at, inst) in code.iter().enumerate().rev() {
            if let Some(callee) = callee_of(inst) {
                let kept = Regs(now.0 & Regs::CALLEE_SAVED.0);
                let site = Site::new(callee, kept, &code[..at]);
                jobs.push(Job { place: (id, at), callee, site });
                count += callee.blocks.len() + 1;
                length += callee.len();
            }
            now = before(inst, now);
        }
        jobs[first..].reverse();
    }
    let saved = jobs.iter().map(|job| job.site.saved.len() as u32 * SLOT as u32).max().unwrap_or(0);
    let shift = (frame + saved) as i32;
    let mut jobs = jobs.into_iter().peekable();
    let mut out = Body::with_capacity(length, count);
    for (id, block) in caller.blocks.iter().enumerate() {
        let mut len = 0;
        for (at, inst) in caller.code(id).iter().enumerate() {
            let Some(Job { callee, site, .. }) = jobs.next_if(|job| job.place == (id, at)) else {
                out.push(*inst);
                len += 1;
                continue;
            };
            let slot = |i: usize| (-(frame as i32) - SLOT * (i as i32 + 1)) as i16;
            for (i, &reg) in site.saved.iter().enumerate() {
                let store = Insn::new(STORE64, FP, reg, slot(i), 0);
                out.push(inst.beside(store).inlined());
            }
            let first = out.blocks.len() + 1;
            out.close(len + site.saved.len(), End::Goto(first));
            let behind = first + callee.blocks.len();
            for id in 0..callee.blocks.len() {
                site.block(callee, id, shift, (first, behind), &mut out);
            }
            // Reached by jumps of the callee; the rest of the caller's block follows here.
            for (i, &reg) in site.saved.iter().enumerate() {
                let load = Insn::new(LOAD64, reg, FP, slot(i), 0);
                out.push(inst.beside(load).inlined());
            }
            len = site.saved.len();
        }
        let mut end = block.end;
        end.retarget(|to| starts[to]);
        out.close(len, end);
    }
    (out, saved)
}

/// A call that is to be replaced.
struct Job<'b> {
    /// Block of the caller, and index there.
    place: (BlockId, usize),
    callee: &'b Body,
    site: Site,
}

/// What becomes of the registers at one call.
struct Site {
    /// New name of each register of the callee.
    names: [u8; 11],
    /// Registers of the caller to be saved around the callee.
    saved: Vec<u8>,
    /// The callee's register that holds the same as one of the caller's throughout: its only
    /// assignment, `REG = r1`, falls away.
    shared: Option<u8>,
}

impl Site {
    /// `kept`: the registers of r6 to r9 that the caller reads again. `ahead`: its code before the call,
    /// within the block.
    fn new(callee: &Body, kept: Regs, ahead: &[Inst]) -> Self {
        let context = holder(ahead, 1).filter(|&r| kept.has(r)).zip(copy_of_argument(callee));
        let site = Self::assign(callee, kept, context);
        // A register that is shared cannot make room for another.
        match site.shared {
            Some(shared) if site.saved.contains(&shared) => Self::assign(callee, kept, None),
            _ => site,
        }
    }

    /// `context`: a register of the caller's, and the callee's that is to share it.
    fn assign(callee: &Body, kept: Regs, context: Option<(u8, u8)>) -> Self {
        let mut site =
            Self { names: std::array::from_fn(|r| r as u8), saved: vec![], shared: None };
        let mut used = Regs::NONE;
        callee.for_each(|inst| used = used.or(inst.reg_use().reads).or(inst.reg_use().writes));
        let mut taken = kept;
        let mut homeless = Vec::new();
        for reg in (6..=9).filter(|&r| used.has(r)) {
            match context {
                Some((callers, own)) if own == reg => {
                    site.names[usize::from(reg)] = callers;
                    site.shared = Some(callers);
                }
                _ if !kept.has(reg) => taken = taken.or(Regs::one(reg)),
                _ => homeless.push(reg),
            }
        }
        for reg in homeless {
            match (6..=9).find(|&r| !taken.has(r)) {
                Some(free) => {
                    site.names[usize::from(reg)] = free;
                    taken = taken.or(Regs::one(free));
                }
                // Everything is taken: the caller's register of this name makes room. No other of the
                // callee's has got it, as it is kept.
                None => site.saved.push(reg),
            }
        }
        site
    }

    /// Adds a block of the callee. `first`: where the callee's first block is; `behind`: where it returns to.
    fn block(
        &self,
        callee: &Body,
        id: BlockId,
        shift: i32,
        (first, behind): (BlockId, BlockId),
        out: &mut Body,
    ) {
        let end = match callee.blocks[id].end {
            End::Exit(_) => End::Goto(behind),
            End::Goto(to) => End::Goto(first + to),
            End::Branch { test, taken, next } => End::Branch {
                test: self.rename(test, shift),
                taken: first + taken,
                next: first + next,
            },
        };
        let code = callee.code(id).iter().map(|inst| self.rename(*inst, shift));
        // What is in a register of the caller's already is not copied there.
        let copied = |inst: &Inst| {
            self.shared == Some(inst.insn.dst()) && is_copy(inst.insn) && inst.insn.src() == 1
        };
        let code = code.filter(|inst| !copied(inst));
        if shift == 0 {
            let len = code.map(|inst| out.push(inst)).count();
            out.close(len, end);
            return;
        }
        out.add(&shifted(code, shift), end);
    }

    /// Registers renamed, accesses to the frame shifted.
    fn rename(&self, inst: Inst, shift: i32) -> Inst {
        let name = |r: u8| self.names.get(usize::from(r)).copied().unwrap_or(r);
        let mut insn = inst.insn;
        // In a call and in a 64-bit immediate load, `src` says of what kind it is.
        if !inst.is_call() {
            insn = insn.with_dst(name(insn.dst()));
            if !insn.is_ld_imm64() {
                insn = insn.with_src(name(insn.src()));
            }
        }
        let base = match insn.class() {
            class::LDX => insn.src(),
            class::ST | class::STX => insn.dst(),
            _ => 0,
        };
        if base == FP {
            // Both are far from the ends of the range: frames have 512 bytes.
            insn.off = insn.off.saturating_sub(shift as i16);
        }
        if insn == inst.insn { inst.inlined() } else { inst.with(insn).inlined() }
    }
}

/// Code whose addresses in the frame, made of copies of r10, go down by `shift`.
fn shifted(code: impl Iterator<Item = Inst>, shift: i32) -> Vec<Inst> {
    let mut insts: Vec<Inst> = Vec::new();
    // A copy of r10 that is to be shifted, and is not yet.
    let mut open: Vec<(u8, usize)> = Vec::new();
    for mut inst in code {
        let used = inst.reg_use();
        let known = open.iter().position(|&(r, _)| used.reads.has(r) || used.writes.has(r));
        if let Some(known) = known {
            let (reg, at) = open.swap_remove(known);
            let folded = inst.insn.imm.checked_sub(shift);
            let adds = inst.insn.code == ADD64_IMM && inst.insn.dst() == reg;
            match folded.filter(|_| adds) {
                Some(imm) => inst.insn.imm = imm,
                None => insert_shift(&mut insts, &mut open, at, reg, shift),
            }
        }
        // An instruction may touch two such copies.
        while let Some(known) =
            open.iter().position(|&(r, _)| used.reads.has(r) || used.writes.has(r))
        {
            let (reg, at) = open.swap_remove(known);
            insert_shift(&mut insts, &mut open, at, reg, shift);
        }
        let copies = is_copy(inst.insn) && inst.insn.src() == FP;
        insts.push(inst);
        if copies {
            open.push((inst.insn.dst(), insts.len()));
        }
    }
    while let Some((reg, at)) = open.pop() {
        insert_shift(&mut insts, &mut open, at, reg, shift);
    }
    insts
}

fn insert_shift(insts: &mut Vec<Inst>, open: &mut [(u8, usize)], at: usize, reg: u8, shift: i32) {
    let add = Insn::new(ADD64_IMM, reg, 0, 0, -shift);
    let like = insts[at - 1];
    insts.insert(at, like.beside(add));
    for (_, other) in open.iter_mut().filter(|(_, other)| *other > at) {
        *other += 1;
    }
}

/// The register of r6 to r9 that holds the same as `reg` at the end of straight-line code.
fn holder(code: &[Inst], reg: u8) -> Option<u8> {
    let mut changed = Regs::NONE;
    for inst in code.iter().rev() {
        let insn = inst.insn;
        if is_copy(insn) {
            let other = match (insn.dst(), insn.src()) {
                (dst, src) if dst == reg => Some(src),
                (dst, src) if src == reg => Some(dst),
                _ => None,
            };
            if let Some(other) = other
                && (6..=9).contains(&other)
                && !changed.has(other)
                && !changed.has(reg)
            {
                return Some(other);
            }
        }
        changed = changed.or(inst.reg_use().writes);
        if changed.has(reg) {
            return None;
        }
    }
    None
}

/// The register of r6 to r9 that holds the first argument throughout: written once, at the start, from
/// r1.
fn copy_of_argument(callee: &Body) -> Option<u8> {
    callee.blocks.first()?;
    let copy = callee.code(0).iter().find_map(|inst| {
        if is_copy(inst.insn) && inst.insn.src() == 1 && (6..=9).contains(&inst.insn.dst()) {
            return Some(Some(inst.insn.dst()));
        }
        inst.reg_use().writes.has(1).then_some(None)
    })??;
    let mut writes = 0;
    callee.for_each(|inst| writes += usize::from(inst.reg_use().writes.has(copy)));
    // Nothing may jump back to the start, where it does not hold it yet; and nothing needs to look: what
    // is written once, there, is written with what r1 held on entry, unless r1 is another by then.
    let again = callee.blocks.iter().any(|b| b.end.successors().any(|to| to == 0));
    (writes == 1 && !again).then_some(copy)
}
