//! The project's own tasks, run as `cargo xtask TASK`.
//!
//! | task | module |
//! |---|---|
//! | `fixtures`: compile the C sources under `cases/` | [`fixtures`], with [`directives`], [`btf`] and [`elf`] |
//! | `capture`: record `cases/captures/real.pcap` | [`capture`] |
//!
//! A new task is a module here and a variant of [`Task`]. Nothing of it is needed to build or use
//! bpfweld.

#![allow(clippy::print_stdout, reason = "a task tells what it does")]

mod btf;
mod capture;
mod directives;
mod elf;
mod fixtures;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(name = "cargo xtask", about = "The project's own tasks")]
struct Cli {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Compile every `cases/CASE/*.c` to an object file
    Fixtures(fixtures::Options),
    /// Record cases/captures/real.pcap anew: real programs between two network namespaces (root)
    Capture(capture::Options),
}

fn main() -> ExitCode {
    let root = workspace_root();
    let result = match Cli::parse().task {
        Task::Fixtures(options) => fixtures::run(&root, &options),
        Task::Capture(options) => capture::run(&root, &options),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            use std::io::Write as _;
            // Nothing is left to do about an error that cannot be written.
            let _ = writeln!(std::io::stderr(), "error: {e:#}");
            ExitCode::FAILURE
        }
    }
}

/// The directory above this package's.
fn workspace_root() -> PathBuf {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    package.parent().unwrap_or(package).to_path_buf()
}
