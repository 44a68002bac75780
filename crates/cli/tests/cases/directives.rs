//! Directives: lines that begin with `//@`, in the C sources of a case or in its file `case`.
//!
//! `//@ run: NAME` begins a run; what stands before the first run of a file holds for all runs of
//! that file. `cases/README.md` lists the directives for those who write cases. A new one goes
//! into [`Run`], into [`Run::apply`], into that list, and into the list of xtask's
//! `directives.rs`, which rejects unknown ones.

use std::fs;
use std::path::Path;

/// One run of a case: a call of the command and what is expected of it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Run {
    pub(crate) case: String,
    pub(crate) name: String,
    /// Subcommand; empty means `run`.
    pub(crate) command: String,
    pub(crate) objects: Vec<String>,
    /// LABEL=PATH.
    pub(crate) labels: Vec<String>,
    pub(crate) bind: Vec<String>,
    pub(crate) entry: Option<String>,
    pub(crate) args: Vec<String>,
    /// Lines of a kconfig file.
    pub(crate) kconfig: Vec<String>,
    pub(crate) packets: Vec<Packets>,
    /// (name, arguments of `link`): objects that are linked first.
    pub(crate) linked: Vec<(String, Vec<String>)>,
    /// (name, arguments of `load`): what is loaded first and pinned below `$TMP/bpffs/NAME`.
    pub(crate) loaded: Vec<(String, Vec<String>)>,
    /// (name, how to make it).
    pub(crate) files: Vec<(String, String)>,
    pub(crate) needs: Vec<String>,
    /// Start the command with standard input closed, so that descriptor 0 is free.
    pub(crate) stdin_closed: bool,
    /// Start it with a limit of 0 bytes on locked memory.
    pub(crate) no_memlock: bool,
    /// Run the command as a user without privileges.
    pub(crate) unprivileged: bool,
    /// With every call fused that can be, instead of none; not for runs that say it themselves.
    pub(crate) fused: bool,

    pub(crate) verdicts: Option<Vec<String>>,
    pub(crate) codes: Option<Vec<Option<i64>>>,
    pub(crate) counts: Vec<(String, usize)>,
    pub(crate) exit: Option<i32>,
    /// Patterns that must match standard error; the exit status is then 1 unless it says another.
    pub(crate) errors: Vec<String>,
    /// Patterns that must match standard error, with success.
    pub(crate) warnings: Vec<String>,
    /// Patterns that must not match standard error.
    pub(crate) without: Vec<String>,
    /// Patterns that must match standard output; the command is then called without `--json`.
    pub(crate) stdout: Vec<String>,
    /// `PATH == JSON` or `PATH ~ PATTERN`.
    pub(crate) json: Vec<String>,
    /// The error whose example in docs/errors.md this is.
    pub(crate) documents: Option<String>,
    /// Names of the functions of the loaded program, its entry first.
    pub(crate) functions: Option<Vec<String>>,
    /// Source files that lines of the loaded program are from.
    pub(crate) lines: Vec<String>,
    /// Patterns that the loaded program matches as bpftool shows it.
    pub(crate) dump: Vec<String>,
}

/// What to run over.
#[derive(Clone, Debug)]
pub(crate) enum Packets {
    /// A capture under `cases/captures`.
    Capture(String),
    /// The same frame so many times.
    Frame { bytes: Vec<u8>, times: usize },
}

/// Reads all cases under a directory.
pub(crate) fn read_all(cases: &Path) -> Vec<Run> {
    let mut runs = Vec::new();
    let mut dirs: Vec<_> =
        fs::read_dir(cases).expect("cases/").map(|e| e.unwrap().path()).collect();
    dirs.sort();
    for dir in dirs.iter().filter(|d| d.is_dir()) {
        let mut files: Vec<_> = fs::read_dir(dir).unwrap().map(|e| e.unwrap().path()).collect();
        files.sort();
        let case = dir.file_name().unwrap().to_string_lossy().into_owned();
        let before = runs.len();
        for file in files {
            let is_source = file.extension().is_some_and(|e| e == "c" || e == "rs");
            if is_source || file.file_name().is_some_and(|n| n == "case") {
                let text = fs::read_to_string(&file).unwrap();
                runs.extend(read(&case, &file, &text));
            }
        }
        for (i, run) in runs.iter().enumerate().skip(before) {
            let same = runs[before..i].iter().any(|other| other.name == run.name);
            assert!(!same, "case {case}: two runs are named {:?}", run.name);
            run.assert_checks_something();
        }
    }
    runs
}

fn read(case: &str, file: &Path, text: &str) -> Vec<Run> {
    let mut common = Run { case: case.into(), ..Run::default() };
    let mut runs: Vec<Run> = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let Some(directive) = line.trim_start().strip_prefix("//@") else { continue };
        let (key, value) = directive.split_once(':').unwrap_or((directive, ""));
        let (key, value) = (key.trim(), value.trim());
        if key == "run" {
            runs.push(Run { name: value.into(), ..common.clone() });
            continue;
        }
        let run = runs.last_mut().unwrap_or(&mut common);
        if let Err(e) = run.apply(key, value) {
            panic!("{}:{}: {e}", file.display(), number + 1);
        }
    }
    runs
}

