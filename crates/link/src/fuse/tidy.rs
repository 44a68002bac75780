//! Clean-up behind fusing: what a compiler would not have written, had it seen the functions together.
//!
//! Each pass keeps what the program does:
//! * [`forward`] goes over the blocks in their order, with what is known of the registers there
//!   ([`super::values`] says why it is).
//!   1. A register is replaced by another, or a load by a copy, where both hold the same value. Done for
//!      the context pointer and the packet's bounds only: of two equal numbers the verifier may know more
//!      about one, of these it knows the same. The bounds are read-only to programs and change only when a
//!      helper moves the packet.
//!   2. What makes a constant that its register holds already goes, and so does a test whose outcome is known.
//!   3. An edge into a block that others lead to as well, whose test has a known outcome for who comes that
//!      way, goes where the test would have sent it, with a copy of what the block does before.
//! * [`keep`]: the packet's bounds are copied to registers that nothing uses, from where the above takes them.
//! * [`sink`]: a constant that is needed on one side of a branch only is made there.
//! * [`unite`]: blocks that only return become one.
//! * [`sweep`]: instructions whose result nobody reads and that do nothing else.
//! * [`compact`]: blocks that nothing reaches go; one that only one other goes to is joined with it; the
//!   others get into their order.

use bpfweld_insn::{Insn, Regs, class};

use super::code::{Block, BlockId, Body, End, FP, Inst, MOV64};
use super::order::{Waiting, before, forwards, goes_back, live_in, live_out};
use super::values::{Arrivals, Bounds, Known, Numbers, State};

/// Rounds of all passes: what one pass finds can make work for another. Most bodies need two.
const ROUNDS: usize = 4;
/// Instructions of a block that are copied to decide its test.
const MAX_COPIED: usize = 8;
/// Blocks without code that a jump is followed through.
const MAX_HOPS: usize = 16;

/// Cleans up. `bounds`: where the context that r1 holds on entry has the packet's bounds.
pub(super) fn tidy(body: &mut Body, bounds: Bounds) {
    let mut numbers = Numbers::new(bounds);
    compact(body);
    let (mut live, _) = sweep(body);
    keep(body, &mut numbers);
    for round in 0..ROUNDS {
        let done = forward(body, &mut numbers, &live, round > 0);
        if done == Done::Nothing {
            break;
        }
        let mut more = done == Done::Ways;
        let mut again = more;
        for last in (0..ROUNDS).rev() {
            if more {
                compact(body);
            }
            (live, more) = sweep(body);
            if last > 0 {
                more |= sink(body, &live);
                more |= unite(body);
            }
            if !more {
                break;
            }
            again = true;
        }
        if !again {
            break;
        }
    }
}

/// What going over the blocks has changed.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Done {
    Nothing,
    Instructions,
    /// Blocks go on elsewhere: then there may be more to be found.
    Ways,
}

/// Goes over the blocks in their order, each with what is known where it begins. `sunk`: constants are where
/// they are needed.
fn forward(body: &mut Body, numbers: &mut Numbers, live: &[Regs], sunk: bool) -> Done {
    let arrivals = arrivals(body, 0..body.blocks.len());
    let looping = in_loops(body);
    // Where blocks go round, what is known of the first of them takes into account what comes round.
    let around = goes_back(body).then(|| numbers.analyse(body));
    let known = numbers.arrivals(body);
    let (copied, done) = (Vec::new(), Done::Nothing);
    let forth_only = around.is_none();
    let mut pass =
        Pass { body, numbers, live, sunk, arrivals, looping, forth_only, known, copied, done };
    for id in 0..live.len() {
        // What no way leads to any more needs none. Of a circle's blocks that is not known yet: a way to one
        // may come from a later one.
        let around = around.as_ref().filter(|_| pass.looping[id]).and_then(|a| a.known[id]);
        let Some(known) = around.or(pass.known.known[id]) else { continue };
        pass.block(id, known);
    }
    pass.done
}

