//! Does the stack along some call path outgrow the kernel's limit?
//!
//! What is counted is what the code asks for: accesses through the frame pointer and addresses made from
//! it, as written. The verifier counts what it sees accessed, so code that it prunes and addresses that
//! nothing uses cost nothing there; hence a warning, and the kernel has the last word.

use bpfweld_insn::{Insn, class};

use crate::plan::{EdgeKind, Plan};
use crate::resolve::Linked;
use crate::tail_calls::TailCalls;

/// Stack that the kernel gives one call path (`MAX_BPF_STACK`, linux/filter.h).
const LIMIT: u32 = 512;
/// What a caller may use when something below it tail-calls (kernel, `check_max_stack_depth`).
const LIMIT_WITH_TAIL_CALL: u32 = 256;
/// Each frame is rounded up to this, to 32 on older kernels.
const GRANULE: u32 = 16;

/// A sentence on the deepest call path if it is too deep.
pub(crate) fn check(linked: &Linked, plan: &Plan, tail_calls: &TailCalls) -> Option<String> {
    let depths: Vec<u32> = plan
        .functions
        .iter()
        .map(|p| linked.instances.get(p.instance.index())?.function(p.func))
        .map(|f| f.map_or(0, |f| depth(&f.insns)).max(1).next_multiple_of(GRANULE))
        .collect();
    // The plan is free of cycles and no path has more than eight functions: plain recursion ends.
    let mut known = vec![None; depths.len()];
    let (total, mut next) = deepest(plan, &depths, 0, &mut known);
    let mut path = vec![0];
    while let Some(at) = next {
        path.push(at);
        next = known[at].and_then(|(_, next)| next);
    }
    let names = |path: &[usize]| {
        let frames = path.iter().map(|&i| format!("{} ({})", plan.name(linked, i), depths[i]));
        frames.collect::<Vec<_>>().join(" -> ")
    };
    if total > LIMIT {
        return Some(format!(
            "the functions of this call path ask for {total} bytes of stack, the kernel allows {LIMIT}: {}",
            names(&path)
        ));
    }
    let caller = plan.functions.iter().enumerate().find(|&(i, p)| {
        let calls_one = p.edges.iter().any(|e| match e.kind {
            EdgeKind::Call(to) => tail_calls.may(to),
            _ => false,
        });
        calls_one && depths[i] > LIMIT_WITH_TAIL_CALL
    });
    caller.map(|(i, _)| {
        format!(
            "{} asks for {} bytes of stack and calls a function that tail-calls; the kernel allows \
             {LIMIT_WITH_TAIL_CALL} for that",
            plan.name(linked, i),
            depths[i]
        )
    })
}

/// The deepest call path from a function on: its stack, and the callee that it goes through. What was
/// found out about a function serves all its callers.
fn deepest(
    plan: &Plan,
    depths: &[u32],
    at: usize,
    known: &mut [Option<(u32, Option<usize>)>],
) -> (u32, Option<usize>) {
    if let Some(found) = known[at] {
        return found;
    }
    let mut best = (0, None);
    for edge in &plan.functions[at].edges {
        if let EdgeKind::Call(to) = edge.kind {
            let (below, _) = deepest(plan, depths, to, known);
            if below > best.0 {
                best = (below, Some(to));
            }
        }
    }
    let found = (best.0 + depths[at], best.1);
    known[at] = Some(found);
    found
}

/// Bytes of its frame that a function asks for.
pub(crate) fn depth(insns: &[Insn]) -> u32 {
    let mut lowest = 0;
    // Registers that hold the frame pointer as it is, in straight-line code.
    let mut copies = 0u16;
    for insn in insns {
        let below = match insn.class() {
            class::LDX if insn.src() == 10 => i32::from(insn.off),
            class::ST | class::STX if insn.dst() == 10 => i32::from(insn.off),
            class::ALU64 if is_copy(*insn) && insn.src() == 10 => {
                copies |= 1 << insn.dst();
                continue;
            }
            // dst += imm
            class::ALU64 if insn.code == 0x07 && copies & 1 << insn.dst() != 0 => {
                copies &= !(1 << insn.dst());
                insn.imm
            }
            // Nearly everywhere there are none.
            _ if copies == 0 => continue,
            _ => {
                copies &= !insn.reg_use().writes.0;
                0
            }
        };
        lowest = lowest.min(below);
    }
    // What is out of any frame is the verifier's to refuse.
    lowest.unsigned_abs().min(LIMIT * 2)
}

/// `dst = src`, 64 bits wide.
fn is_copy(insn: Insn) -> bool {
    insn.code == 0xbf && insn.off == 0
}
