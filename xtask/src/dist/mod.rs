//! `cargo xtask dist`: the command as packages are to have it, one file that needs no shared library. What it runs first
//! and most lies side by side in it ([`order`]): the system brings in 64 KiB around each page of a program that is
//! touched, so functions that lie all over it cost memory and page faults.
//!
//! Benchmarks build what they measure here as well.

mod order;

use std::collections::hash_map::DefaultHasher;
use std::fs;
use std::hash::{Hash as _, Hasher as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};

use crate::toolchain::{self, STATIC, target_dir};

/// Options of the task.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Write crates/cli/order.ld anew, by what runs when objects of these directories are loaded and linked and chains are
    /// changed (root; Debian: valgrind, and what peer-bench needs)
    #[arg(long, value_name = "DIR", num_args = 1..)]
    order: Vec<PathBuf>,
}

/// Runs the task.
pub(crate) fn run(root: &Path, options: &Options) -> Result<()> {
    if !options.order.is_empty() {
        order::write(root, &options.order)?;
    }
    let command = build(root, &COMMAND, &target_dir(root).join("dist"))?;
    println!("{}", command.display());
    Ok(())
}

/// A program to build.
pub(crate) struct Program {
    /// Its package's manifest, below the repository's directory.
    pub(crate) manifest: &'static str,
    pub(crate) name: &'static str,
    pub(crate) profile: &'static str,
    /// Whether it keeps its shared libraries: some have no static ones.
    pub(crate) shared: bool,
}

/// The command.
pub(crate) const COMMAND: Program =
    Program { manifest: "crates/cli/Cargo.toml", name: "bpfweld", profile: "dist", shared: false };

/// Flags of the compiler: symbols that tell apart the instances of a generic function, by names that are of its types
/// and not of hashes.
const NAMES: &str = "-C symbol-mangling-version=v0";

/// Flag of the linker: what is to be added to addresses when the program starts is listed in bits (`DT_RELR`), not 24 bytes
/// each.
const RELR: &str = "-z,pack-relative-relocs";

/// Builds a program below `target`, and tells where it is.
pub(crate) fn build(root: &Path, program: &Program, target: &Path) -> Result<PathBuf> {
    let script = order::file(root);
    let text = fs::read(&script).with_context(|| script.display().to_string())?;
    let mut hash = DefaultHasher::new();
    text.hash(&mut hash);
    fs::create_dir_all(target)?;
    // Cargo does not know that the file is read: a name for each content has it link again.
    let copy = target.canonicalize()?.join(format!("order-{:016x}.ld", hash.finish()));
    fs::write(&copy, text)?;
    cargo(root, program, target, &[format!("-T{}", copy.display())])
}

/// Builds a program, with arguments for the linker.
fn cargo(root: &Path, program: &Program, target: &Path, linker: &[String]) -> Result<PathBuf> {
    let host = host()?;
    let mut command = toolchain::cargo();
    command
        .args(["rustc", "--quiet", "--bin", program.name, "--profile", program.profile])
        .arg("--manifest-path")
        .arg(root.join(program.manifest))
        // Named, even if it is this machine's: flags are not for build scripts and macros then.
        .args(["--target", &host, "--target-dir"])
        .arg(target)
        .current_dir(root)
        .env_remove("CARGO_ENCODED_RUSTFLAGS")
        .env("RUSTFLAGS", [NAMES, if program.shared { "" } else { STATIC }].join(" "))
        .env("CARGO_PROFILE_DIST_DEBUG", "0");
    command.arg("--");
    for argument in linker.iter().map(String::as_str).chain([RELR]) {
        command.args(["-C", &format!("link-arg=-Wl,{argument}")]);
    }
    if !command.status().context("cargo cannot be run")?.success() {
        bail!(
            "{} cannot be built, see above; without shared libraries it takes libc.a (Debian: libc6-dev, \
             Fedora: glibc-static)",
            program.name
        );
    }
    // Cargo's directory for the profile that is called so.
    Ok(target.join(host).join(program.profile).join(program.name))
}

/// What this machine is called by the compiler: `x86_64-unknown-linux-gnu`.
fn host() -> Result<String> {
    let output = toolchain::rustc().arg("-vV").output().context("rustc cannot be run")?;
    let text = String::from_utf8_lossy(&output.stdout);
    let host = text.lines().find_map(|line| line.strip_prefix("host: "));
    Ok(host.context("rustc -vV names no host")?.to_owned())
}