/// One way over the blocks.
struct Pass<'b> {
    body: &'b mut Body,
    numbers: &'b mut Numbers,
    /// Registers that are read before they are written, at the start of each block.
    live: &'b [Regs],
    sunk: bool,
    /// From how many places a block was reached at first.
    arrivals: Vec<u32>,
    /// Which blocks are part of a circle.
    looping: Vec<bool>,
    /// Is there none? Then what comes behind a block is as it was when its turn comes.
    forth_only: bool,
    known: Arrivals,
    /// Kept for its room.
    copied: Vec<Inst>,
    done: Done,
}

impl Pass<'_> {
    /// A block, and where it goes on.
    fn block(&mut self, id: BlockId, known: Known) {
        let Known { mut regs, facts } = known;
        let insts = self.body.code_mut(id);
        let (mut kept, mut changed) = (0, false);
        for at in 0..insts.len() {
            let mut inst = insts[at];
            if rewrite(self.numbers, self.sunk, (id, at), &mut inst, &mut regs) {
                changed |= inst.insn != insts[at].insn;
                insts[kept] = inst;
                kept += 1;
            }
        }
        if changed || kept < insts.len() {
            self.done = self.done.max(Done::Instructions);
        }
        self.body.blocks[id].truncate(kept);
        let end = self.ending(id, &Known { regs, facts });
        let mut ways = [None; 2];
        for (way, edge) in ways.iter_mut().zip(self.numbers.edges(&end, &regs)) {
            let Some((to, fact)) = edge else { continue };
            let known = Known { regs, facts: self.numbers.learn(facts, fact) };
            *way = Some((to, self.follow(to, known)));
        }
        let elsewhere = |to| ways.iter().flatten().find(|way| way.0 == to).map_or(to, |way| way.1);
        self.body.blocks[id].end.retarget(elsewhere);
        if ways.iter().flatten().any(|(from, to)| from != to) {
            self.done = Done::Ways;
        }
    }

    /// Has a block end without a test whose outcome is known, or with the registers that are best.
    fn ending(&mut self, id: BlockId, known: &Known) -> End {
        let old = self.body.blocks[id].end;
        let End::Branch { test, taken, next } = old else { return old };
        let new = match self.decide(test.insn, (taken, next), known) {
            Some(holds) => {
                self.done = Done::Ways;
                End::Goto(if holds { taken } else { next })
            }
            None => {
                let of = |reg| home(self.numbers, reg, &known.regs);
                let mut insn = test.insn.with_dst(of(test.insn.dst()));
                if insn.code & 8 != 0 {
                    insn = insn.with_src(of(insn.src()));
                }
                if insn == test.insn {
                    return old;
                }
                self.done = self.done.max(Done::Instructions);
                End::Branch { test: test.with(insn), taken, next }
            }
        };
        self.body.blocks[id].end = new;
        new
    }

    fn decide(&mut self, test: Insn, to: (BlockId, BlockId), known: &Known) -> Option<bool> {
        self.numbers.decide(test, known, self.live[to.0].or(self.live[to.1]))
    }

    /// Where an edge to a block leads in the end: past tests whose outcome is known, with a copy of what is
    /// done on the way.
    fn follow(&mut self, first: BlockId, mut known: Known) -> BlockId {
        let mut to = first;
        let mut copied = std::mem::take(&mut self.copied);
        copied.clear();
        // What only this edge leads to is decided when its turn comes.
        for _ in 0..if self.arrivals[first] > 1 { MAX_HOPS } else { 0 } {
            // Through a loop a test would be decided once for each turn.
            if self.looping[to] {
                break;
            }
            let block = self.body.blocks[to];
            if let (true, End::Goto(next)) = (block.is_empty(), block.end) {
                to = next;
                continue;
            }
            let End::Branch { test, taken, next } = block.end else { break };
            if block.len() > MAX_COPIED {
                break;
            }
            let code = self.body.code(to);
            if code.iter().any(|inst| inst.is_call() || inst.insn.class() == class::STX) {
                break;
            }
            let mut there = known;
            let before = copied.len();
            for (at, inst) in code.iter().enumerate() {
                let mut inst = *inst;
                if rewrite(self.numbers, self.sunk, (to, at), &mut inst, &mut there.regs) {
                    copied.push(inst);
                }
            }
            let Some(holds) = self.decide(test.insn, (taken, next), &there) else {
                copied.truncate(before);
                break;
            };
            known = there;
            to = if holds { taken } else { next };
        }
        if self.forth_only {
            self.sweep_copied(&mut copied, self.live[to], &mut known.regs);
        }
        self.numbers.arrive(&mut self.known, to, known);
        let way = match copied.is_empty() {
            true => to,
            false => self.body.add(&copied, End::Goto(to)),
        };
        self.copied = copied;
        way
    }

    /// Drops what is copied on the way to a block and not read from there on. `live`: the registers that are. Of r6 to
    /// r9 what they hold may be asked for yet ([`home`]).
    fn sweep_copied(&mut self, copied: &mut Vec<Inst>, live: Regs, regs: &mut State) {
        let mut written = Regs::NONE;
        let (idle, _) = sweep_code(copied, live.or(Regs::CALLEE_SAVED), |inst, idle| {
            let dst = inst.insn.dst();
            if idle && !written.has(dst) {
                regs[usize::from(dst)] = self.numbers.unknown();
            }
            written = written.or(inst.reg_use().writes);
        });
        copied.drain(..idle);
    }
}

