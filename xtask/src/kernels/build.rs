//! Builds the command, the case runner and the tests that want a real kernel without shared libraries, so
//! that they run in a guest that has none.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

use crate::toolchain;

/// The one target whose standard library a toolchain on such a machine has.
const TARGET: &str = "x86_64-unknown-linux-gnu";

/// A test program.
pub(super) struct Suite {
    package: &'static str,
    pub(super) test: &'static str,
}

/// The runner of `cases/` and, by crate, what else asks the running kernel. The comparison of
/// engine and kernel is not among them: the engine does as a recent kernel does, and what helpers answer at
/// their limits has changed (the checksum's width, the headroom of a test run).
const SUITES: &[Suite] = &[
    Suite { package: "bpfweld-cli", test: "cases" },
    Suite { package: "bpfweld-kernel", test: "real_kernel" },
    Suite { package: "bpfweld-kernel", test: "test_runs" },
    Suite { package: "bpfweld-kernel", test: "pins" },
    Suite { package: "bpfweld-kernel", test: "sanitising" },
    Suite { package: "bpfweld", test: "loaded" },
    Suite { package: "bpfweld", test: "chain_root" },
    Suite { package: "bpfweld-cli", test: "xdp" },
];

/// The suite of that name.
pub(super) fn parse(name: &str) -> Result<&'static Suite, String> {
    SUITES.iter().find(|s| s.test == name).ok_or_else(|| {
        let names: Vec<&str> = SUITES.iter().map(|s| s.test).collect();
        format!("there is {}", names.join(", "))
    })
}

/// What was built.
pub(super) struct Binaries {
    /// The `bpfweld` command.
    pub(super) command: PathBuf,
    pub(super) suites: Vec<(&'static Suite, PathBuf)>,
    /// What `cargo xtask peer-diff` runs, if it is wanted.
    pub(super) peer: Option<PathBuf>,
}

/// Builds all, into a directory of their own: other flags would make cargo build everything anew at
/// each change between the two.
pub(super) fn build(root: &Path, cache: &Path) -> Result<Binaries> {
    let output = toolchain::cargo()
        .args(["test", "--no-run"])
        .args(SUITES.iter().flat_map(|s| ["--package", s.package, "--test", s.test]))
        .args(["--target", TARGET, "--message-format", "json-render-diagnostics"])
        .arg("--target-dir")
        .arg(cache.join("build"))
        .current_dir(root)
        .env("RUSTFLAGS", toolchain::STATIC)
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
    let suites = SUITES.iter().map(|s| Ok((s, find(s.test)?))).collect::<Result<_>>()?;
    Ok(Binaries { command: find("bpfweld")?, suites, peer: None })
}

/// Builds the program that compares with libbpf. It keeps its shared libraries: libelf is one.
pub(super) fn build_peer(root: &Path, cache: &Path) -> Result<PathBuf> {
    let target = cache.join("peer");
    let status = toolchain::cargo()
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
