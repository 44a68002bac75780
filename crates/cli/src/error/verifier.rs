//! Which rule a program broke that the verifier refused: a code, what was expected, what to do. Told
//! from words of its messages that kernels have in common; what is not known is E0400.
//!
//! One more rule goes into [`RULES`], before any whose words its messages have too, and into
//! `docs/errors.md`.

use std::collections::BTreeSet;

use bpfweld::kernel::{Rejected, VerifierLog};
use bpfweld::link::Missing;

use super::Failure;
use super::snippet::Snippet;

/// Lines shown of the way to the refusal: its beginning and its end.
const WAY_HEAD: usize = 3;
const WAY_TAIL: usize = 9;
/// Characters shown of a line on the way.
const WAY_WIDTH: usize = 100;
/// Lines of the longest loop that is shown once.
const LONGEST_ROUND: usize = 16;

struct Rule {
    code: &'static str,
    /// One of them is in the message.
    words: &'static [&'static str],
    expected: &'static str,
    hint: &'static str,
}

const RULES: [Rule; 16] = [
    Rule {
        code: "E0401",
        words: &["invalid access to packet", "outside of the packet"],
        expected: "that the bytes were compared with data_end before, on every way that leads \
               here",
        hint: "`if (data + N > data_end) return …;` before the access, on the same pointer \
               that is then read",
    },
    Rule {
        code: "E0402",
        words: &["_or_null", "possibly NULL", "may be NULL", "NULL pointer"],
        expected: "that the pointer was compared with NULL before, on every way that leads here",
        hint: "`if (!p) return …;` behind the call that gave the pointer",
    },
    Rule {
        code: "E0414",
        words: &[
            "cannot call GPL",
            "cannot call exported",
            "only from a GPL",
            "GPL-restricted",
            "GPL compatible",
        ],
        expected: "a licence compatible with the GPL",
        hint: "state one (`char _license[] SEC(\"license\") = \"GPL\";`) in every linked \
               object, or do without the helper",
    },
    Rule {
        code: "E0403",
        words: &[
            "!read_ok",
            "invalid read from stack",
            "invalid indirect read from stack",
            "invalid indirect access to stack",
            "uninitialized",
        ],
        expected: "a value that was written before, on every way that leads here",
        hint: "initialise the variable (a struct with all its padding: `= {}`); a function \
               must end in a return",
    },
    Rule {
        code: "E0409",
        words: &["Unreleased reference", "reference leak", "unreleased reference"],
        expected: "that what a helper handed out was given back on every way to the end",
        hint: "call the release function (bpf_ringbuf_submit or _discard, bpf_sk_release, \
               …) before each return",
    },
    Rule {
        code: "E0406",
        words: &["infinite loop", "back-edge", "loop detected"],
        expected: "a loop that ends: a counter with a constant bound",
        hint: "bound the loop by a constant, use bpf_loop() or bpf_for(); loops need Linux \
               5.3",
    },
    Rule {
        code: "E0407",
        words: &[
            "too large. Processed",
            "too complex",
            "too many states",
            "too many instructions",
            "program is too large",
        ],
        expected: "at most 1,000,000 instructions on all ways together",
        hint: "verify functions once, alone, by leaving out --static-functions; shorten \
               loops, or use bpf_loop()",
    },
    Rule {
        code: "E0408",
        words: &[
            "combined stack size",
            "stack depth",
            "call stack of",
            "too many nested calls",
            "call chain",
        ],
        expected: "at most 512 bytes of stack and 8 frames along any call path",
        hint: "put large variables into a per-CPU array map of one entry",
    },
    Rule {
        code: "E0410",
        words: &[
            "At program exit",
            "At subprogram exit",
            "At callback return",
            "should have been in",
            "R0 has ",
        ],
        expected: "a return value that programs of this type may have",
        hint: "return constants that the program type knows, as XDP_… or TC_ACT_…",
    },
    Rule {
        code: "E0411",
        words: &[
            "unknown func",
            "invalid func",
            "program of this type cannot use helper",
            "cannot use helper",
            "is not allowed",
            "calling kernel function",
        ],
        expected: "a helper or kernel function that this kernel has and allows to programs of \
               this type",
        hint: "`bpfweld features` shows what the kernel can do; declare kernel functions \
               __weak and test for them",
    },
    Rule {
        code: "E0412",
        words: &[
            "unreachable insn",
            "jump out of range",
            "last insn is not",
            "falls through",
            "fall through",
            "invalid bpf_exit",
        ],
        expected: "instructions that are all reached, and jumps that stay in their function",
        hint: "look for __builtin_unreachable(), a missing return, or undefined behaviour \
               that the compiler made use of",
    },
    Rule {
        code: "E0415",
        words: &["invalid bpf_context access", "dereference of modified ctx"],
        expected: "a read of a whole field of the context at a constant offset",
        hint: "read the field as it is declared; newer fields need newer kernels; do not \
               add to the context pointer",
    },
    Rule {
        code: "E0404",
        words: &[
            "outside of the allowed memory range",
            "invalid access to map value",
            "unbounded memory access",
            "min value is negative",
            "unbounded min value",
            "invalid variable-offset",
            "invalid write to stack",
            "invalid access to memory",
            "invalid zero-sized",
            "max value is outside",
            "min value is outside",
        ],
        expected: "an offset and a size that the verifier knows to stay inside",
        hint: "bound the index right before its use: `if (i >= N) return …;`, or `i &= N - \
               1` where N is a power of two",
    },
    Rule {
        code: "E0405",
        words: &[
            "invalid mem access 'scalar'",
            "invalid mem access 'inv'",
            "invalid mem access",
            "integer scalar",
        ],
        expected: "a pointer of a kind that may be read and written here",
        hint: "the verifier forgets a pointer that went through arithmetic, a 32-bit \
               variable or a map; take kernel memory through bpf_probe_read_kernel()",
    },
    Rule {
        code: "E0413",
        words: &["expected=", "arg#", "Caller passes", "type mismatch", "call argument"],
        expected: "arguments of the kinds that the called function takes",
        hint: "compare with the prototype; a global function takes the context, numbers, \
               and pointers that its types describe",
    },
    Rule {
        code: "E0416",
        words: &["pointer arithmetic", "prohibited", "math between", "leaks addr", "misaligned"],
        expected: "only such arithmetic on pointers as keeps them inside what they point to",
        hint: "add numbers with known bounds; do not subtract, multiply or compare pointers \
               of different kinds",
    },
];

