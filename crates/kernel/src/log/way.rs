//! The way to the instruction that the verifier stopped at, out of its log.
//!
//! The verifier walks one path to its end and then goes back to the last branch that it put off. The
//! log therefore holds many paths, one behind the other; a line `from 7 to 12: …` says where it took
//! one up again. Kernels differ in what else they write between instructions, which does not matter
//! here. Nothing in a log is relied on: what cannot be read is passed over.

use std::collections::HashMap;

/// Instructions from the start of a function that is verified to where the log ends, in the order in
/// which they would run. Empty when the log has no instruction.
pub(super) fn way(log: &str) -> Vec<u32> {
    let mut steps: Vec<Step> = Vec::new();
    // Places in `steps` of each instruction that a branch may yet be taken up from: last in, first out.
    let mut visits: HashMap<u32, Vec<usize>> = HashMap::new();
    // Where the next instruction comes from.
    let mut before: Option<usize> = None;
    for line in log.lines() {
        if let Some(insn) = instruction(line) {
            visits.entry(insn).or_default().push(steps.len());
            steps.push(Step { insn, before });
            before = Some(steps.len() - 1);
        } else if let Some(branch) = taken_up(line) {
            before = visits.get_mut(&branch).and_then(Vec::pop);
        } else if line.starts_with("Validating ") {
            // A global function is verified alone.
            visits.clear();
            before = None;
        }
    }
    let mut way = Vec::new();
    let mut at = steps.last();
    while let Some(step) = at {
        way.push(step.insn);
        at = step.before.and_then(|before| steps.get(before));
    }
    way.reverse();
    way
}

struct Step {
    insn: u32,
    /// Index of the step before; always a smaller one.
    before: Option<usize>,
}

/// `12: (07) r1 += 8 …`
pub(super) fn instruction(line: &str) -> Option<u32> {
    let (index, rest) = line.trim_start().split_once(':')?;
    let (code, _) = rest.trim_start().strip_prefix('(')?.split_once(')')?;
    let hex = code.len() == 2 && code.bytes().all(|b| b.is_ascii_hexdigit());
    hex.then(|| index.parse().ok())?
}

/// `from 7 to 12: …`, `from 7 to 12 (speculative execution): …`
fn taken_up(line: &str) -> Option<u32> {
    let (from, rest) = line.strip_prefix("from ")?.split_once(" to ")?;
    rest.starts_with(|c: char| c.is_ascii_digit()).then(|| from.parse().ok())?
}

/// The instruction that a message names, for what the verifier finds before it walks any path, or
/// without a step: `unreachable insn 5`, `back-edge from insn 3 to 2`, `infinite loop detected at insn 7`.
pub(super) fn named(message: &str) -> Option<u32> {
    let at = message.find("insn ")? + "insn ".len();
    let digits: String = message.get(at..)?.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_path_is_the_way() {
        let log = "\
func#0 @0
0: R1=ctx() R10=fp0
; int x = f(); @ a.c:3
0: (b7) r0 = 0                        ; R0_w=0
1: (05) goto pc+1
3: R0=0
; return x; @ a.c:4
3: (95) exit
R0 is bad
processed 3 insns (limit 1000000)
";
        assert_eq!(way(log), [0, 1, 3]);
    }

    #[test]
    fn branches_are_taken_up_where_they_were_put_off() {
        // 1 and 2 branch; the path from 2 ends well, then the one from 1 fails.
        let log = "\
0: (b7) r0 = 0
1: (15) if r1 == 0x0 goto pc+5
2: (15) if r2 == 0x0 goto pc+3
3: (95) exit

from 2 to 6: R0=0 R10=fp0
6: (95) exit

from 1 to 7: R0=0 R10=fp0
7: (07) r0 += 1
8: (71) r0 = *(u8 *)(r0 +0)
R0 invalid mem access 'scalar'
";
        assert_eq!(way(log), [0, 1, 7, 8]);
        let speculative = log.replace("from 1 to 7:", "from 1 to 7 (speculative execution):");
        assert_eq!(way(&speculative), [0, 1, 7, 8]);
    }

    #[test]
    fn in_a_loop_the_last_round_is_taken_up_first() {
        let log = "\
0: (b7) r1 = 0
1: (15) if r2 == 0x0 goto pc+3
2: (07) r1 += 1
3: (05) goto pc-3
1: (15) if r2 == 0x0 goto pc+3
2: (95) exit
from 1 to 5: R1=1
5: (95) exit
from 1 to 5: R1=0
5: (71) r0 = *(u8 *)(r1 +0)
";
        assert_eq!(way(log), [0, 1, 5]);
        let log: Vec<_> = log.lines().take(8).collect();
        assert_eq!(way(&log.join("\n")), [0, 1, 2, 3, 1, 5]);
    }

    #[test]
    fn a_global_function_begins_anew() {
        let log = "0: (85) call pc+1\n1: (95) exit\nValidating f() func#1...\n2: R1=ctx()\n2: (61) r1 = *(u32 *)(r1 +0)\n";
        assert_eq!(way(log), [2]);
    }

    #[test]
    fn what_is_no_log_has_no_way() {
        for text in [
            "",
            "from 3 to",
            "from x to 4: ",
            "9999999999: (b7) r0 = 0",
            "1: (b7",
            "1: (xyz) a",
            ":",
        ] {
            assert_eq!(way(text), [] as [u32; 0], "{text:?}");
        }
        // A branch of nowhere.
        assert_eq!(way("from 4 to 9: R0=0\n9: (95) exit"), [9]);
        // As level 2 shows what is live.
        assert_eq!(instruction("  0: .12345.... (85) call pc+1"), None);
    }

    #[test]
    fn instructions_that_messages_name() {
        assert_eq!(named("unreachable insn 5"), Some(5));
        assert_eq!(named("back-edge from insn 3 to 2"), Some(3));
        assert_eq!(named("R0 !read_ok"), None);
        assert_eq!(named("insn "), None);
    }
}
