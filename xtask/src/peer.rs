//! `cargo xtask peer-diff`, `peer-bench`, `peer-groups` and `peer-link-bench`: builds and runs the package in `xtask/peer`.
//!
//! That package is in a workspace of its own: it builds libbpf, which needs a C compiler and the
//! headers of libelf and zlib. Nobody who builds or tests bpfweld has to have them.

use std::path::Path;

use anyhow::{Context as _, Result, bail};

use crate::dist::{self, Program};
use crate::toolchain;

/// What `peer-bench` measures. It keeps its shared libraries: libelf is one.
pub(crate) const MEASURED: Program = Program {
    manifest: "xtask/peer/Cargo.toml",
    name: "bpfweld-measured",
    profile: "measured",
    shared: true,
};

/// What `peer-link-bench` measures of bpfweld.
const LINK_ONLY: Program = Program {
    manifest: "xtask/peer/Cargo.toml",
    name: "link-only",
    profile: "release",
    shared: false,
};

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
    let target = toolchain::target_dir(root).join("peer");
    // What is measured is a program of its own, built as a package would be.
    let measured = match task {
        "bench" => Some(&MEASURED),
        "link-bench" => Some(&LINK_ONLY),
        _ => None,
    };
    let measured = measured.map(|program| dist::build(root, program, &target)).transpose()?;
    let own = [&["--".to_owned(), task.to_owned()], options.arguments.as_slice()].concat();
    let status = toolchain::cargo()
        .args(["run", "--release", "--quiet", "--manifest-path"])
        .arg(root.join("xtask/peer/Cargo.toml"))
        .arg("--target-dir")
        .arg(&target)
        .args(own)
        .envs(measured.map(|path| ("BPFWELD_MEASURED", path)))
        .status()
        .context("cargo cannot be run")?;
    if !status.success() {
        bail!("peer-{task} did not end well, see above");
    }
    Ok(())
}
