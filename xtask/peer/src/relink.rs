//! `--relink`: objects linked ahead of time, alone or in groups; libbpf loads the output, and the programs
//! are to be those of the originals.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use bpfweld::static_link::{LinkErrors, Linker, Options};

use crate::record::Side;

/// What became of a link.
pub enum Linked {
    /// The output is in this file.
    File(PathBuf),
    /// The objects cannot be one: their names clash, …
    Refused(String),
}

/// Links objects into a file of the first one's name in `dir`: libbpf makes names of maps of it.
pub fn link(objects: &[PathBuf], dir: &Path) -> Result<Linked> {
    let bytes = match bytes(objects)? {
        Ok(bytes) => bytes,
        Err(error) => return Ok(Linked::Refused(error.to_string())),
    };
    // Linked again, alone, it is the same: checked on everything that passes here.
    let mut again = Linker::new();
    again.add("output", &bytes).context("what was linked cannot be read")?;
    let again = again.link(&Options::default()).map_err(|e| anyhow::anyhow!("again: {e}"))?;
    anyhow::ensure!(again.bytes == bytes, "linked again, it differs");
    fs::create_dir_all(dir)?;
    let name = objects.first().and_then(|o| o.file_name()).context("no object")?;
    let path = dir.join(name);
    fs::write(&path, bytes)?;
    Ok(Linked::File(path))
}

fn bytes(objects: &[PathBuf]) -> Result<Result<Vec<u8>, LinkErrors>> {
    let mut linker = Linker::new();
    for object in objects {
        let bytes = fs::read(object).with_context(|| object.display().to_string())?;
        if let Err(error) = linker.add(&object.to_string_lossy(), &bytes) {
            return Ok(Err(error.into()));
        }
    }
    Ok(linker.link(&Options::default()).map(|output| output.bytes))
}

/// What changes when objects become one: where in their sections variables are, how large those sections
/// are, and whose licence it is.
pub fn without_neighbours(side: &mut Side) {
    for load in side.programs.iter_mut().filter_map(|p| p.load.as_mut()) {
        load.license.clear();
        load.maps.clear();
        for line in load.functions.iter_mut().flat_map(|f| &mut f.insns) {
            if let Some(at) = line.find(" value + ") {
                line.truncate(at);
            }
        }
    }
}

/// Groups of `size`, each object in about one, the same for the same objects.
pub fn groups(objects: &[PathBuf], size: usize) -> Vec<Vec<PathBuf>> {
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut random = |below: usize| {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % below.max(1)
    };
    (0..objects.len() / size.max(1))
        .map(|_| (0..size).map(|_| objects[random(objects.len())].clone()).collect())
        .collect()
}
