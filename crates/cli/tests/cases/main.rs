//! Runs the cases under `cases/`: links and runs their objects with the `bpfweld` command and
//! compares what it says with what the case's directives expect.
//!
//! | module | what lives there |
//! |---|---|
//! | [`directives`] | a case's source or `case` file → [`directives::Run`]s |
//! | [`scratch`] | files that a run needs and that are made on the spot: packets, broken objects |
//! | [`query`] | `programs[name=x].loaded`: paths into JSON |
//! | [`check`] | one run: call the command, compare |
//! | [`dump`] | what the kernel holds: function names and source lines of a pinned program |
//! | [`examples`] | what docs/errors.md shows of it |
//! | [`installed`] | objects that others built, if they are installed |
//! | [`leftovers`] | nothing is left in the kernel when a command has ended |
//! | [`trace`] | kernel and engine tell the same of each packet |
//! | [`needs`] | what this machine can do, and which runs it therefore passes over |
//!
//! Each (case, run) is one test, named `case::run`; one more, `case::run::fused`, with all calls fused;
//! one more, `case::run::dump`, when it says what functions or source files the loaded program has;
//! and one, `case::run::trace`, where both engines can run it. Adding a case needs no Rust: see
//! `cases/README.md`. With BPFWELD_FIXTURES=DIR the same cases run once more with the objects of
//! that tree (`cargo xtask fixtures --clang clang-14 --out DIR`); those tests carry its name.
//! BPFWELD_BIN and BPFWELD_CASES name the command and the cases where the paths of the build do not
//! hold: `cargo xtask kernels` runs all this on other kernels.

// Without the harness, clippy does not know that this is a test.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "so a test fails")]

mod check;
mod directives;
mod dump;
mod examples;
mod installed;
mod leftovers;
mod needs;
mod query;
mod scratch;
mod trace;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use libtest_mimic::{Arguments, Completion, Trial};

use directives::Run;
use needs::Machine;

/// Where the sources and the objects of a case are.
#[derive(Clone)]
struct Place {
    /// `cases/`.
    cases: PathBuf,
    /// `cases/CASE`: sources, files that runs name.
    source: PathBuf,
    /// The directory with the case's objects; the command's working directory.
    objects: PathBuf,
}

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let cases = std::env::var_os("BPFWELD_CASES").map(PathBuf::from);
    let cases = cases.unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../cases"));
    let cases = cases.canonicalize().expect("cases/ is there");
    let machine = Arc::new(Machine::look());
    let runs = directives::read_all(&cases);

    let mut trials = Vec::new();
    add_trials(&mut trials, &cases, &cases, None, &runs, &machine);
    let place = |case: &str| Place {
        cases: cases.clone(),
        source: cases.join(case),
        objects: cases.join(case),
    };
    trials.extend(installed::trials(&place("installed"), &machine));
    trials.extend(leftovers::trials(&place("leftovers"), &machine));
    if let Some(dir) = std::env::var_os("BPFWELD_FIXTURES") {
        // cargo runs tests in the package's directory, the user thinks of the workspace's.
        let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(dir);
        let dir = dir.canonicalize().expect("BPFWELD_FIXTURES names a directory");
        let name = dir.file_name().unwrap().to_string_lossy().into_owned();
        add_trials(&mut trials, &cases, &dir, Some(&name), &runs, &machine);
    }
    libtest_mimic::run(&arguments, trials).exit_code()
}

fn add_trials(
    trials: &mut Vec<Trial>,
    cases: &Path,
    objects: &Path,
    kind: Option<&str>,
    runs: &[Run],
    machine: &Arc<Machine>,
) {
    for run in runs {
        // Runs over the committed objects of other cases only are the same with every compiler.
        if kind.is_some() && !has_sources(&cases.join(&run.case)) {
            continue;
        }
        let place = Place {
            cases: cases.into(),
            source: cases.join(&run.case),
            objects: objects.join(&run.case),
        };
        let name = format!("{}::{}", run.case, run.name);
        type Body = fn(&Run, &Place, &Machine) -> Result<(), String>;
        let test = |name: &str, run: &Run, body: Body| {
            let (run, place, machine) = (run.clone(), place.clone(), machine.clone());
            let trial = Trial::ignorable_test(name, move || {
                if let Some(reason) = machine.lacks(&run, &place) {
                    return Ok(Completion::ignored_with(reason));
                }
                body(&run, &place, &machine)?;
                Ok(Completion::Completed)
            });
            trial.with_kind(kind.unwrap_or_default())
        };
        trials.push(test(&name, run, check::check));
        if trace::wanted(run) {
            let (run, place, machine) = (run.clone(), place.clone(), machine.clone());
            let trial = Trial::ignorable_test(format!("{name}::trace"), move || {
                let lacks = machine.lacks(&run, &place);
                let lacks = lacks.or_else(|| machine.lacks_kernel());
                match lacks {
                    Some(reason) => Ok(Completion::ignored_with(reason)),
                    None => Ok(trace::check(&run, &place)?),
                }
            });
            trials.push(trial.with_kind(kind.unwrap_or_default()));
        }
        if let Some(fused) = run.fused() {
            trials.push(test(&format!("{name}::fused"), &fused, check::check));
        }
        if run.wants_dump() {
            let (run, place, machine) = (run.clone(), place.clone(), machine.clone());
            let trial = Trial::ignorable_test(format!("{name}::dump"), move || {
                let lacks = machine.lacks(&run, &place).or_else(|| machine.lacks_bpftool());
                if let Some(reason) = lacks {
                    return Ok(Completion::ignored_with(reason));
                }
                dump::check(&run, &place)?;
                Ok(Completion::Completed)
            });
            trials.push(trial.with_kind(kind.unwrap_or_default()));
        }
    }
}

fn has_sources(case: &Path) -> bool {
    let files = case.read_dir().expect("a case is a directory");
    files.flatten().any(|file| file.path().extension().is_some_and(|e| e == "c" || e == "rs"))
}
