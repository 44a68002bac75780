//! Every difference, as it is found, and the table at the end; those that are meant to be are counted
//! apart.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};
use serde::Deserialize;

use crate::compare::{CATEGORIES, Difference};
use crate::record::Side;

/// One entry of `allowed.toml`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Allowed {
    /// What the running kernel's release begins with, where only older kernels show the difference.
    #[serde(default)]
    kernel: String,
    /// Path of the object: `*` stands for anything.
    #[serde(default = "anything")]
    object: String,
    /// Name of the program.
    #[serde(default = "anything")]
    program: String,
    category: String,
    /// Every line of the difference together, `*` at both ends understood.
    #[serde(default = "anything")]
    text: String,
    /// Why this is meant to be.
    reason: String,
}

impl fmt::Display for Allowed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kernel: _, object, program, category, text, reason } = self;
        write!(f, "{reason} ({category}, object {object}, program {program}, text {text})")
    }
}

fn anything() -> String {
    "*".into()
}

#[derive(Deserialize)]
struct File {
    #[serde(default)]
    difference: Vec<Allowed>,
}

#[derive(Default)]
struct Count {
    unexplained: usize,
    explained: usize,
}

/// What has been found so far.
pub struct Report {
    allowed: Vec<Allowed>,
    used: Vec<usize>,
    lines: usize,
    show_all: bool,
    objects: usize,
    programs: usize,
    equal: usize,
    asked_both: usize,
    loaded_theirs: usize,
    loaded_both: usize,
    counts: BTreeMap<&'static str, Count>,
}

impl Report {
    pub fn new(allowed: &Path, lines: usize, show_all: bool) -> Result<Self> {
        let text = fs::read_to_string(allowed).with_context(|| allowed.display().to_string())?;
        let mut file: File = toml::from_str(&text).with_context(|| allowed.display().to_string())?;
        let release = fs::read_to_string("/proc/sys/kernel/osrelease")?;
        file.difference.retain(|a| release.starts_with(&a.kernel));
        let used = vec![0; file.difference.len()];
        Ok(Self {
            allowed: file.difference,
            used,
            lines,
            show_all,
            objects: 0,
            programs: 0,
            equal: 0,
            asked_both: 0,
            loaded_theirs: 0,
            loaded_both: 0,
            counts: BTreeMap::new(),
        })
    }

    pub fn add(&mut self, object: &Path, ours: &Side, theirs: &Side, found: Vec<Difference>) {
        self.objects += 1;
        let path = object.to_string_lossy();
        let programs = theirs.programs.len().max(ours.programs.len());
        self.programs += programs;
        for q in &theirs.programs {
            let loaded = |p: &crate::record::Program| p.load.as_ref().is_some_and(|l| l.errno == 0);
            let mine = ours.programs.iter().find(|p| p.name == q.name);
            let asked = |p: &crate::record::Program| p.load.is_some();
            self.asked_both += usize::from(asked(q) && mine.is_some_and(asked));
            self.loaded_theirs += usize::from(loaded(q));
            self.loaded_both += usize::from(loaded(q) && mine.is_some_and(loaded));
        }
        let mut named: Vec<&str> = found.iter().map(|d| d.program.as_str()).collect();
        named.dedup();
        self.equal += programs.saturating_sub(named.len());
        for difference in &found {
            let text = format!("bpfweld\n{}", difference.lines.join("\n"));
            let by = self.allowed.iter().position(|a| {
                glob(&a.object, &path)
                    && glob(&a.program, &difference.program)
                    && glob(&a.category, difference.category)
                    && glob(&format!("*{}*", a.text), &text)
            });
            let count = self.counts.entry(difference.category).or_default();
            match by {
                Some(at) => {
                    count.explained += 1;
                    self.used[at] += 1;
                    if !self.show_all {
                        continue;
                    }
                }
                None => count.unexplained += 1,
            }
            println!("{path} {} [{}]", difference.program, difference.category);
            if let Some(at) = by {
                println!("    meant to be: {}", self.allowed[at].reason);
            }
            for line in difference.lines.iter().take(self.lines) {
                println!("    {}", line.chars().take(700).collect::<String>());
            }
            if difference.lines.len() > self.lines {
                println!("    … {} lines", difference.lines.len());
            }
        }
    }

    /// The table; with `unused`, entries of the list that explain nothing as well.
    pub fn print(&self, unused: bool) {
        println!();
        println!("{:>6} objects", self.objects);
        println!("{:>6} programs, {} of them equal in all", self.programs, self.equal);
        println!("{:>6} programs that both ask the kernel for", self.asked_both);
        println!(
            "{:>6} programs that libbpf gets into the kernel, {} of them bpfweld too",
            self.loaded_theirs, self.loaded_both
        );
        println!("{:>14} {:>11} {:>11}", "differences", "unexplained", "meant to be");
        for (category, what) in CATEGORIES {
            let none = Count::default();
            let count = self.counts.get(category).unwrap_or(&none);
            println!("{category:>14} {:>11} {:>11}  {what}", count.unexplained, count.explained);
        }
        for (allowed, used) in self.allowed.iter().zip(&self.used) {
            if *used > 0 {
                println!("{used:>6} × {}", allowed.reason);
            } else if unused {
                println!("{used:>6} × {allowed}");
            }
        }
    }

    pub fn all_explained(&self) -> bool {
        self.counts.values().all(|count| count.unexplained == 0)
    }
}

/// Does `text` match? `*` stands for any characters.
fn glob(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or("");
    let Some(mut rest) = text.strip_prefix(first) else { return false };
    let mut last = None;
    for part in parts {
        if let Some(earlier) = last.replace(part) {
            match rest.find(earlier) {
                Some(at) => rest = &rest[at + str::len(earlier)..],
                None => return false,
            }
        }
    }
    match last {
        Some(part) => rest.ends_with(part),
        None => rest.is_empty(),
    }
}
