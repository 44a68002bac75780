//! `--relink`: objects linked ahead of time, alone or in groups; libbpf loads the output, and the programs
//! are to be those of the originals.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use bpfweld::static_link::{LinkErrors, Linker, Options};

use crate::record::{Program, Side};

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

/// Does libbpf load all of it? It loads an object as a whole: one that it does not keeps those from being
/// loaded that are one with it. Of one without programs, nothing is known.
pub fn is_loaded_whole(side: &Side) -> bool {
    // Programs of struct_ops tables go in with the table, whatever else is wanted.
    let fine = |p: &Program| {
        let load = p.load.as_ref();
        load.is_some_and(|l| l.has_btf && (l.errno == 0 || p.prog_type != STRUCT_OPS))
    };
    let opened = side.crash.is_none() && side.open_error.is_none();
    opened && !side.programs.is_empty() && side.programs.iter().all(fine)
}

/// `BPF_PROG_TYPE_STRUCT_OPS`.
const STRUCT_OPS: u32 = 27;

/// Groups of `size`, each object in about one, the same for the same objects.
pub fn groups(objects: &[PathBuf], size: usize) -> Vec<Vec<PathBuf>> {
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut random = |below: usize| {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % below.max(1)
    };
    let mut group = || {
        // No object twice.
        let mut left = objects.to_vec();
        (0..size).map(|_| left.swap_remove(random(left.len()))).collect()
    };
    (0..objects.len() / size.max(1)).map(|_| group()).collect()
}
