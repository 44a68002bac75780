//! How a failure is told: `error[CODE]: …` in one sentence, the place in the sources, indented details,
//! a `hint: …` at the end. Codes are sections of `docs/errors.md`, which `bpfweld explain` shows.
//!
//! | module | what lives there |
//! |---|---|
//! | [`explain`] | each error of the library in that shape |
//! | [`verifier`] | which rule a program broke that the verifier refused |
//! | [`snippet`], [`sources`] | places in source files, and the files |

#[cfg(test)]
mod examples;
mod explain;
mod snippet;
mod sources;
mod static_link;
mod verifier;

use std::fmt;
use std::io::{self, Write};

use serde::Serialize;

use crate::output::Style;
use snippet::Snippet;
pub(crate) use sources::Sources;

/// The command line is wrong.
pub(crate) const USAGE: &str = "E0001";
/// A file that the command line names cannot be used.
pub(crate) const INPUT: &str = "E0002";
/// The answer cannot be written.
pub(crate) const OUTPUT: &str = "E0003";
/// None of the others.
const OTHER: &str = "E0000";

/// Why a command did not do its job.
#[derive(Debug)]
pub(crate) struct Failure {
    code: &'static str,
    summary: String,
    parts: Vec<Part>,
    log: Option<Box<Log>>,
    hints: Vec<String>,
    kind: FailureKind,
    applies_to_all: bool,
}

/// What is shown below the first line.
#[derive(Debug)]
enum Part {
    /// Words, of one line or more.
    Text(String),
    /// A place in the sources.
    Place(Box<Snippet>),
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

/// A failure in the output of `--json`.
#[derive(Serialize)]
pub(crate) struct FailureReport<'a> {
    code: &'static str,
    message: &'a str,
    /// Everything that people are shown, but for colours and files on disk.
    text: String,
    hints: &'a [String],
    /// Where, by the objects' line info; the most telling place first.
    places: Vec<PlaceReport<'a>>,
}

#[derive(Serialize)]
struct PlaceReport<'a> {
    file: &'a str,
    line: u32,
    column: u32,
    label: &'a str,
}

impl Failure {
    fn of_kind(kind: FailureKind, code: &'static str, summary: String) -> Self {
        Self {
            code,
            summary,
            parts: Vec::new(),
            log: None,
            hints: Vec::new(),
            kind,
            applies_to_all: false,
        }
    }

    /// The job failed.
    pub(crate) fn new(summary: impl Into<String>) -> Self {
        Self::of_kind(FailureKind::Job, OTHER, summary.into())
    }

    /// The command line is wrong in a way that its definition cannot express.
    pub(crate) fn usage(summary: impl Into<String>) -> Self {
        Self::of_kind(FailureKind::Usage, USAGE, summary.into())
    }

    /// What there is to say stands in the output already.
    pub(crate) fn told() -> Self {
        Self::of_kind(FailureKind::Told, OTHER, String::new())
    }

    /// The section of `docs/errors.md` that tells more.
    pub(crate) fn code(self, code: &'static str) -> Self {
        Self { code, ..self }
    }

    /// Says which program it is about, where the sentence does not.
    pub(crate) fn of_program(mut self, name: &str) -> Self {
        if !self.summary.contains(&format!("`{name}`")) && !self.applies_to_all {
            self.parts.insert(0, Part::Text(format!("in program `{name}`")));
        }
        self
    }

    /// It is about no single program.
    pub(crate) fn for_all(self) -> Self {
        Self { applies_to_all: true, ..self }
    }

    /// Adds a detail, of one line or more.
    pub(crate) fn detail(mut self, text: impl Into<String>) -> Self {
        self.parts.push(Part::Text(text.into()));
        self
    }

