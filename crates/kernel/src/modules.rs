//! The types of the kernel's modules.

use std::path::Path;
use std::sync::Arc;

use bpfweld_btf::Btf;

use crate::running::KERNEL_BTF;
use crate::sys::Sys;

/// BTF of all loaded modules, on top of the kernel's own. What cannot be read or parsed is left out:
/// a type that is then missing is reported as such.
pub fn module_btfs(sys: &dyn Sys, kernel: &Arc<Btf>) -> Vec<(String, Arc<Btf>)> {
    let kernel_path = Path::new(KERNEL_BTF);
    let Some(names) = kernel_path.parent().and_then(|dir| std::fs::read_dir(dir).ok()) else {
        return Vec::new();
    };
    let mut paths: Vec<_> = names.flatten().map(|entry| entry.path()).collect();
    paths.retain(|path| path != kernel_path);
    paths.sort();
    let read = |path: &Path| {
        let name = path.file_name()?.to_str()?.to_owned();
        let btf = Btf::parse_split(&sys.read(path).ok()?, kernel.clone()).ok()?;
        Some((name, Arc::new(btf)))
    };
    paths.iter().filter_map(|path| read(path)).collect()
}
