//! Linking with bpfweld, as `bpfweld link` does it.

use std::fs::{self, File};
use std::io::Read as _;
use std::path::{Path, PathBuf};

use anyhow::Result;
use bpfweld::static_link::{Linker, Options};

/// Largest object that is read.
const MAX_OBJECT: u64 = 256 << 20;

/// Links objects into a file.
pub fn link(out: &Path, objects: &[PathBuf]) -> Result<()> {
    let mut linker = Linker::new();
    let mut bytes = Vec::new();
    for object in objects {
        bytes.clear();
        File::open(object)?.take(MAX_OBJECT).read_to_end(&mut bytes)?;
        linker.add(&object.to_string_lossy(), &bytes)?;
    }
    drop(bytes);
    Ok(fs::write(out, linker.link(&Options::default())?.bytes)?)
}
