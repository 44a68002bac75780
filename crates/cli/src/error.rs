//! How a failure is told: `error: …` in one sentence, indented details, a `hint: …` at the end.
//!
//! [`Failure`] is that shape; how each error of the library is put into it lives in [`explain`].

mod explain;

use std::fmt;
use std::io::{self, Write};

use crate::output::Style;

/// Why a command did not do its job.
#[derive(Debug, Default)]
pub(crate) struct Failure {
    summary: String,
    details: Vec<String>,
    log: Option<Box<Log>>,
    hints: Vec<String>,
    kind: FailureKind,
    applies_to_all: bool,
}

#[derive(Debug)]
struct Log {
    condensed: String,
    whole: String,
}

#[derive(Debug, Default, PartialEq, Eq, Clone, Copy)]
enum FailureKind {
    /// The job failed: exit status 1.
    #[default]
    Job,
    /// The command line is wrong: exit status 2.
    Usage,
    /// Whoever reads standard output has gone: no failure at all.
    BrokenPipe,
    /// Said already, in the output proper: exit status 1 and no more words.
    Told,
}

impl Failure {
    /// The job failed.
    pub(crate) fn new(summary: impl Into<String>) -> Self {
        Self { summary: summary.into(), ..Self::default() }
    }

    /// The command line is wrong in a way that its definition cannot express.
    pub(crate) fn usage(summary: impl Into<String>) -> Self {
        Self { summary: summary.into(), kind: FailureKind::Usage, ..Self::default() }
    }

    /// What there is to say stands in the output already.
    pub(crate) fn told() -> Self {
        Self { kind: FailureKind::Told, ..Self::default() }
    }

    /// Says which program it is about, where the sentence does not.
    pub(crate) fn of_program(mut self, name: &str) -> Self {
        if !self.summary.contains(&format!("`{name}`")) && !self.applies_to_all {
            self.details.insert(0, format!("in program `{name}`"));
        }
        self
    }

    /// It is about no single program.
    pub(crate) fn for_all(self) -> Self {
        Self { applies_to_all: true, ..self }
    }

    /// Adds a detail, of one line or more.
    pub(crate) fn detail(mut self, text: impl Into<String>) -> Self {
        self.details.push(text.into());
        self
    }

    /// Adds the verifier's log: the parts that matter, and all of it.
    pub(crate) fn log(mut self, condensed: impl Into<String>, whole: impl Into<String>) -> Self {
        let log = Box::new(Log { condensed: condensed.into(), whole: whole.into() });
        self.log = Some(log).filter(|log| !log.whole.trim().is_empty());
        self
    }

    /// Adds what to do next.
    pub(crate) fn hint(mut self, text: impl Into<String>) -> Self {
        self.hints.push(text.into());
        self
    }

    /// The exit status.
    pub(crate) fn exit_code(&self) -> u8 {
        match self.kind {
            FailureKind::Job | FailureKind::Told => 1,
            FailureKind::Usage => 2,
            FailureKind::BrokenPipe => 0,
        }
    }

    /// Everything, for standard error. `whole_log` for logs of any length.
    pub(crate) fn render(
        &self,
        out: &mut impl Write,
        style: Style,
        whole_log: bool,
    ) -> io::Result<()> {
        if matches!(self.kind, FailureKind::BrokenPipe | FailureKind::Told) {
            return Ok(());
        }
        writeln!(out, "{}: {}", style.red("error"), self.summary)?;
        self.render_rest(out, style, whole_log, "  ")
    }

    /// The same without the first line and behind `indent`.
    pub(crate) fn render_rest(
        &self,
        out: &mut impl Write,
        style: Style,
        whole_log: bool,
        indent: &str,
    ) -> io::Result<()> {
        for line in self.details.iter().flat_map(|detail| detail.lines()) {
            writeln!(out, "{}", format!("{indent}{line}").trim_end())?;
        }
        if let Some(log) = &self.log {
            writeln!(out, "{indent}the verifier's log:")?;
            let text = if whole_log { &log.whole } else { &log.condensed };
            for line in text.trim_end().lines() {
                writeln!(out, "{}", format!("{indent}  {line}").trim_end())?;
            }
            if !whole_log && log.condensed.trim_end() != log.whole.trim_end() {
                writeln!(out, "{indent}(--verbose shows the whole log)")?;
            }
        }
        for hint in &self.hints {
            writeln!(out, "{}: {hint}", style.cyan("hint"))?;
        }
        Ok(())
    }

    /// Everything as plain text, for a field of JSON. The log is whole: who reads it is a program.
    pub(crate) fn to_text(&self) -> String {
        let mut text = Vec::new();
        let rendered = self.render_rest(&mut text, Style::plain(), true, "  ");
        debug_assert!(rendered.is_ok(), "a vector takes every byte");
        let rest = String::from_utf8_lossy(&text);
        format!("{}\n{rest}", self.summary).trim_end().to_owned()
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.summary)
    }
}

/// Printing failed.
impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        let failure = Self::new(format!("cannot write to standard output: {error}"));
        match error.kind() {
            io::ErrorKind::BrokenPipe => Self { kind: FailureKind::BrokenPipe, ..failure },
            _ => failure,
        }
    }
}

impl From<serde_json::Error> for Failure {
    fn from(error: serde_json::Error) -> Self {
        Self::from(io::Error::from(error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rendered(failure: &Failure, whole: bool) -> String {
        let mut out = Vec::new();
        failure.render(&mut out, Style::plain(), whole).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn the_shape() {
        let failure =
            Failure::new("it broke").detail("here\n  and there").detail("twice").hint("mend it");
        assert_eq!(
            rendered(&failure, false),
            "error: it broke\n  here\n    and there\n  twice\nhint: mend it\n"
        );
        assert_eq!(failure.exit_code(), 1);
    }

    #[test]
    fn the_program_is_named_where_the_sentence_does_not() {
        let text = |failure: Failure| failure.of_program("p").to_text();
        assert_eq!(text(Failure::new("bad").detail("why")), "bad\n  in program `p`\n  why");
        assert_eq!(text(Failure::new("program `p` is bad")), "program `p` is bad");
        assert_eq!(text(Failure::new("no permission").for_all()), "no permission");
    }

    #[test]
    fn logs_are_shown_condensed_or_whole() {
        let failure = Failure::new("refused").log("one\n…\n", "one\ntwo\nthree\n");
        assert_eq!(
            rendered(&failure, false),
            "error: refused\n  the verifier's log:\n    one\n    …\n  (--verbose shows the whole log)\n"
        );
        assert!(rendered(&failure, true).ends_with("log:\n    one\n    two\n    three\n"));
        assert!(!failure.to_string().contains('\n') && failure.to_text().contains("three"));
    }

    #[test]
    fn a_log_without_a_word_is_none() {
        assert_eq!(rendered(&Failure::new("refused").log(" \n", " \n"), false), "error: refused\n");
        let short = rendered(&Failure::new("refused").log("one\n", "one"), false);
        assert!(short.ends_with("    one\n"), "{short}");
    }

    #[test]
    fn exit_codes() {
        assert_eq!(Failure::usage("x").exit_code(), 2);
        let broken = Failure::from(io::Error::from(io::ErrorKind::BrokenPipe));
        assert_eq!((broken.exit_code(), rendered(&broken, false)), (0, String::new()));
        let full = Failure::from(io::Error::from(io::ErrorKind::StorageFull));
        assert_eq!(full.exit_code(), 1);
        assert!(rendered(&full, false).contains("standard output"));
        assert_eq!(
            (Failure::told().exit_code(), rendered(&Failure::told(), false)),
            (1, String::new())
        );
    }
}
