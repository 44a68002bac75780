//! In which order the blocks of a body are looked at, so that most need it once only; which registers are
//! live.

use bpfweld_insn::Regs;

use super::code::{Block, BlockId, Body, Inst};

/// The blocks, each behind those that it goes on to, but where blocks go round in a circle.
pub(super) struct Backwards {
    /// All blocks.
    pub(super) order: Vec<BlockId>,
    /// Are there circles?
    pub(super) circles: bool,
}

impl Backwards {
    pub(super) fn of(body: &Body) -> Self {
        #[derive(Clone, Copy, PartialEq)]
        enum Seen {
            Not,
            OnPath,
            Done,
        }
        let count = body.blocks.len();
        let mut found = Self { order: Vec::with_capacity(count), circles: false };
        let mut seen = vec![Seen::Not; count];
        let mut path = Vec::with_capacity(count);
        for root in 0..count {
            if seen[root] != Seen::Not {
                continue;
            }
            seen[root] = Seen::OnPath;
            path.push((root, 0));
            while let Some((at, turn)) = path.last_mut() {
                let Some(to) = body.blocks[*at].end.successors().nth(*turn) else {
                    seen[*at] = Seen::Done;
                    found.order.push(*at);
                    path.pop();
                    continue;
                };
                *turn += 1;
                match seen[to] {
                    Seen::Not => {
                        seen[to] = Seen::OnPath;
                        path.push((to, 0));
                    }
                    Seen::OnPath => found.circles = true,
                    Seen::Done => {}
                }
            }
        }
        found
    }

    /// Registers that are read before they are written, at the start of each block.
    pub(super) fn live_in(&self, body: &Body) -> Vec<Regs> {
        let mut live = vec![Regs::NONE; body.blocks.len()];
        loop {
            let mut changed = false;
            for &id in &self.order {
                let block = &body.blocks[id];
                let now = block
                    .insts
                    .iter()
                    .rev()
                    .fold(live_out(block, &live), |now, inst| before(inst, now));
                changed |= now != live[id];
                live[id] = now;
            }
            if !(changed && self.circles) {
                return live;
            }
        }
    }
}

/// Blocks that wait to be looked at, the entry first: those that most others come behind before the others,
/// so that what is found out about a block rarely has to be taken back.
pub(super) struct Waiting {
    order: Vec<BlockId>,
    rank: Vec<usize>,
    /// By rank; none that waits is before `next`.
    waits: Vec<bool>,
    next: usize,
}

impl Waiting {
    /// The entry waits.
    pub(super) fn at_entry(backwards: &Backwards) -> Self {
        let order: Vec<BlockId> = backwards.order.iter().rev().copied().collect();
        let mut rank = vec![0; order.len()];
        for (at, &id) in order.iter().enumerate() {
            rank[id] = at;
        }
        let mut waiting = Self { next: order.len(), waits: vec![false; order.len()], order, rank };
        waiting.add(0);
        waiting
    }

    /// Has a block wait, again if need be.
    pub(super) fn add(&mut self, id: BlockId) {
        let rank = self.rank[id];
        self.waits[rank] = true;
        self.next = self.next.min(rank);
    }
}

impl Iterator for Waiting {
    type Item = BlockId;

    fn next(&mut self) -> Option<BlockId> {
        let more = self.waits.get(self.next..)?.iter().position(|&waits| waits)?;
        self.next += more;
        self.waits[self.next] = false;
        self.order.get(self.next).copied()
    }
}

/// Registers that are read before they are written, at the start of each block.
pub(super) fn live_in(body: &Body) -> Vec<Regs> {
    Backwards::of(body).live_in(body)
}

/// Registers that are live before a block's end.
pub(super) fn live_out(block: &Block, live: &[Regs]) -> Regs {
    block.end.successors().fold(block.end.reads(), |all, to| all.or(live[to]))
}

/// Registers that are live before an instruction, from those behind it.
pub(super) fn before(inst: &Inst, after: Regs) -> Regs {
    let used = inst.reg_use();
    after.without(used.writes).or(used.reads)
}
