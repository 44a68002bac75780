//! The project's own tasks, run as `cargo xtask TASK`.
//!
//! | task | module |
//! |---|---|
//! | `fixtures`: compile the C sources under `cases/` | [`fixtures`], with [`directives`], [`btf`] and [`elf`] |
//! | `capture`: record `cases/captures/real.pcap` | [`capture`] |
//! | `kernels`: run the cases on other kernels, in virtual machines | [`kernels`] |
//! | `bench`: what chains cost, in tables and plots | [`kernels::bench`] |
//! | `corpus`: compile the kernel's selftests | [`corpus`] |
//! | `dist`: the command as packages are to have it | [`dist`] |
//! | `xdp-suite`: the tests of xdp-loader, run on `bpfweld xdp` | [`xdp_suite`] |
//! | `peer-diff`, `peer-groups`, `peer-bench`: compare with libbpf | [`peer`], which runs the package in `xtask/peer` |
//!
//! A new task is a module here and a variant of [`Task`]. Nothing of it is needed to build or use
//! bpfweld.

#![allow(clippy::print_stdout, reason = "a task tells what it does")]

mod btf;
mod capture;
mod corpus;
mod directives;
mod dist;
mod elf;
mod fixtures;
mod kernels;
mod peer;
mod toolchain;
mod xdp_suite;

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
    /// Run the cases on other kernels, in virtual machines, and print a table case × kernel
    Kernels(kernels::Options),
    /// Measure what chains cost, beside libxdp and beside one program, and write docs/performance.md
    Bench(kernels::bench::Options),
    /// Build the command as packages are to have it: fast, and without shared libraries
    Dist(dist::Options),
    /// Compile the kernel's BPF selftests, for peer-diff
    Corpus(corpus::Options),
    /// Load every program of every object under DIR with bpfweld and with libbpf, and compare (root)
    PeerDiff(peer::Options),
    /// Run the test suite of xdp-loader with `bpfweld xdp` in its place (root)
    XdpSuite(xdp_suite::Options),
    /// Count and time what bpfweld and libbpf take to open and prepare every object under DIR
    PeerBench(peer::Options),
    /// Link the selftests of several objects in every order, load and run them with both (root)
    PeerGroups(peer::Options),
    /// Measure linking N generated objects ahead of time with bpfweld, libbpf and bpftool
    PeerLinkBench(peer::Options),
}

fn main() -> ExitCode {
    let root = workspace_root();
    let result = match Cli::parse().task {
        Task::Fixtures(options) => fixtures::run(&root, &options),
        Task::Capture(options) => capture::run(&root, &options),
        Task::Kernels(options) => kernels::run(&root, &options),
        Task::Bench(options) => kernels::bench::run(&root, &options),
        Task::Dist(options) => dist::run(&root, &options),
        Task::Corpus(options) => corpus::run(&root, &options),
        Task::XdpSuite(options) => xdp_suite::run(&root, &options),
        Task::PeerDiff(options) => peer::run(&root, "diff", &options),
        Task::PeerBench(options) => peer::run(&root, "bench", &options),
        Task::PeerGroups(options) => peer::run(&root, "groups", &options),
        Task::PeerLinkBench(options) => peer::run(&root, "link-bench", &options),
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
