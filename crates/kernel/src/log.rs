//! The verifier's log: kept whole, shown in part. What led to the end of it is in `way`, the
//! structured reason of newer kernels in `report`.

mod report;
mod way;

pub use report::{ReportPlace, VerifierReport};

use std::fmt::Write as _;

/// Lines shown at the log's beginning by [`VerifierLog::condensed`].
const HEAD_LINES: usize = 4;
/// Lines shown at its end, where the reason is.
const TAIL_LINES: usize = 24;
/// Longest line shown whole: register dumps grow long.
const LINE_LEN: usize = 200;

/// How a report begins, behind other lines.
const REPORT: &str = "\nVerification failed:";

/// What the verifier wrote on a program.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct VerifierLog {
    text: String,
    truncated: bool,
}

impl VerifierLog {
    /// From its text.
    pub fn new(text: impl Into<String>) -> Self {
        Self { text: text.into(), truncated: false }
    }

    /// From what the kernel left in a buffer: text up to the first zero byte.
    pub(crate) fn from_buffer(buf: &[u8], truncated: bool) -> Self {
        let end = buf.iter().position(|&b| b == 0).unwrap_or(buf.len());
        let text = String::from_utf8_lossy(buf.get(..end).unwrap_or_default()).into_owned();
        Self { text, truncated }
    }

    /// The whole text.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Is its end there, where the reason is? The statistics come last.
    pub(crate) fn has_end(&self) -> bool {
        self.text.lines().rev().take(TAIL_LINES).any(|line| line.contains(" insns (limit "))
    }

    /// Puts the end behind a log that lost its own, and takes as much from what is before it as the
    /// whole is then longer than `limit` bytes.
    pub(crate) fn put_end(&mut self, end: &str, limit: usize) {
        let mut keep = self.text.len().min(limit.saturating_sub(end.len() + 1));
        while !self.text.is_char_boundary(keep) {
            keep -= 1;
        }
        self.text.truncate(keep);
        self.text.push('\n');
        self.text.push_str(end);
    }

    /// Was it longer than the largest buffer? Then a part of it is missing: its beginning with kernels
    /// from 6.4 on, with older ones what is before its end.
    pub fn truncated(&self) -> bool {
        self.truncated
    }

    /// Is there nothing in it?
    pub fn is_empty(&self) -> bool {
        self.text.trim().is_empty()
    }

    /// Its lines.
    pub fn lines(&self) -> impl DoubleEndedIterator<Item = &str> {
        self.text.lines()
    }

    /// The first `lines` lines.
    pub fn head(&self, lines: usize) -> &str {
        let end = self.text.split_inclusive('\n').take(lines).map(str::len).sum();
        self.text.get(..end).unwrap_or(&self.text)
    }

    /// The last `lines` lines.
    pub fn tail(&self, lines: usize) -> &str {
        let len: usize = self.text.split_inclusive('\n').rev().take(lines).map(str::len).sum();
        self.text.get(self.text.len() - len..).unwrap_or(&self.text)
    }

    /// The line that says why: the last one before the statistics, and before the report if there is
    /// one, unless that is an instruction.
    pub fn reason(&self) -> Option<&str> {
        let text = match self.text.rfind(REPORT) {
            Some(at) => self.text.get(..at).unwrap_or_default(),
            None => &self.text,
        };
        let header = || self.text.lines().rev().find_map(|l| l.strip_prefix(REPORT.trim_start()));
        let mut lines = text.lines().rev().map(|line| before_statistics(line).trim());
        match lines.find(|line| !line.is_empty()) {
            Some(line) if text.len() == self.text.len() || way::instruction(line).is_none() => {
                Some(line)
            }
            line => header().map(str::trim).or(line),
        }
    }

    /// The structured reason, where the kernel gives one (Linux 7.3).
    pub fn report(&self) -> Option<VerifierReport> {
        report::read(&self.text)
    }

    /// The instructions that led to the refusal, from the start of the function that is verified, by
    /// their index in the program; the last one is where the verifier stopped. Empty when the log
    /// names none.
    pub fn way(&self) -> Vec<u32> {
        let mut way = way::way(&self.text);
        let report = self.report().and_then(|report| report.insn);
        let named = report.or_else(|| self.reason().and_then(way::named));
        if let Some(named) = named.filter(|named| way.last() != Some(named)) {
            way.push(named);
        }
        way
    }

    /// A few lines of the beginning and more of the end, each cut to a width that can be read, equal
    /// neighbours shown once.
    pub fn condensed(&self) -> String {
        let mut lines: Vec<(&str, usize)> = Vec::new();
        for line in self.lines() {
            match lines.last_mut() {
                Some((last, times)) if *last == line => *times += 1,
                _ => lines.push((line, 1)),
            }
        }
        let left_out = lines.len().saturating_sub(HEAD_LINES + TAIL_LINES);
        // Leaving out one or two lines saves nothing over saying so.
        let left_out = if left_out > 2 { left_out } else { 0 };
        let mut out = String::new();
        for (at, &(line, times)) in lines.iter().enumerate() {
            if left_out > 0 && at == HEAD_LINES {
                // Writing to a string cannot fail.
                let _ = writeln!(out, "… {left_out} lines left out …");
            }
            if left_out > 0 && (HEAD_LINES..HEAD_LINES + left_out).contains(&at) {
                continue;
            }
            push_cut(&mut out, line);
            if times > 1 {
                let _ = write!(out, " (×{times})");
            }
            out.push('\n');
        }
        out
    }
}