/// What the verifier said, told by rule, place and way.
pub(super) fn refused(rejected: &Rejected, summary: String) -> Failure {
    let message = message(&rejected.log);
    let rule = match rejected.poison {
        Some(_) => None,
        None => RULES.iter().find(|rule| rule.words.iter().any(|word| message.contains(word))),
    };
    let mut failure = Failure::new(summary);
    failure = match (rule, &rejected.poison) {
        (_, Some(_)) => failure.code("E0417"),
        (Some(rule), _) => failure.code(rule.code),
        (None, None) => failure.code("E0400"),
    };
    if let Some(last) = rejected.way.last() {
        let label = format!("the verifier stopped here, in {}", last.function);
        failure = match Snippet::of(last, label) {
            Some(snippet) => failure.place(snippet),
            None => failure.detail(format!("stopped at {last}")),
        };
    }
    failure = way(failure, rejected);
    if let Some(rule) = rule {
        failure = failure.detail(format!("expected: {}", rule.expected));
    }
    let report = rejected.log.report();
    if let Some(report) = &report {
        let head = [report.category.as_str(), report.problem.as_str(), report.reason.as_str()];
        let head: Vec<&str> = head.into_iter().filter(|part| !part.is_empty()).collect();
        failure = failure.detail(format!("the kernel says: {}", head.join(": ")));
    }
    failure = failure.log(rejected.log.condensed(), rejected.log.text());
    if let Some(poison) = &rejected.poison {
        failure = failure.hint(match poison.missing {
            Missing::Function => "call it behind `if (function)`, or bind it: --bind NAME=OBJECT:FUNCTION",
            Missing::KernelFunction => "call it behind `if (bpf_ksym_exists(function))`",
            Missing::Map => "switch it on: --map NAME=on",
            Missing::KernelType => {
                "ask first whether the kernel has it: bpf_core_field_exists(), bpf_core_type_exists() or \
                 bpf_core_enum_value_exists(), each by the same declaration"
            }
        });
    }
    let suggestion = report.map(|report| report.suggestion).filter(|text| !text.is_empty());
    match (suggestion, rule) {
        (Some(suggestion), _) => failure.hint(suggestion),
        (None, Some(rule)) => failure.hint(rule.hint),
        (None, None) => failure,
    }
}

