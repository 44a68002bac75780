//! Linking with bpfweld, as `bpfweld link` does it.

use std::fs::{self, File};
use std::io::Read as _;
use std::path::{Path, PathBuf};

use anyhow::Result;
use bpfweld::static_link::{Linker, Options};

/// Links objects into a file.
pub fn link(out: &Path, objects: &[PathBuf]) -> Result<()> {
    let mut linker = Linker::new();
    let mut bytes = Vec::new();
    for object in objects {
        bytes.clear();
        File::open(object)?.read_to_end(&mut bytes)?;
        linker.add(&object.to_string_lossy(), &bytes)?;
    }
    drop(bytes);
    Ok(fs::write(out, linker.link(&Options::default())?.bytes)?)
}
