//! Which functions of a plan may tail-call, themselves or through what they call.
//!
//! A tail call that succeeds never comes back into the function: its caller gets the verdict of the
//! program that was called. The verifier takes it for something that always falls through, so of a
//! *static* function that returns a constant behind the tail call it concludes that the caller can
//! only ever see this constant, and removes the rest of the caller's code. Of a *global* function it
//! assumes nothing. So functions that may tail-call go in as global ones where they can.

use crate::plan::{EdgeKind, Plan};
use crate::resolve::Linked;

/// Helper number of `bpf_tail_call` (linux/bpf.h).
const TAIL_CALL: u32 = 12;

/// Per function of a plan: may it tail-call?
pub(crate) struct TailCalls(Vec<bool>);

impl TailCalls {
    pub(crate) fn new(linked: &Linked, plan: &Plan) -> Self {
        let mut may: Vec<bool> = plan
            .functions
            .iter()
            .map(|p| {
                let function = linked.instances[p.instance.index()].function(p.func);
                function.is_some_and(|f| f.insns.iter().any(|i| i.helper() == Some(TAIL_CALL)))
            })
            .collect();
        // Calls have no cycle, so no path is longer than the plan; it ends when nothing changes.
        loop {
            let mut changed = false;
            for i in 0..may.len() {
                let calls = plan.functions[i].edges.iter();
                let through = calls.into_iter().any(|e| match e.kind {
                    EdgeKind::Call(to) => may[to],
                    _ => false,
                });
                changed |= through && !may[i];
                may[i] |= through;
            }
            if !changed {
                return Self(may);
            }
        }
    }

    pub(crate) fn may(&self, i: usize) -> bool {
        self.0.get(i).copied().unwrap_or(false)
    }
}
