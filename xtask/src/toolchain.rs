//! The toolchain by which this is built, for what tasks build.

use std::path::{Path, PathBuf};
use std::process::Command;

/// Flags of the compiler: no shared libraries.
pub(crate) const STATIC: &str = "-C target-feature=+crt-static";

/// Cargo.
pub(crate) fn cargo() -> Command {
    tool("CARGO", "cargo")
}

/// The compiler.
pub(crate) fn rustc() -> Command {
    tool("RUSTC", "rustc")
}

/// The directory for what cargo makes.
pub(crate) fn target_dir(root: &Path) -> PathBuf {
    root.join(std::env::var_os("CARGO_TARGET_DIR").unwrap_or_else(|| "target".into()))
}

/// A program that the environment may name.
fn tool(variable: &str, name: &str) -> Command {
    Command::new(std::env::var_os(variable).unwrap_or_else(|| name.into()))
}
