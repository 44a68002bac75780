//! `cargo xtask peer-diff`, `peer-bench`, `peer-groups` and `peer-link-bench`: builds and runs the package in `xtask/peer`.
//!
//! That package is in a workspace of its own: it builds libbpf, which needs a C compiler and the
//! headers of libelf and zlib. Nobody who builds or tests bpfweld has to have them.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};

/// Options of each task; see `xtask/peer` for what they mean.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Object files, directories to look for them in, or numbers; and options of the tool itself
    #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<String>,
}

/// The task: `diff`, `bench`, `groups` or `link-bench`.
pub(crate) fn run(root: &Path, task: &str, options: &Options) -> Result<()> {
    if !Path::new("/usr/include/libelf.h").exists() {
        bail!(
            "libbpf needs libelf's and zlib's headers (Debian: packages libelf-dev and zlib1g-dev)"
        );
    }
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or(root.join("target"), PathBuf::from);
    let cargo = |arguments: &[&str], own: &[String]| {
        Command::new(std::env::var_os("CARGO").unwrap_or("cargo".into()))
            .args(arguments)
            .args(["--quiet", "--manifest-path"])
            .arg(root.join("xtask/peer/Cargo.toml"))
            .arg("--target-dir")
            .arg(target.join("peer"))
            .args(own)
            .status()
            .context("cargo cannot be run")
    };
    // What is measured is a program of its own.
    let measured: &[&str] = match task {
        "bench" => &["build", "--profile", "measured", "--bin", "bpfweld-measured"],
        "link-bench" => &["build", "--release", "--bin", "link-only"],
        _ => &[],
    };
    if !measured.is_empty() && !cargo(measured, &[])?.success() {
        bail!("what peer-{task} measures cannot be built, see above");
    }
    let own = [&["--".to_owned(), task.to_owned()], options.arguments.as_slice()].concat();
    let status = cargo(&["run", "--release"], &own)?;
    if !status.success() {
        bail!("peer-{task} did not end well, see above");
    }
    Ok(())
}
