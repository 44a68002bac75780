//! `link-only OUT OBJECT…`: what `peer-link-bench` measures of bpfweld.

mod link_ours;

use std::path::PathBuf;

use anyhow::{Context as _, Result};

fn main() -> Result<()> {
    let arguments: Vec<PathBuf> = std::env::args_os().skip(1).map(PathBuf::from).collect();
    let (out, objects) = arguments.split_first().context("OUT OBJECT…")?;
    link_ours::link(out, objects)
}
