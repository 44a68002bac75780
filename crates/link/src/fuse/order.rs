//! In which order the blocks of a body are looked at, so that most need it once only; which registers are
//! live.
//!
//! Most blocks have lower numbers than those that they go on to: as compilers write them, and as
//! [`compact`](super::tidy) leaves them, but where blocks go round in a circle.

use bpfweld_insn::Regs;

use super::code::{Block, BlockId, Body, Inst};

/// Does a block go on to itself or to one before it? If none does, all is known of what comes before a block
/// when its turn comes, and, from the back, of what comes behind it.
pub(super) fn goes_back(body: &Body) -> bool {
    body.blocks.iter().enumerate().any(|(id, b)| b.end.successors().any(|to| to <= id))
}

/// The blocks that are reached, each before those that it goes on to, but where they go round in a circle.
pub(super) fn forwards(body: &Body) -> Vec<BlockId> {
    let mut order = Vec::with_capacity(body.blocks.len());
    let mut seen = vec![false; body.blocks.len()];
    // Each with how many of those that it goes on to were looked at.
    let mut path = Vec::with_capacity(body.blocks.len());
    path.push((0, 0));
    seen[0] = true;
    while let Some((at, looked)) = path.last_mut() {
        *looked += 1;
        match body.blocks[*at].end.successors().nth(*looked - 1) {
            Some(to) if seen[to] => {}
            Some(to) => {
                seen[to] = true;
                path.push((to, 0));
            }
            None => {
                order.push(*at);
                path.pop();
            }
        }
    }
    order.reverse();
    order
}

/// Blocks that wait to be looked at, the entry first, those with lower numbers before the others, so that what
/// is found out about a block rarely has to be taken back.
pub(super) struct Waiting {
    waits: Vec<bool>,
    /// None that waits is before this.
    next: BlockId,
}

impl Waiting {
    /// The entry waits.
    pub(super) fn at_entry(body: &Body) -> Self {
        let mut waiting = Self { next: 0, waits: vec![false; body.blocks.len()] };
        waiting.add(0);
        waiting
    }

    /// Has a block wait, again if need be.
    pub(super) fn add(&mut self, id: BlockId) {
        self.waits[id] = true;
        self.next = self.next.min(id);
    }
}

impl Iterator for Waiting {
    type Item = BlockId;

    fn next(&mut self) -> Option<BlockId> {
        let more = self.waits.get(self.next..)?.iter().position(|&waits| waits)?;
        self.next += more;
        self.waits[self.next] = false;
        Some(self.next)
    }
}

/// Registers that are read before they are written, at the start of each block.
pub(super) fn live_in(body: &Body) -> Vec<Regs> {
    let again = goes_back(body);
    let mut live = vec![Regs::NONE; body.blocks.len()];
    loop {
        let mut changed = false;
        for (id, block) in body.blocks.iter().enumerate().rev() {
            let behind = live_out(block, &live);
            let now = body.code(id).iter().rev().fold(behind, |now, inst| before(inst, now));
            changed |= now != live[id];
            live[id] = now;
        }
        if !(changed && again) {
            return live;
        }
    }
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
