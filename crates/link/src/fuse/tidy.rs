//! Clean-up behind fusing: what a compiler would not have written, had it seen the functions together.
//!
//! Each pass keeps what the program does:
//! * [`rewrite`]: a register is replaced by another, or a load by a copy, where both hold the same value
//!   ([`super::values`] says why they do). Done for the context pointer and the packet's bounds only: of
//!   two equal numbers the verifier may know more about one, of these it knows the same. The bounds are
//!   read-only to programs and change only when a helper moves the packet.
//! * [`keep`]: the packet's bounds are copied to registers that nothing uses, from where the above takes them.
//! * [`thread`]: an edge into a block whose test has a known outcome for who comes that way goes where the
//!   test would have sent it, with a copy of what the block does before.
//! * [`sink`]: a constant that is needed on one side of a branch only is made there.
//! * [`unite`]: blocks that make the same constants and go to the same place become one.
//! * [`sweep`]: instructions whose result nobody reads and that do nothing else.
//! * [`compact`]: blocks that nothing reaches go; one that only one other goes to is joined with it.

use bpfweld_insn::{Insn, Regs, class};
use foldhash::{HashMap, HashMapExt as _};

use super::code::{Block, BlockId, Body, End, FP, Inst, MOV64};
use super::order::{Backwards, Waiting, before, live_out};
use super::values::{Around, Bounds, Known, Number, Numbers, State, Value};

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
    keep(body, &mut numbers);
    // Is there nothing more to sink and to unite, unless the others find something?
    let mut settled = false;
    for round in 0..ROUNDS {
        let backwards = Backwards::of(body);
        let mut live = backwards.live_in(body);
        let mut known = numbers.analyse(body, &backwards);
        let rewritten = rewrite(body, &mut numbers, &known, &live);
        // In the first round there may be something to sweep that was there before.
        if rewritten != Rewritten::Nothing || round == 0 {
            live = sweep(body, &backwards);
        }
        // Another register in an instruction makes no work for another round.
        let mut changed = round == 0;
        if rewritten == Rewritten::Tests {
            changed = true;
            known = numbers.analyse(body, &backwards);
        }
        changed |= thread(body, &mut numbers, &known, (&backwards, &live));
        changed |= compact(body);
        if settled && !changed {
            break;
        }
        let live = sweep(body, &Backwards::of(body));
        settled = !sink(body, &live);
        settled &= !unite(body);
        changed |= !settled;
        if !changed {
            break;
        }
        settled &= !compact(body);
    }
}

/// What [`rewrite`] has changed.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Rewritten {
    Nothing,
    Instructions,
    /// Some tests are no more: from then on more may be known.
    Tests,
}

/// Copies and loads of what another register holds; tests whose outcome is known.
fn rewrite(
    body: &mut Body,
    numbers: &mut Numbers,
    known: &[Option<Around>],
    live: &[Regs],
) -> Rewritten {
    let mut done = Rewritten::Nothing;
    for (id, around) in known.iter().enumerate() {
        let Some(around) = around else { continue };
        let mut regs = around.start.regs;
        let block = &mut body.blocks[id];
        let mut kept = 0;
        for at in 0..block.insts.len() {
            let inst = block.insts[at];
            let new = rewritten(numbers, (id, at), &inst, &mut regs);
            if new != Some(inst) {
                done = done.max(Rewritten::Instructions);
            }
            if let Some(new) = new {
                block.insts[kept] = new;
                kept += 1;
            }
        }
        block.insts.truncate(kept);
        if let End::Branch { mut test, taken, next } = block.end {
            let behind = live[taken].or(live[next]);
            let there = Known { regs, facts: around.start.facts };
            block.end = match numbers.decide(test.insn, &there, behind) {
                Some(holds) => {
                    done = Rewritten::Tests;
                    End::Goto(if holds { taken } else { next })
                }
                None => {
                    test.insn = test.insn.with_dst(home(numbers, test.insn.dst(), &regs));
                    if test.insn.code & 8 != 0 {
                        test.insn = test.insn.with_src(home(numbers, test.insn.src(), &regs));
                    }
                    let end = End::Branch { test, taken, next };
                    if end != block.end {
                        done = done.max(Rewritten::Instructions);
                    }
                    end
                }
            };
        }
    }
    done
}