/// The lines that led there, where there is more than the last. Of a loop, one round is shown.
fn way(failure: Failure, rejected: &Rejected) -> Failure {
    let mut steps: Vec<String> = Vec::new();
    let mut repeated = BTreeSet::new();
    for site in &rejected.way {
        let Some(at) = site.source.as_ref() else { continue };
        let text: String = at.text.trim().chars().take(WAY_WIDTH).collect();
        steps.push(format!("  {}:{}:  {text}", at.file, at.line));
        let len = steps.len();
        let round = (1..=LONGEST_ROUND.min(len / 2))
            .find(|round| steps[len - round..] == steps[len - 2 * round..len - round]);
        if let Some(round) = round {
            steps.truncate(len - round);
            repeated.insert(len - round - 1);
        }
    }
    if steps.len() < 2 {
        return failure;
    }
    let left_out = steps.len().saturating_sub(WAY_HEAD + WAY_TAIL);
    let mut text = "the way there:\n".to_owned();
    for (index, step) in steps.iter().enumerate() {
        if left_out > 0 && index == WAY_HEAD {
            text.push_str(&format!("  … {left_out} lines left out …\n"));
        }
        if left_out == 0 || !(WAY_HEAD..WAY_HEAD + left_out).contains(&index) {
            let again = if repeated.contains(&index) { "  (and round again)" } else { "" };
            text.push_str(&format!("{step}{again}\n"));
        }
    }
    failure.detail(text)
}

/// The lines behind the last instruction, and a report's words.
fn message(log: &VerifierLog) -> String {
    let mut lines: Vec<&str> = Vec::new();
    for line in log.lines().rev().filter(|line| !line.trim().is_empty()) {
        let index = line.trim_start().split(':').next().unwrap_or_default();
        let instruction = !index.is_empty() && index.bytes().all(|b| b.is_ascii_digit());
        if instruction || line.starts_with("from ") || lines.len() > 200 {
            break;
        }
        if !line.starts_with("; ") {
            lines.push(line);
        }
    }
    if let Some(reason) = log.reason() {
        lines.push(reason);
    }
    lines.reverse();
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Messages of kernels from 4.19 to 6.18.
    #[test]
    fn rules_by_what_kernels_say() {
        let code = |message: &str| {
            let rule = RULES.iter().find(|rule| rule.words.iter().any(|w| message.contains(w)));
            rule.map_or("E0400", |rule| rule.code)
        };
        for (message, expected) in [
            ("invalid access to packet, off=0 size=1, R1(id=0,off=0,r=0)", "E0401"),
            ("R1 invalid mem access 'map_value_or_null'", "E0402"),
            ("R0 invalid mem access 'mem_or_null'", "E0402"),
            ("cannot call GPL-restricted function from non-GPL compatible program", "E0414"),
            ("R0 !read_ok", "E0403"),
            ("invalid indirect read from stack R2 off -8+4 size 8", "E0403"),
            ("invalid access to map value, value_size=4 off=4 size=4", "E0404"),
            ("R2 unbounded memory access, use 'var &= const' or 'if (var < const)'", "E0404"),
            ("R1 invalid mem access 'inv'", "E0405"),
            ("R1 invalid mem access 'scalar'", "E0405"),
            ("infinite loop detected at insn 3", "E0406"),
            ("back-edge from insn 3 to 2", "E0406"),
            ("BPF program is too large. Processed 1000001 insn", "E0407"),
            ("combined stack size of 2 calls is 544. Too large", "E0408"),
            ("Unreleased reference id=2 alloc_insn=5", "E0409"),
            (
                "At program exit the register R0 has value (0x5; 0x0) should have been in (0x0; 0x3)",
                "E0410",
            ),
            ("unknown func bpf_sock_from_file#162", "E0411"),
            ("program of this type cannot use helper bpf_get_current_task#35", "E0411"),
            ("unreachable insn 2", "E0412"),
            ("jump out of range from insn 2 to 9", "E0412"),
            ("R1 type=scalar expected=fp, pkt, map_key, map_value", "E0413"),
            ("invalid bpf_context access off=2 size=4", "E0415"),
            ("dereference of modified ctx ptr R1 off=4 disallowed", "E0415"),
            ("R1 pointer arithmetic on ctx prohibited", "E0416"),
            ("something that no kernel says yet", "E0400"),
        ] {
            assert_eq!(code(message), expected, "{message}");
        }
    }
}
