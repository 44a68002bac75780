//! The structured reason that kernels from 7.3 on put at the end of the log, where they have one.
//!
//! A header `Verification failed: CATEGORY: PROBLEM`, then sections: a title alone in its line with a
//! colon behind it, and indented text. `Reason` and `Suggestion` are sentences, `At` shows the place
//! as `function @ file:line:column` and marks instructions by `>>> index |`. What else there is, and
//! sections of other titles, are passed over: the format is young.

/// Titles of sections and the header begin at the start of a line.
const HEADER: &str = "Verification failed:";

/// Why the verifier refused a program, in its own words.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct VerifierReport {
    /// What kind of rule was broken (`Memory Safety`, `Verifier Limit`, …).
    pub category: String,
    /// What is wrong, in a few words; may be empty.
    pub problem: String,
    /// The reason, in sentences; may be empty.
    pub reason: String,
    /// What could be done about it; may be empty.
    pub suggestion: String,
    /// The instruction that it is about.
    pub insn: Option<u32>,
    /// The place in the sources.
    pub place: Option<ReportPlace>,
}

/// A place in the sources as the verifier names it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ReportPlace {
    /// The function, if it is named.
    pub function: Option<String>,
    /// The file as the compiler named it.
    pub file: String,
    /// Line, from 1.
    pub line: u32,
    /// Column, from 1.
    pub column: u32,
}

/// The last report of a log.
pub(super) fn read(log: &str) -> Option<VerifierReport> {
    let start = match log.starts_with(HEADER) {
        true => 0,
        false => log.rfind(&format!("\n{HEADER}"))? + 1,
    };
    let mut lines = log.get(start..)?.lines();
    let header = lines.next()?.strip_prefix(HEADER)?.trim();
    let (category, problem) = header.split_once(": ").unwrap_or((header, ""));
    let mut report = VerifierReport {
        category: category.trim().to_owned(),
        problem: problem.trim().to_owned(),
        ..VerifierReport::default()
    };
    let mut section = "";
    for line in lines {
        if line.starts_with("processed ") && line.contains(" insns (limit ") {
            break;
        }
        match (line.starts_with(char::is_whitespace), line.trim_end().strip_suffix(':')) {
            (false, Some(title)) => section = title,
            // Text that is not indented belongs to no section.
            (false, None) if !line.trim().is_empty() => section = "",
            _ => report.take(section, line),
        }
    }
    Some(report)
}

impl VerifierReport {
    fn take(&mut self, section: &str, line: &str) {
        let text = line.trim();
        match section {
            "Reason" => append(&mut self.reason, text),
            "Suggestion" => append(&mut self.suggestion, text),
            "At" => {
                if let Some(place) = place(text) {
                    self.place.get_or_insert(place);
                } else if let Some(insn) = insn(text) {
                    // A line of the source comes before the instruction.
                    self.insn = Some(insn);
                }
            }
            _ => {}
        }
    }
}

fn append(to: &mut String, text: &str) {
    if !to.is_empty() && !text.is_empty() {
        to.push(' ');
    }
    to.push_str(text);
}

/// `f @ a.c:12:7` or `a.c:12:7`
fn place(text: &str) -> Option<ReportPlace> {
    let (rest, column) = text.rsplit_once(':')?;
    let (rest, line) = rest.rsplit_once(':')?;
    let (line, column) = (line.parse().ok()?, column.parse().ok()?);
    let (function, file) = match rest.split_once(" @ ") {
        Some((function, file)) => (Some(function.to_owned()), file),
        None => (None, rest),
    };
    (!file.is_empty()).then(|| ReportPlace { function, file: file.to_owned(), line, column })
}

/// `insn 12`, or behind the last mark: `>>> 7 | return *p;   >>> 12 | (71) r0 = *(u8 *)(r1 +0)`
fn insn(text: &str) -> Option<u32> {
    if let Some(index) = text.strip_prefix("insn ") {
        return index.parse().ok();
    }
    let at = text.rfind(">>> ")? + ">>> ".len();
    let (index, insn) = text.get(at..)?.split_once('|')?;
    insn.trim_start().starts_with('(').then(|| index.trim().parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOG: &str = "\
7: (71) r0 = *(u8 *)(r1 +0)
R1 invalid mem access 'map_value_or_null'

Verification failed: Register Type Safety: Invalid dereference

Reason:
  R1 may be NULL here. The program could
  dereference it on this path.

At:
  lookup @ a.c:12:9
  Source context:
        11 | 
    >>> 12 | return *value;
           | ^-- error: invalid dereference
  Instruction context:
        6 | (bf) r1 = r0
    >>> 7 | (71) r0 = *(u8 *)(r1 +0)

Something new:
  nobody knows what

Suggestion:
  Check it against NULL first.

processed 8 insns (limit 1000000) max_states_per_insn 0
";

    #[test]
    fn a_report_is_read() {
        let report = read(LOG).unwrap();
        assert_eq!(report.category, "Register Type Safety");
        assert_eq!(report.problem, "Invalid dereference");
        assert_eq!(
            report.reason,
            "R1 may be NULL here. The program could dereference it on this path."
        );
        assert_eq!(report.suggestion, "Check it against NULL first.");
        assert_eq!(report.insn, Some(7));
        let place = report.place.unwrap();
        assert_eq!((place.function.as_deref(), place.file.as_str()), (Some("lookup"), "a.c"));
        assert_eq!((place.line, place.column), (12, 9));
    }

    #[test]
    fn source_and_instruction_in_one_line() {
        let log = "Verification failed: Policy\n\nAt:\n  a.c:3:1\n  >>> 3 | x = 1;     >>> 5 | (b7) r0 = 1\n";
        let report = read(log).unwrap();
        assert_eq!((report.category.as_str(), report.problem.as_str()), ("Policy", ""));
        assert_eq!(report.insn, Some(5));
        assert_eq!(read("x\nVerification failed: A: b\n\nAt:\n  insn 3\n").unwrap().insn, Some(3));
    }

    #[test]
    fn what_is_cut_or_strange_does_no_harm() {
        assert_eq!(read("0: (95) exit\nR0 !read_ok\n"), None);
        assert_eq!(read(""), None);
        for end in (0..LOG.len()).filter(|&at| LOG.is_char_boundary(at)) {
            let _ = read(&LOG[..end]);
            let _ = read(&LOG[end..]);
        }
        let odd =
            read("Verification failed:\nAt:\n  ::\n  a:99999999999:1\n  >>> | (\n  >>> x | (b7)\n")
                .unwrap();
        assert_eq!(odd, VerifierReport::default());
    }
}