/// What becomes of the instruction at a place (block, index), and of the registers behind it; `None` if it
/// does nothing.
fn rewritten(
    numbers: &mut Numbers,
    (block, at): (BlockId, usize),
    inst: &Inst,
    regs: &mut State,
) -> Option<Inst> {
    let dst = usize::from(inst.insn.dst().min(FP));
    let new = better(numbers, inst, regs);
    if numbers.is_bound(inst, regs) {
        let before = *regs;
        numbers.step(block, at, inst, regs);
        return match (0..10).find(|&r| before[r] == regs[dst]) {
            Some(same) if same == dst => None,
            Some(same) => {
                let copy = Insn::new(MOV64, inst.insn.dst(), same as u8, 0, 0);
                Some(inst.beside(copy))
            }
            None => Some(new),
        };
    }
    let before = regs[dst];
    numbers.step(block, at, inst, regs);
    let idle =
        before == regs[dst] && (is_constant(&new) || is_copy(&new) && is_kind(numbers, before));
    (!idle).then_some(new)
}

/// The context pointer, or one of the packet's bounds?
fn is_kind(numbers: &Numbers, number: Number) -> bool {
    matches!(numbers.value(number), Some(Value::Entry(1) | Value::Bound(..)))
}

/// An instruction with its source taken from the register of r6 to r9 that holds the same, so that the
/// copy it was taken from may fall away.
fn better(numbers: &Numbers, inst: &Inst, regs: &State) -> Inst {
    let mut inst = *inst;
    if inst.insn.class() == class::LDX || is_copy(&inst) {
        inst.insn = inst.insn.with_src(home(numbers, inst.insn.src(), regs));
    }
    inst
}