impl Run {
    fn apply(&mut self, key: &str, value: &str) -> Result<(), String> {
        let words = || value.split_whitespace().map(String::from);
        match key {
            "command" => self.command = value.into(),
            "objects" => self.objects = words().collect(),
            "object" => self.labels.extend(words()),
            "bind" => self.bind.extend(words()),
            "entry" => self.entry = Some(value.into()),
            "args" => self.args.extend(words()),
            "kconfig" => self.kconfig.push(value.into()),
            "packet" => self.packets.push(frame(value)?),
            "pcap" => self.packets.push(Packets::Capture(value.into())),
            "file" => {
                let (name, how) = value.split_once('=').ok_or("wants NAME = HOW")?;
                self.files.push((name.trim().into(), how.trim().into()));
            }
            "linked" | "loaded" => {
                let (name, how) = value.split_once('=').ok_or("wants NAME = ARGUMENTS")?;
                let how = how.split_whitespace().map(String::from).collect();
                let first = if key == "linked" { &mut self.linked } else { &mut self.loaded };
                first.push((name.trim().into(), how));
            }
            "needs" => self.needs.extend(words()),
            "stdin-closed" => self.stdin_closed = true,
            "no-memlock" => self.no_memlock = true,
            "unprivileged" => self.unprivileged = true,
            "verdicts" => self.verdicts = Some(repeated(value)?),
            "codes" => {
                let code = |word: String| match word.as_str() {
                    "-" => Ok(None),
                    word => word.parse().map(Some).map_err(|_| format!("no code: {word}")),
                };
                let codes: Result<_, _> = repeated(value)?.into_iter().map(code).collect();
                self.codes = Some(codes?);
            }
            "counts" => {
                for word in words() {
                    let (name, n) = word.split_once('=').ok_or("wants VERDICT=NUMBER")?;
                    self.counts.push((name.into(), n.parse().map_err(|_| "no number")?));
                }
            }
            "exit" => self.exit = Some(value.parse().map_err(|_| "no number")?),
            "error" => self.errors.push(value.into()),
            "warning" => self.warnings.push(value.into()),
            "without" => self.without.push(value.into()),
            "stdout" => self.stdout.push(value.into()),
            "json" => self.json.push(value.into()),
            "documents" => self.documents = Some(value.into()),
            "functions" => self.functions = Some(words().collect()),
            "lines" => self.lines.extend(words()),
            "dump" => self.dump.push(value.into()),
            // How to build the source: xtask's.
            "cflags" | "cpu" | "target" | "strip-btf" | "extern-2019" | "line-record-size"
            | "no-compiler" => {}
            _ => return Err(format!("directive {key:?} is unknown")),
        }
        Ok(())
    }

    /// Is there anything to compare with a loaded program?
    pub(crate) fn wants_dump(&self) -> bool {
        self.functions.is_some() || !self.lines.is_empty() || !self.dump.is_empty()
    }

    /// The same run with calls fused: what it expects is the same, but for what a program looks like.
    /// `None` where fusing has nothing to do with it.
    pub(crate) fn fused(&self) -> Option<Self> {
        let says_it = self.args.iter().any(|arg| arg.starts_with("--fuse"));
        if matches!(self.subcommand(), "inspect" | "link" | "disasm")
            || self.expected_exit() != 0
            || says_it
        {
            return None;
        }
        let looks = |question: &String| ["functions", "insns"].iter().any(|w| question.contains(w));
        let json = self.json.iter().filter(|question| !looks(question)).cloned().collect();
        Some(Self { fused: true, json, ..self.clone() })
    }

    /// Is the command expected to fail?
    pub(crate) fn expected_exit(&self) -> i32 {
        let fails = !self.errors.is_empty() || self.documents.is_some();
        self.exit.unwrap_or(if fails { 1 } else { 0 })
    }

    /// The subcommand.
    pub(crate) fn subcommand(&self) -> &str {
        if self.command.is_empty() { "run" } else { &self.command }
    }

    /// A test that cannot fail is none.
    fn assert_checks_something(&self) {
        let lists = [&self.errors, &self.warnings, &self.without, &self.stdout, &self.json];
        let checks = self.verdicts.is_some()
            || self.codes.is_some()
            || !self.counts.is_empty()
            || self.exit.is_some()
            || self.documents.is_some()
            || self.wants_dump()
            || lists.iter().any(|l| !l.is_empty());
        assert!(checks, "{}::{} expects nothing", self.case, self.name);
        assert!(!self.objects.is_empty(), "{}::{} names no object", self.case, self.name);
    }
}

/// `A B*3` → A B B B.
fn repeated(value: &str) -> Result<Vec<String>, String> {
    let mut all = Vec::new();
    for word in value.split_whitespace() {
        let (item, times) = match word.split_once('*') {
            Some((item, n)) => (item, n.parse().map_err(|_| format!("no number in {word}"))?),
            None => (word, 1),
        };
        all.extend(std::iter::repeat_n(item.to_string(), times));
    }
    Ok(all)
}

/// `64`, `64 * 12`, `hex 0102…`, `hex 0102… * 3`: zeros of a length, or bytes.
fn frame(value: &str) -> Result<Packets, String> {
    let (what, times) = match value.split_once('*') {
        Some((what, n)) => (what.trim(), n.trim().parse().map_err(|_| "no number behind *")?),
        None => (value, 1),
    };
    let bytes = match what.strip_prefix("hex ") {
        Some(digits) => unhex(digits)?,
        None => vec![0; what.parse().map_err(|_| format!("no length: {what:?}"))?],
    };
    Ok(Packets::Frame { bytes, times })
}

/// Bytes from hexadecimal digits; blanks do not count.
pub(crate) fn unhex(digits: &str) -> Result<Vec<u8>, String> {
    let digits: Vec<u8> = digits.bytes().filter(|b| !b.is_ascii_whitespace()).collect();
    let pair = |p: &[u8]| u8::from_str_radix(std::str::from_utf8(p).ok()?, 16).ok();
    let bytes: Option<Vec<u8>> = digits.chunks(2).map(pair).collect();
    bytes
        .filter(|_| digits.len().is_multiple_of(2))
        .ok_or_else(|| "no hexadecimal bytes".to_string())
}
