//! Builds the command, the case runner and the tests that want a real kernel without shared libraries, so
//! that they run in a guest that has none.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

/// The one target whose standard library a toolchain on such a machine has.
const TARGET: &str = "x86_64-unknown-linux-gnu";

/// Test programs: the runner of `cases/` and, by crate, what else asks the running kernel. The comparison of
/// engine and kernel is not among them: the engine does as a recent kernel does, and what helpers answer at
/// their limits has changed (the checksum's width, the headroom of a test run).
const SUITES: &[(&str, &str)] = &[
    ("bpfweld-cli", "cases"),
    ("bpfweld-kernel", "real_kernel"),
    ("bpfweld-kernel", "test_runs"),
    ("bpfweld-kernel", "pins"),
    ("bpfweld-kernel", "sanitising"),
    ("bpfweld", "loaded"),
    ("bpfweld", "chain_root"),
    ("bpfweld-cli", "xdp"),
];

/// What was built.
pub(super) struct Binaries {
    /// The `bpfweld` command.
    pub(super) command: PathBuf,
    /// Test programs, by name.
    pub(super) suites: Vec<(&'static str, PathBuf)>,
    /// What `cargo xtask peer-diff` runs, if it is wanted.
    pub(super) peer: Option<PathBuf>,
}

/// Builds all, into a directory of their own: other flags would make cargo build everything anew at
/// each change between the two.
pub(super) fn build(root: &Path, cache: &Path) -> Result<Binaries> {
    let output = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .args(["test", "--no-run"])
        .args(SUITES.iter().flat_map(|(package, test)| ["--package", package, "--test", test]))
        .args(["--target", TARGET, "--message-format", "json-render-diagnostics"])
        .arg("--target-dir")
        .arg(cache.join("build"))
        .current_dir(root)
        .env("RUSTFLAGS", "-C target-feature=+crt-static")
        .env_remove("CARGO_ENCODED_RUSTFLAGS")
        // Debug builds, with their assertions, but not at their pace: an emulated processor is slow, and
        // this halves the time of a run.
        .env("CARGO_PROFILE_DEV_OPT_LEVEL", "1")
        .env("CARGO_PROFILE_TEST_OPT_LEVEL", "1")
        // Half the size to load into the guest, and back-traces still name functions.
        .env("CARGO_PROFILE_DEV_DEBUG", "0")
        .env("CARGO_PROFILE_TEST_DEBUG", "0")
        .env("CARGO_PROFILE_DEV_STRIP", "debuginfo")
        .env("CARGO_PROFILE_TEST_STRIP", "debuginfo")
        .stderr(Stdio::inherit())
        .output()
        .context("cargo")?;
    if !output.status.success() {
        bail!("cargo could not build command and tests");
    }
    let messages = String::from_utf8_lossy(&output.stdout);
    let find = |name: &str| {
        executable(&messages, name).with_context(|| format!("cargo did not build {name}"))
    };
    // The library is called like the command; only the latter is executable.
    let suites = SUITES.iter().map(|&(_, test)| Ok((test, find(test)?))).collect::<Result<_>>()?;
    Ok(Binaries { command: find("bpfweld")?, suites, peer: None })
}

/// Builds the program that compares with libbpf. It keeps its shared libraries: libelf is one.
pub(super) fn build_peer(root: &Path, cache: &Path) -> Result<PathBuf> {
    let target = cache.join("peer");
    let status = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .args(["build", "--quiet", "--release", "--manifest-path"])
        .arg(root.join("xtask/peer/Cargo.toml"))
        .arg("--target-dir")
        .arg(&target)
        .status()
        .context("cargo")?;
    if !status.success() {
        bail!("cargo could not build peer-diff; run cargo xtask peer-diff to see what it needs");
    }
    Ok(target.join("release/bpfweld-peer"))
}

/// The path of a target's executable, from cargo's messages.
fn executable(messages: &str, name: &str) -> Option<PathBuf> {
    let messages = messages.lines().filter_map(|l| serde_json::from_str::<Value>(l).ok());
    messages
        .filter(|m| m["reason"] == "compiler-artifact" && m["target"]["name"] == name)
        .find_map(|m| m["executable"].as_str().map(PathBuf::from))
}