/// The register of r6 to r9 that holds the same as this one; this one if there is none.
fn home(numbers: &Numbers, reg: u8, regs: &State) -> u8 {
    let Some(&number) = regs.get(usize::from(reg)).filter(|_| reg < FP) else { return reg };
    if !is_kind(numbers, number) {
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
    for inst in body.insts() {
        let this = inst.reg_use();
        used = used.or(this.reads).or(this.writes);
        if let Some(field) = numbers.field(inst) {
            loads[field] += 1;
        }
    }
    let free = (6..10u8).filter(|&r| !used.has(r));
    if free.clone().next().is_none() || loads.iter().all(|&loads| loads < 2) {
        return;
    }
    // (block, index) of each load, by field.
    let mut loads: HashMap<i16, Vec<(BlockId, usize)>> = HashMap::new();
    for (id, holders) in holders_of_context(body).into_iter().enumerate() {
        let Some(mut holders) = holders else { continue };
        for (at, inst) in body.blocks[id].insts.iter().enumerate() {
            if numbers.field(inst).is_some() && holders.has(inst.insn.src()) {
                loads.entry(inst.insn.off).or_default().push((id, at));
            }
            holders = holders_behind(inst, holders);
        }
    }
    let places = fields().filter_map(|field| loads.get(field).filter(|places| places.len() > 1));
    let mut copies: Vec<_> =
        places.zip(free).flat_map(|(places, reg)| places.iter().map(move |&p| (p, reg))).collect();
    // From the back, so that indices stay right.
    bpfweld_btf::order::sort_by(&mut copies, |a, b| b.cmp(a));
    for ((id, at), reg) in copies {
        let load = body.blocks[id].insts[at];
        let copy = Insn::new(MOV64, reg, load.insn.dst(), 0, 0);
        body.blocks[id].insts.insert(at + 1, load.beside(copy));
    }
}

/// Which registers hold the context pointer at the start of each block, on all ways there; `None` for one
/// that is not reached.
fn holders_of_context(body: &Body) -> Vec<Option<Regs>> {
    let mut holders = vec![None; body.blocks.len()];
    holders[0] = Some(Regs::one(1));
    let mut waiting = Waiting::at_entry(&Backwards::of(body));
    while let Some(at) = waiting.next() {
        let Some(start) = holders[at] else { continue };
        let block = &body.blocks[at];
        let end = block.insts.iter().fold(start, |held, inst| holders_behind(inst, held));
        for to in block.end.successors() {
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

/// Edges go past tests whose outcome is known for who comes that way.
fn thread(
    body: &mut Body,
    numbers: &mut Numbers,
    known: &[Option<Around>],
    (backwards, live): (&Backwards, &[Regs]),
) -> bool {
    // Through a loop a test would be decided once for each turn.
    let looping = in_loops(body, backwards);
    // What no edge leads to any more needs no other edges.
    let mut reached = vec![false; known.len()];
    reached[0] = true;
    let mut changed = false;
    for &id in backwards.order.iter().rev() {
        let Some(around) = known[id].as_ref().filter(|_| reached[id]) else { continue };
        let mut end = body.blocks[id].end;
        let found = numbers.edges(&end, &around.end).map(|edge| {
            let (to, fact) = edge?;
            let mut arriving =
                Known { regs: around.end, facts: numbers.learn(around.start.facts, fact) };
            numbers.forget(id, &mut arriving.regs, live[to]);
            Some((to, destination(body, numbers, (&looping, live), to, arriving)))
        });
        for (_, to) in found.iter().flatten() {
            match (reached.get_mut(*to), body.blocks[*to].end) {
                (Some(reached), _) => *reached = true,
                // One that was made here.
                (None, End::Goto(next)) => reached[next] = true,
                (None, _) => {}
            }
        }
        let new = |old: BlockId| found.iter().flatten().find(|f| f.0 == old).map_or(old, |f| f.1);
        end.retarget(new);
        changed |= end != body.blocks[id].end;
        body.blocks[id].end = end;
    }
    changed
}

/// Where an edge to a block leads in the end: past tests whose outcome is known, with a copy of what is done
/// on the way.
fn destination(
    body: &mut Body,
    numbers: &mut Numbers,
    (looping, live): (&[bool], &[Regs]),
    mut to: BlockId,
    mut known: Known,
) -> BlockId {
    let mut copied = Vec::new();
    for _ in 0..MAX_HOPS {
        let block = &body.blocks[to];
        if let (true, End::Goto(next)) = (block.insts.is_empty(), block.end) {
            to = next;
            continue;
        }
        let End::Branch { test, taken, next } = block.end else { break };
        // A block that was made here is not known to the analysis.
        if looping.get(to).copied().unwrap_or(true) || block.insts.len() > MAX_COPIED {
            break;
        }
        if block.insts.iter().any(|inst| inst.is_call() || inst.insn.class() == class::STX) {
            break;
        }
        for (at, inst) in block.insts.iter().enumerate() {
            numbers.step(to, at, inst, &mut known.regs);
        }
        let behind = [taken, next].map(|b| live.get(b).copied().unwrap_or(Regs(u16::MAX)));
        let behind = behind[0].or(behind[1]);
        let Some(holds) = numbers.decide(test.insn, &known, behind) else { break };
        copied.extend_from_slice(&block.insts);
        to = if holds { taken } else { next };
    }
    if copied.is_empty() {
        return to;
    }
    body.blocks.push(Block { insts: copied, end: End::Goto(to) });
    body.blocks.len() - 1
}

/// Which blocks are part of a cycle.
fn in_loops(body: &Body, backwards: &Backwards) -> Vec<bool> {
    let count = body.blocks.len();
    let mut looping = vec![false; count];
    if !backwards.circles {
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
    for id in 0..body.blocks.len() {
        let End::Branch { test, taken, next } = body.blocks[id].end else { continue };
        if taken == next {
            continue;
        }
        let mut touched = test.reg_use().reads;
        let mut at = body.blocks[id].insts.len();
        let mut moved: [Vec<Inst>; 2] = [Vec::new(), Vec::new()];
        while at > 0 {
            at -= 1;
            let inst = body.blocks[id].insts[at];
            let used = inst.reg_use();
            let dst = inst.insn.dst();
            if is_constant(&inst) && !touched.has(dst) {
                let sides = [live[taken].has(dst), live[next].has(dst)];
                let side = match sides {
                    [true, false] => Some(0),
                    [false, true] => Some(1),
                    _ => None,
                };
                if let Some(side) = side {
                    // Walking backwards: what comes first is found last.
                    moved[side].insert(0, inst);
                    body.blocks[id].insts.remove(at);
                    touched = touched.or(Regs::one(dst));
                    continue;
                }
            }
            touched = touched.or(used.reads).or(used.writes);
        }
        for (side, insts) in moved.into_iter().enumerate().filter(|(_, m)| !m.is_empty()) {
            let to = if side == 0 { taken } else { next };
            body.blocks.push(Block { insts, end: End::Goto(to) });
            let new = body.blocks.len() - 1;
            if let End::Branch { taken, next, .. } = &mut body.blocks[id].end {
                *(if side == 0 { taken } else { next }) = new;
            }
        }
    }
    body.blocks.len() > blocks
}

/// Blocks of nothing but constants that are the same: verdicts of several members.
fn unite(body: &mut Body) -> bool {
    let mut seen: HashMap<(Vec<Insn>, Option<BlockId>), BlockId> = HashMap::new();
    let mut names: Vec<BlockId> = (0..body.blocks.len()).collect();
    for (id, block) in body.blocks.iter().enumerate().skip(1) {
        let next = match block.end {
            End::Goto(to) => Some(to),
            End::Exit(_) => None,
            End::Branch { .. } => continue,
        };
        if !block.insts.iter().all(is_constant) || block.insts.is_empty() && next.is_some() {
            continue;
        }
        let code = block.insts.iter().map(|inst| inst.insn).collect();
        names[id] = *seen.entry((code, next)).or_insert(id);
    }
    for block in &mut body.blocks {
        block.end.retarget(|to| names[to]);
    }
    names.iter().enumerate().any(|(id, &name)| id != name)
}

/// `dst = imm`, of either width.
fn is_constant(inst: &Inst) -> bool {
    matches!(inst.insn.code, 0xb7 | 0xb4) && inst.poisoned.is_none()
}

/// Drops instructions whose result nobody reads. Registers that are read before they are written, at the start
/// of each block.
fn sweep(body: &mut Body, backwards: &Backwards) -> Vec<Regs> {
    loop {
        // Where nothing goes round, all is known of what comes behind a block when its turn comes.
        let mut live = match backwards.circles {
            true => backwards.live_in(body),
            false => vec![Regs::NONE; body.blocks.len()],
        };
        let mut changed = false;
        for &id in &backwards.order {
            let block = &mut body.blocks[id];
            let mut now = live_out(block, &live);
            // What stays is moved to the back.
            let mut kept = block.insts.len();
            for at in (0..kept).rev() {
                let inst = block.insts[at];
                if is_idle(&inst, now) {
                    continue;
                }
                now = before(&inst, now);
                kept -= 1;
                if kept > at {
                    block.insts[kept] = inst;
                }
            }
            changed |= kept > 0;
            block.insts.drain(..kept);
            live[id] = now;
        }
        if !(changed && backwards.circles) {
            return live;
        }
    }
}

/// Does an instruction nothing but write a register that is not read? Loads have no effect of their own.
fn is_idle(inst: &Inst, live: Regs) -> bool {
    let insn = inst.insn;
    let pure = match insn.class() {
        class::ALU | class::ALU64 | class::LDX => true,
        class::LD => insn.is_ld_imm64(),
        _ => false,
    };
    let nothing = is_copy(inst) && insn.dst() == insn.src();
    pure && inst.poisoned.is_none() && (nothing || !live.has(insn.dst()))
}

/// Drops what is not reached, joins what runs on.
fn compact(body: &mut Body) -> bool {
    let mut changed = false;
    for block in &mut body.blocks {
        if let End::Branch { taken, next, .. } = block.end
            && taken == next
        {
            block.end = End::Goto(next);
            changed = true;
        }
    }
    // Past blocks without code.
    let ends: Vec<Option<BlockId>> = body
        .blocks
        .iter()
        .map(|b| match b.end {
            End::Goto(to) if b.insts.is_empty() => Some(to),
            _ => None,
        })
        .collect();
    let follow = |mut to: BlockId| {
        for _ in 0..MAX_HOPS {
            match ends[to] {
                Some(next) => to = next,
                None => break,
            }
        }
        to
    };
    for block in &mut body.blocks {
        block.end.retarget(|to| {
            let last = follow(to);
            changed |= last != to;
            last
        });
    }
    let mut reached = vec![false; body.blocks.len()];
    let mut work = vec![0];
    while let Some(at) = work.pop() {
        if !std::mem::replace(&mut reached[at], true) {
            work.extend(body.blocks[at].end.successors());
        }
    }
    let mut arrivals = vec![0usize; body.blocks.len()];
    arrivals[0] = 1;
    for (_, block) in body.blocks.iter().enumerate().filter(|(id, _)| reached[*id]) {
        for to in block.end.successors() {
            arrivals[to] += 1;
        }
    }
    for id in 0..body.blocks.len() {
        if !reached[id] {
            continue;
        }
        while let End::Goto(to) = body.blocks[id].end
            && arrivals[to] == 1
            && to != id
            && to != 0
        {
            let tail = std::mem::replace(
                &mut body.blocks[to],
                Block { insts: Vec::new(), end: End::Goto(to) },
            );
            reached[to] = false;
            body.blocks[id].insts.extend(tail.insts);
            body.blocks[id].end = tail.end;
        }
    }
    if reached.iter().all(|&reached| reached) {
        return changed;
    }
    let mut names = vec![0; body.blocks.len()];
    let mut count = 0;
    for (id, name) in names.iter_mut().enumerate() {
        *name = count;
        count += usize::from(reached[id]);
    }
    let mut id = 0;
    body.blocks.retain(|_| {
        id += 1;
        reached[id - 1]
    });
    for block in &mut body.blocks {
        block.end.retarget(|to| names[to]);
    }
    true
}