impl std::fmt::Display for VerifierLog {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.text)
    }
}

/// The line without the verifier's statistics, which may stand behind a message that lacks its line
/// end, and without the states that it compared.
fn before_statistics(line: &str) -> &str {
    if ["verification time", "stack depth", "cur state:", "old state:"]
        .iter()
        .any(|start| line.starts_with(start))
    {
        return "";
    }
    match line.find(" insns (limit ") {
        Some(_) => line.find("processed ").and_then(|at| line.get(..at)).unwrap_or(line),
        None => line,
    }
}

fn push_cut(out: &mut String, line: &str) {
    match line.char_indices().nth(LINE_LEN) {
        Some((cut, _)) => {
            out.push_str(line.get(..cut).unwrap_or(line));
            out.push('…');
        }
        None => out.push_str(line),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log(text: &str) -> VerifierLog {
        VerifierLog::from_buffer(text.as_bytes(), false)
    }

    #[test]
    fn stops_at_the_zero_byte() {
        assert_eq!(VerifierLog::from_buffer(b"a\nb\0junk", false).text(), "a\nb");
        assert_eq!(VerifierLog::from_buffer(b"\xff", false).text(), "\u{fffd}");
    }

    #[test]
    fn head_and_tail() {
        let log = log("1\n2\n3\n");
        assert_eq!(log.head(2), "1\n2\n");
        assert_eq!(log.tail(2), "2\n3\n");
        assert_eq!(log.head(9), log.tail(9));
        assert_eq!(log.tail(0), "");
    }

    #[test]
    fn the_reason_stands_before_the_statistics() {
        let text = "0: (95) exit\nR0 !read_ok\nprocessed 1 insns (limit 1000000) max_states…\n\n";
        assert_eq!(log(text).reason(), Some("R0 !read_ok"));
        assert_eq!(log("\n").reason(), None);
        let joined = "invalid type id 3 in func infoprocessed 0 insns (limit 1000000) max…\n";
        assert_eq!(log(joined).reason(), Some("invalid type id 3 in func info"));
        assert_eq!(log("processed 2 insns (limit 1000000)\n").reason(), None);
    }

    #[test]
    fn with_a_report_the_reason_stands_before_it() {
        let report = "\nVerification failed: Policy: Not allowed\n\nAt:\n  insn 4\n\nSuggestion:\n  Do without.\n";
        let with = log(&format!("3: (95) exit\nhelper is refused\n{report}"));
        assert_eq!(with.reason(), Some("helper is refused"));
        assert_eq!(with.way(), [3, 4]);
        assert_eq!(with.report().unwrap().suggestion, "Do without.");
        let only = log(&format!("3: (95) exit\n{report}"));
        assert_eq!(only.reason(), Some("Policy: Not allowed"));
        assert_eq!(log(report).reason(), Some("Policy: Not allowed"));
    }

    #[test]
    fn the_way_ends_where_the_verifier_stopped() {
        assert_eq!(log("0: (95) exit\nR0 !read_ok\n").way(), [0]);
        assert_eq!(log("unreachable insn 4\nprocessed 0 insns (limit 1000000)\n").way(), [4]);
        assert!(log("bad BTF\n").way().is_empty());
    }

    #[test]
    fn an_end_that_was_lost_is_put_there() {
        let mut log = log("0: (b7) r0 = 0\n1: (b7) r1 = 1ä\n2: (");
        assert!(!log.has_end());
        let end = "R0 !read_ok\nprocessed 3 insns (limit 1000000)\n";
        log.put_end(end, end.len() + 31);
        assert_eq!(log.text(), format!("0: (b7) r0 = 0\n1: (b7) r1 = 1\n{end}"));
        assert!(log.has_end());
        assert_eq!(log.reason(), Some("R0 !read_ok"));
        log.put_end(end, 0);
        assert_eq!(log.text(), format!("\n{end}"));
    }

    #[test]
    fn condensing_keeps_both_ends() {
        let text: String = (0..1000).map(|n| format!("line {n}\n")).collect();
        let short = log(&text).condensed();
        assert!(short.starts_with("line 0\n"));
        assert!(short.contains("… 972 lines left out …\nline 976\n"));
        assert!(short.ends_with("line 999\n"));
        assert_eq!(log("same\nsame\nsame\nend\n").condensed(), "same (×3)\nend\n");
        let wide = "ä".repeat(500);
        assert_eq!(log(&wide).condensed().chars().count(), LINE_LEN + 2);
        assert_eq!(log("a\nb").condensed(), "a\nb\n");
    }
}
