//! Is the address of a function only ever compared with 0?
//!
//! `if (f) f(ctx);` loads the address of an extern for the test alone. Such a load needs no address:
//! any number that is not 0 will do, and the function may stay global (the kernel gives out addresses
//! of static functions only). A load that goes anywhere else is a callback.

use bpfweld_insn::class;
use bpfweld_insn::flow::Regs;
use bpfweld_insn::{CALL, EXIT, Flow, Insn};

/// Visits of an instruction before the answer is "no": keeps the work linear. Each visit of a slot
/// comes with a new set of registers, and sets only grow, so eleven would be enough for any function.
const MAX_VISITS: u8 = 16;

/// Does the value that the 64-bit immediate load at `at` makes only ever meet a comparison with 0?
///
/// Follows the value forwards through copies between registers. `args` tells how many arguments the
/// call at a slot takes.
pub(crate) fn only_tested(insns: &[Insn], at: usize, args: impl Fn(usize) -> u8) -> bool {
    let Some(load) = insns.get(at) else { return false };
    let mut holds: Vec<Regs> = vec![Regs::NONE; insns.len()];
    let mut visits = vec![0u8; insns.len()];
    let mut work = vec![(at + load.slots(), Regs::one(load.dst()))];
    while let Some((slot, incoming)) = work.pop() {
        let (Some(&insn), Some(known), Some(visits)) =
            (insns.get(slot), holds.get_mut(slot), visits.get_mut(slot))
        else {
            return false;
        };
        let new = known.or(incoming);
        if *visits > 0 && new == *known {
            continue;
        }
        *known = new;
        *visits += 1;
        if *visits > MAX_VISITS {
            return false;
        }
        let Some(after) = step(insn, new, || args(slot)) else { return false };
        if after == Regs::NONE {
            continue;
        }
        let flow = insn.flow(slot);
        if flow == Flow::Unknown {
            return false;
        }
        for next in flow.successors() {
            let Ok(next) = usize::try_from(next) else { return false };
            work.push((next, after));
        }
    }
    true
}

/// The registers that hold the value behind an instruction, or `None` when it is used for more than
/// a comparison with 0.
fn step(insn: Insn, holds: Regs, args: impl Fn() -> u8) -> Option<Regs> {
    let used = insn.reg_use();
    if insn.code == EXIT {
        return (!holds.has(0)).then_some(Regs::NONE);
    }
    if insn.code == CALL {
        let count = if insn.helper().is_some() { None } else { Some(args()) };
        let reads =
            (1..=5).any(|r| holds.has(r) && count.map_or(used.reads.has(r), |count| r <= count));
        return (!reads).then(|| holds.without(Regs::CALLER_SAVED));
    }
    if is_copy(insn) && holds.has(insn.src()) {
        return Some(holds.or(Regs::one(insn.dst())));
    }
    if is_test(insn) {
        return Some(holds);
    }
    let reads = (0..=10).any(|r| holds.has(r) && used.reads.has(r));
    (!reads).then(|| holds.without(used.writes))
}

/// `dst = src`, 64 bits wide, without sign extension.
fn is_copy(insn: Insn) -> bool {
    insn.code == 0xbf && insn.off == 0
}

/// `if dst == 0` or `if dst != 0`.
fn is_test(insn: Insn) -> bool {
    insn.class() == class::JMP && matches!(insn.code, 0x15 | 0x55) && insn.imm == 0
}

#[cfg(test)]
mod tests {
    use super::*;
    use bpfweld_insn::LD_IMM64;

    fn load(dst: u8) -> [Insn; 2] {
        [Insn::new(LD_IMM64, dst, 0, 0, 0), Insn::default()]
    }

    fn tested(tail: &[Insn]) -> bool {
        let insns: Vec<_> = load(1).into_iter().chain(tail.iter().copied()).collect();
        only_tested(&insns, 0, |_| 1)
    }

    const EXIT: Insn = Insn::new(super::EXIT, 0, 0, 0, 0);

    #[test]
    fn a_guard_is_only_a_test() {
        // if (f) f(ctx);
        assert!(tested(&[
            Insn::new(0x15, 1, 0, 2, 0),
            Insn::new(0xbf, 1, 6, 0, 0),
            Insn::new(CALL, 0, 1, 0, -1),
            Insn::new(0xb7, 0, 0, 0, 0),
            EXIT,
        ]));
    }

    #[test]
    fn a_callback_is_not() {
        // bpf_loop(n, f, …) takes the address in r2.
        assert!(!tested(&[Insn::new(0xbf, 2, 1, 0, 0), Insn::new(CALL, 0, 0, 0, 181), EXIT]));
        // A store.
        assert!(!tested(&[Insn::new(0x7b, 10, 1, -8, 0), Insn::new(0xb7, 0, 0, 0, 0), EXIT]));
        // Compared with something else.
        assert!(!tested(&[Insn::new(0x15, 1, 0, 0, 7), EXIT]));
        // Returned.
        assert!(!tested(&[Insn::new(0xbf, 0, 1, 0, 0), EXIT]));
    }

    #[test]
    fn tested_on_one_path_and_passed_on_on_another() {
        assert!(!tested(&[
            Insn::new(0x15, 1, 0, 1, 0),
            Insn::new(CALL, 0, 1, 0, -1),
            Insn::new(0xb7, 0, 0, 0, 0),
            EXIT,
        ]));
    }

    #[test]
    fn arguments_beyond_the_arity_are_not_read() {
        // The address stays in r2 while a function of one argument is called.
        let insns = [
            load(2)[0],
            load(2)[1],
            Insn::new(0x15, 2, 0, 1, 0),
            Insn::new(CALL, 0, 1, 0, -1),
            Insn::new(0xb7, 0, 0, 0, 0),
            EXIT,
        ];
        assert!(only_tested(&insns, 0, |_| 1));
        assert!(!only_tested(&insns, 0, |_| 2));
    }

    #[test]
    fn loops_end() {
        assert!(tested(&[Insn::new(0x15, 1, 0, -1, 0), Insn::new(0xb7, 0, 0, 0, 0), EXIT]));
    }
}