/// An instruction at a place (block, index) with the registers that are best, and what is known behind it.
/// Does it do anything? `sunk`: constants are where they are needed.
fn rewrite(
    numbers: &mut Numbers,
    sunk: bool,
    place: (BlockId, usize),
    inst: &mut Inst,
    regs: &mut State,
) -> bool {
    let insn = inst.insn;
    let dst = usize::from(insn.dst().min(FP));
    let copies = is_copy(inst);
    if copies || insn.class() == class::LDX {
        // So that the copy that it was taken from may fall away.
        let best = home(numbers, insn.src(), regs);
        if best != insn.src() {
            *inst = inst.with(insn.with_src(best));
        }
    }
    if numbers.is_bound(inst, regs) {
        let number = numbers.bound(place, insn.off, regs);
        let same = regs[..10].iter().position(|&held| held == number);
        regs[dst] = number;
        if let Some(same) = same {
            *inst = inst.beside(Insn::new(MOV64, insn.dst(), same as u8, 0, 0));
        }
        return same != Some(dst);
    }
    let before = regs[dst];
    numbers.step_unbound(place, inst, regs);
    if before != regs[dst] {
        return true;
    }
    let idle = match insn.class() {
        // A constant in a register that calls overwrite may be needed here and not before.
        _ if is_constant(inst) => sunk || Regs::CALLEE_SAVED.has(insn.dst()),
        class::ALU | class::ALU64 if numbers.constant(before).is_some() => inst.poisoned.is_none(),
        _ => copies && numbers.is_kept(before),
    };
    !idle
}

/// To each block, how many edges of these lead; to the first, one comes from outside.
fn arrivals(body: &Body, blocks: impl Iterator<Item = BlockId>) -> Vec<u32> {
    let mut arrivals = vec![0; body.blocks.len()];
    arrivals[0] = 1;
    for id in blocks {
        body.blocks[id].end.successors().for_each(|to| arrivals[to] += 1);
    }
    arrivals
}

/// The register of r6 to r9 that holds the same as this one; this one if there is none.
fn home(numbers: &Numbers, reg: u8, regs: &State) -> u8 {
    let Some(&number) = regs.get(usize::from(reg)).filter(|_| reg < FP) else { return reg };
    if !numbers.is_kept(number) {
        return reg;
    }
    (6..10u8).find(|&r| regs[usize::from(r)] == number).unwrap_or(reg)
}

