//! Linking with bpfweld, as `bpfweld link` does it.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Result;
use bpfweld::static_link::{Linker, Options};

/// Links objects into a file.
pub fn link(out: &Path, objects: &[PathBuf]) -> Result<()> {
    let mut linker = Linker::new();
    let files: Vec<_> = objects.iter().map(|path| (path.to_string_lossy(), path)).collect();
    linker.add_files(&files)?;
    drop(files);
    Ok(fs::write(out, linker.link(&Options::default())?.bytes)?)
}