    /// Adds a place in the sources.
    fn place(mut self, snippet: Snippet) -> Self {
        self.parts.push(Part::Place(Box::new(snippet)));
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

    /// Is there anything to be told?
    pub(crate) fn is_silent(&self) -> bool {
        matches!(self.kind, FailureKind::BrokenPipe | FailureKind::Told)
    }

    /// Everything, for standard error. `whole_log` for logs of any length.
    pub(crate) fn render(
        &self,
        out: &mut impl Write,
        style: Style,
        whole_log: bool,
        sources: &mut Sources,
    ) -> io::Result<()> {
        if self.is_silent() {
            return Ok(());
        }
        let error = style.red(&format!("error[{}]", self.code));
        writeln!(out, "{error}: {}", harmless(&self.summary))?;
        self.render_rest(out, style, whole_log, sources)
    }

    fn render_rest(
        &self,
        out: &mut impl Write,
        style: Style,
        whole_log: bool,
        sources: &mut Sources,
    ) -> io::Result<()> {
        for part in &self.parts {
            match part {
                Part::Text(text) => {
                    for line in text.lines() {
                        writeln!(out, "{}", format!("  {}", harmless(line)).trim_end())?;
                    }
                }
                Part::Place(snippet) => {
                    for line in snippet.draw(style, sources).lines() {
                        writeln!(out, "{}", line.trim_end())?;
                    }
                }
            }
        }
        if let Some(log) = &self.log {
            writeln!(out, "  the verifier's log:")?;
            let text = if whole_log { &log.whole } else { &log.condensed };
            for line in text.trim_end().lines() {
                writeln!(out, "{}", format!("    {}", harmless(line)).trim_end())?;
            }
            if !whole_log && log.condensed.trim_end() != log.whole.trim_end() {
                writeln!(out, "  (--verbose shows the whole log)")?;
            }
        }
        for hint in &self.hints {
            writeln!(out, "{}: {}", style.cyan("hint"), harmless(hint))?;
        }
        Ok(())
    }

    /// Everything as plain text, for a field of JSON. The log is whole: who reads it is a program.
    pub(crate) fn to_text(&self) -> String {
        let mut text = Vec::new();
        let rendered = self.render_rest(&mut text, Style::plain(), true, &mut Sources::none());
        debug_assert!(rendered.is_ok(), "a vector takes every byte");
        let rest = String::from_utf8_lossy(&text);
        format!("{}\n{rest}", self.summary).trim_end().to_owned()
    }

    /// For the output of `--json`.
    pub(crate) fn report(&self) -> FailureReport<'_> {
        let places = self.parts.iter().filter_map(|part| match part {
            Part::Place(snippet) => Some(PlaceReport {
                file: &snippet.source.file,
                line: snippet.source.line,
                column: snippet.source.column,
                label: &snippet.label,
            }),
            Part::Text(_) => None,
        });
        FailureReport {
            code: self.code,
            message: &self.summary,
            text: self.to_text(),
            hints: &self.hints,
            places: places.collect(),
        }
    }

    /// Its code, where it is only referred to.
    pub(crate) fn code_name(&self) -> &'static str {
        self.code
    }
}

/// Text without what would steer a terminal: names and logs come from objects and files.
fn harmless(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() && c != '\t' && c != '\n' { '\u{fffd}' } else { c })
        .collect()
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.summary)
    }
}

/// Printing failed.
impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        let failure = Self::new(format!("cannot write to standard output: {error}")).code(OUTPUT);
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
        failure.render(&mut out, Style::plain(), whole, &mut Sources::none()).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn the_shape() {
        let failure =
            Failure::new("it broke").detail("here\n  and there").detail("twice").hint("mend it");
        assert_eq!(
            rendered(&failure, false),
            "error[E0000]: it broke\n  here\n    and there\n  twice\nhint: mend it\n"
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
            "error[E0000]: refused\n  the verifier's log:\n    one\n    …\n  (--verbose shows the whole log)\n"
        );
        assert!(rendered(&failure, true).ends_with("log:\n    one\n    two\n    three\n"));
        assert!(!failure.to_string().contains('\n') && failure.to_text().contains("three"));
    }

    #[test]
    fn a_log_without_a_word_is_none() {
        assert_eq!(
            rendered(&Failure::new("refused").log(" \n", " \n"), false),
            "error[E0000]: refused\n"
        );
        let short = rendered(&Failure::new("refused").log("one\n", "one"), false);
        assert!(short.ends_with("    one\n"), "{short}");
    }

    #[test]
    fn no_control_characters_come_through() {
        let text = rendered(&Failure::new("a\u{1b}[2Jb").detail("c\rd").hint("e\u{9b}f"), false);
        assert_eq!(text, "error[E0000]: a\u{fffd}[2Jb\n  c\u{fffd}d\nhint: e\u{fffd}f\n");
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