/// Copies what is loaded of the packet's bounds, where that is done more than once, to a register that
/// nothing uses. Where no load can be spared by it, the copy is swept away.
fn keep(body: &mut Body, numbers: &mut Numbers) {
    // The end first: the start is in some register more often.
    let bounds = numbers.bounds();
    let fields = || bounds.get(1).into_iter().chain(bounds.first());
    let mut used = Regs::NONE;
    let mut loads = vec![0; bounds.len()];
    body.for_each(|inst| {
        let this = inst.reg_use();
        used = used.or(this.reads).or(this.writes);
        if let Some(field) = numbers.field(inst) {
            loads[field] += 1;
        }
    });
    let free = (6..10u8).filter(|&r| !used.has(r));
    if free.clone().next().is_none() || loads.iter().all(|&loads| loads < 2) {
        return;
    }
    // Block and index of each load, and the field.
    let mut loads: Vec<(BlockId, usize, i16)> = Vec::with_capacity(loads.iter().sum());
    for (id, holders) in holders_of_context(body).into_iter().enumerate() {
        let Some(mut holders) = holders else { continue };
        for (at, inst) in body.code(id).iter().enumerate() {
            if numbers.field(inst).is_some() && holders.has(inst.insn.src()) {
                loads.push((id, at, inst.insn.off));
            }
            holders = holders_behind(inst, holders);
        }
    }
    let often = |field: &&i16| loads.iter().filter(|(.., off)| off == *field).count() > 1;
    let homes: Vec<(i16, u8)> = fields().filter(often).copied().zip(free).collect();
    let home = |field| homes.iter().find(|(of, _)| *of == field).map(|(_, reg)| *reg);
    let old = std::mem::take(body);
    *body = Body::with_capacity(old.len() + loads.len(), old.blocks.len());
    let mut loads = loads.into_iter().peekable();
    for (id, block) in old.blocks.iter().enumerate() {
        let code = old.code(id);
        let (mut from, mut len) = (0, code.len());
        while let Some((_, at, field)) = loads.next_if(|load| load.0 == id) {
            let Some(reg) = home(field) else { continue };
            body.append(&code[from..=at]);
            body.push(code[at].beside(Insn::new(MOV64, reg, code[at].insn.dst(), 0, 0)));
            from = at + 1;
            len += 1;
        }
        body.append(&code[from..]);
        body.close(len, block.end);
    }
}

/// Which registers hold the context pointer at the start of each block, on all ways there; `None` for one
/// that is not reached.
fn holders_of_context(body: &Body) -> Vec<Option<Regs>> {
    let mut holders = vec![None; body.blocks.len()];
    holders[0] = Some(Regs::one(1));
    let mut waiting = Waiting::at_entry(body);
    while let Some(at) = waiting.next() {
        let Some(start) = holders[at] else { continue };
        let end = body.code(at).iter().fold(start, |held, inst| holders_behind(inst, held));
        for to in body.blocks[at].end.successors() {
            let both = holders[to].map_or(end, |there: Regs| Regs(there.0 & end.0));
            if holders[to] != Some(both) {
                holders[to] = Some(both);
                waiting.add(to);
            }
        }
    }
    holders
}

/// Which registers hold the context pointer behind an instruction.
fn holders_behind(inst: &Inst, before: Regs) -> Regs {
    let behind = before.without(inst.reg_use().writes);
    match is_copy(inst) && before.has(inst.insn.src()) {
        true => behind.or(Regs::one(inst.insn.dst())),
        false => behind,
    }
}

fn is_copy(inst: &Inst) -> bool {
    inst.insn.code == MOV64 && inst.insn.off == 0
}

