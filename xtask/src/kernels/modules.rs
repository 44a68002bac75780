//! Modules of a kernel, in the order in which they have to be loaded.
//!
//! Debian's packages do not hold `modules.dep`, which is made when they are installed; each module says
//! itself what it needs, in its section `.modinfo`.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};

/// What the guests load: a module with types of its own and, from 6.0 on, functions that programs may
/// call; interfaces to attach to.
const WANTED: &[&str] = &["nf_conntrack", "veth"];

/// A module's name and its file's contents.
pub(super) struct Module {
    pub(super) name: String,
    pub(super) bytes: Vec<u8>,
}

/// [`WANTED`] and all that they need, each behind what it needs.
pub(super) fn to_load(modules: &Path) -> Result<Vec<Module>> {
    let mut files = BTreeMap::new();
    find(&modules.join("kernel"), &mut files)?;
    let mut ordered = Vec::new();
    for name in WANTED {
        add(name, &files, &mut ordered, 0).with_context(|| format!("module {name}"))?;
    }
    Ok(ordered)
}

/// Adds a module behind those that it needs.
fn add(
    name: &str,
    files: &BTreeMap<String, PathBuf>,
    ordered: &mut Vec<Module>,
    depth: usize,
) -> Result<()> {
    if ordered.iter().any(|m| m.name == name) {
        return Ok(());
    }
    // Real chains are a handful long.
    if depth > 32 {
        bail!("modules need each other in a circle");
    }
    let file = files.get(name).with_context(|| format!("{name} is not among the modules"))?;
    let bytes = read(file)?;
    for needed in dependencies(&bytes) {
        add(&needed, files, ordered, depth + 1)?;
    }
    ordered.push(Module { name: name.into(), bytes });
    Ok(())
}

/// Files of modules by name; in names a hyphen is an underscore.
fn find(dir: &Path, files: &mut BTreeMap<String, PathBuf>) -> Result<()> {
    for entry in fs::read_dir(dir).with_context(|| dir.display().to_string())? {
        let path = entry?.path();
        if path.is_dir() {
            find(&path, files)?;
        } else if let Some(name) = path.file_name().and_then(|n| n.to_str())
            && let Some((name, _)) = name.split_once(".ko")
        {
            files.insert(name.replace('-', "_"), path);
        }
    }
    Ok(())
}

fn read(file: &Path) -> Result<Vec<u8>> {
    if file.extension().is_none_or(|e| e != "xz") {
        return fs::read(file).with_context(|| file.display().to_string());
    }
    let output = Command::new("xz").arg("-dc").arg(file).output().context("xz")?;
    if !output.status.success() {
        bail!("xz cannot decompress {}", file.display());
    }
    Ok(output.stdout)
}

/// The names behind `depends=` in a module's `.modinfo`, a section of strings that end in 0.
fn dependencies(module: &[u8]) -> Vec<String> {
    let strings = module.split(|b| *b == 0);
    let list = strings.filter_map(|s| s.strip_prefix(b"depends=")).next().unwrap_or_default();
    let list = String::from_utf8_lossy(list);
    list.split(',').filter(|n| !n.is_empty()).map(|n| n.replace('-', "_")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn needed_modules_come_first() {
        let dir = tempfile::tempdir().unwrap();
        let kernel = dir.path().join("kernel/net");
        fs::create_dir_all(&kernel).unwrap();
        for (file, text) in [
            ("nf_conntrack.ko", "\0licence=GPL\0depends=nf_defrag,lib-crc\0"),
            ("nf-defrag.ko", "\0depends=lib-crc\0"),
            ("lib-crc.ko", "\0depends=\0"),
            ("veth.ko", "\0depends=lib-crc\0"),
            ("other.ko", ""),
        ] {
            fs::write(kernel.join(file), text).unwrap();
        }
        let names: Vec<String> = to_load(dir.path()).unwrap().into_iter().map(|m| m.name).collect();
        assert_eq!(names, ["lib_crc", "nf_defrag", "nf_conntrack", "veth"]);
    }
}