/// Which blocks are part of a cycle.
fn in_loops(body: &Body) -> Vec<bool> {
    let count = body.blocks.len();
    let mut looping = vec![false; count];
    if !goes_back(body) {
        return looping;
    }
    // Strongly connected components, iteratively (Tarjan).
    let mut index = vec![usize::MAX; count];
    let mut low = vec![0; count];
    let mut stacked = vec![false; count];
    let mut stack = Vec::new();
    let mut next = 0;
    let mut path: Vec<(BlockId, Vec<BlockId>)> = Vec::new();
    let mut enter = Some(0);
    loop {
        if let Some(at) = enter.take() {
            index[at] = next;
            low[at] = next;
            next += 1;
            stack.push(at);
            stacked[at] = true;
            path.push((at, body.blocks[at].end.successors().collect()));
        }
        let Some((at, rest)) = path.last_mut() else { return looping };
        let at = *at;
        if let Some(to) = rest.pop() {
            looping[at] |= to == at;
            if index[to] == usize::MAX {
                enter = Some(to);
            } else if stacked[to] {
                low[at] = low[at].min(index[to]);
            }
            continue;
        }
        path.pop();
        if let Some((parent, _)) = path.last() {
            low[*parent] = low[*parent].min(low[at]);
        }
        if low[at] == index[at] {
            let from = stack.iter().rposition(|&b| b == at).unwrap_or(0);
            let component = stack.split_off(from);
            for &member in &component {
                stacked[member] = false;
                looping[member] |= component.len() > 1;
            }
        }
    }
}

/// Constants go to the only side of a branch that needs them. `live`: registers that are read before they are
/// written, at the start of each block.
fn sink(body: &mut Body, live: &[Regs]) -> bool {
    let blocks = body.blocks.len();
    // Kept for their room: what goes to either side.
    let mut moved: [Vec<Inst>; 2] = Default::default();
    for id in 0..blocks {
        let End::Branch { test, taken, next } = body.blocks[id].end else { continue };
        if taken == next {
            continue;
        }
        let mut touched = test.reg_use().reads;
        moved.iter_mut().for_each(Vec::clear);
        let code = body.code_mut(id);
        // What stays is moved to the back.
        let mut kept = code.len();
        for at in (0..code.len()).rev() {
            let inst = code[at];
            let (used, dst) = (inst.reg_use(), inst.insn.dst());
            let side = match is_constant(&inst) && !touched.has(dst) {
                true => match [live[taken].has(dst), live[next].has(dst)] {
                    [true, false] => Some(0),
                    [false, true] => Some(1),
                    _ => None,
                },
                false => None,
            };
            match side {
                Some(side) => {
                    moved[side].push(inst);
                    touched = touched.or(Regs::one(dst));
                }
                None => {
                    kept -= 1;
                    if kept > at {
                        code[kept] = inst;
                    }
                    touched = touched.or(used.reads).or(used.writes);
                }
            }
        }
        body.blocks[id].skip(kept);
        for (side, insts) in moved.iter_mut().enumerate().filter(|(_, m)| !m.is_empty()) {
            // Walking backwards: what comes first is found last.
            insts.reverse();
            let to = if side == 0 { taken } else { next };
            let new = body.add(insts, End::Goto(to));
            if let End::Branch { taken, next, .. } = &mut body.blocks[id].end {
                *(if side == 0 { taken } else { next }) = new;
            }
        }
    }
    body.blocks.len() > blocks
}

/// Blocks that do nothing but return. What makes a verdict before stays apart: where a member ends the chain, the
/// verifier so comes to an end first, and has less to keep in mind, than where it goes on.
fn unite(body: &mut Body) -> bool {
    let exits = |b: &Block| b.is_empty() && matches!(b.end, End::Exit(_));
    let Some(first) = body.blocks.iter().position(exits) else { return false };
    let others: Vec<bool> = body.blocks.iter().skip(first + 1).map(exits).collect();
    let mut changed = false;
    for block in &mut body.blocks {
        block.end.retarget(|to| {
            let other = to > first && others[to - first - 1];
            changed |= other;
            if other { first } else { to }
        });
    }
    changed
}

/// `dst = imm`, of either width.
fn is_constant(inst: &Inst) -> bool {
    matches!(inst.insn.code, 0xb7 | 0xb4) && inst.poisoned.is_none()
}

/// Drops instructions whose result nobody reads. Registers that are read before they are written, at the start
/// of each block; is there a block now without any instructions?
fn sweep(body: &mut Body) -> (Vec<Regs>, bool) {
    let again = goes_back(body);
    let mut emptied = false;
    loop {
        // Where nothing goes round, all is known of what comes behind a block when its turn comes.
        let mut live = match again {
            true => live_in(body),
            false => vec![Regs::NONE; body.blocks.len()],
        };
        let mut changed = false;
        for id in (0..body.blocks.len()).rev() {
            let behind = live_out(&body.blocks[id], &live);
            let (idle, now) = sweep_code(body.code_mut(id), behind, |_, _| {});
            changed |= idle > 0;
            emptied |= idle > 0 && idle == body.blocks[id].len();
            body.blocks[id].skip(idle);
            live[id] = now;
        }
        if !(changed && again) {
            return (live, emptied);
        }
    }
}

/// Moves what stays of straight-line code to its back; `live`: registers that are read behind it. `each` is told of every
/// instruction, from the back, and whether it is idle. How many are, and what is read from the start on.
fn sweep_code(code: &mut [Inst], live: Regs, mut each: impl FnMut(&Inst, bool)) -> (usize, Regs) {
    let (mut kept, mut live) = (code.len(), live);
    for at in (0..kept).rev() {
        let inst = code[at];
        let idle = is_idle(&inst, live);
        each(&inst, idle);
        if idle {
            continue;
        }
        live = before(&inst, live);
        kept -= 1;
        if kept > at {
            code[kept] = inst;
        }
    }
    (kept, live)
}

/// Does an instruction nothing but write a register that is not read? Loads have no effect of their own.
fn is_idle(inst: &Inst, live: Regs) -> bool {
    let insn = inst.insn;
    let nothing = is_copy(inst) && insn.dst() == insn.src();
    if !nothing && inst.reg_use().writes.0 & live.0 != 0 {
        return false;
    }
    let pure = match insn.class() {
        class::ALU | class::ALU64 | class::LDX => true,
        class::LD => insn.is_ld_imm64(),
        _ => false,
    };
    pure && inst.poisoned.is_none()
}

/// Drops what is not reached, joins what runs on, puts the rest in its order. Is it another body now, but for
/// the order?
fn compact(body: &mut Body) -> bool {
    let mut changed = false;
    for id in 0..body.blocks.len() {
        let mut end = body.blocks[id].end;
        end.retarget(|mut to| {
            // Past blocks without code.
            for _ in 0..MAX_HOPS {
                match body.blocks[to] {
                    block if !block.is_empty() => break,
                    Block { end: End::Goto(next), .. } => to = next,
                    _ => break,
                }
                changed = true;
            }
            to
        });
        if let End::Branch { taken, next, .. } = end
            && taken == next
        {
            end = End::Goto(next);
            changed = true;
        }
        body.blocks[id].end = end;
    }
    let order = forwards(body);
    changed |= order.len() < body.blocks.len();
    let arrivals = arrivals(body, order.iter().copied());
    // Of each block, where it is now, or is joined with another.
    const NOWHERE: BlockId = BlockId::MAX;
    let mut names = vec![NOWHERE; body.blocks.len()];
    let old = std::mem::take(body);
    *body = Body::with_capacity(old.len(), order.len());
    for id in order {
        // Not if it was joined with one before.
        if names[id] != NOWHERE {
            continue;
        }
        let (mut at, mut len) = (id, 0);
        let end = loop {
            names[at] = body.blocks.len();
            body.append(old.code(at));
            len += old.blocks[at].len();
            match old.blocks[at].end {
                End::Goto(to) if arrivals[to] == 1 && names[to] == NOWHERE => at = to,
                end => break end,
            }
            changed = true;
        };
        body.close(len, end);
    }
    for block in &mut body.blocks {
        block.end.retarget(|to| names[to]);
    }
    changed
}
