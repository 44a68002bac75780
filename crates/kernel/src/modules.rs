//! The types of the kernel's modules.

use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::sync::Arc;

use bpfweld_btf::{Btf, order};

use crate::running::KERNEL_BTF;
use crate::sys::{BtfInfo, ObjectKind, Sys};

/// A module of the running kernel that has types.
#[derive(Debug)]
pub(crate) struct Module {
    /// Its name, underscores for dashes.
    pub(crate) name: String,
    /// Its types, on top of the kernel's own.
    pub(crate) btf: Arc<Btf>,
    /// Its BTF object, which programs name it by. The module stays as long as a program uses it.
    pub(crate) fd: OwnedFd,
}

/// The modules that are loaded. What cannot be read is left out: what is then missing is reported as
/// such.
pub(crate) fn modules(sys: &dyn Sys, kernel: &Arc<Btf>) -> Vec<Module> {
    let mut modules = Vec::new();
    let mut id = 0;
    while let Ok(Some(next)) = sys.next_id(ObjectKind::Btf, id) {
        // The kernel gives rising ids; anything else would have no end.
        if next <= id {
            break;
        }
        id = next;
        modules.extend(module(sys, kernel, id));
    }
    modules
}

fn module(sys: &dyn Sys, kernel: &Arc<Btf>, id: u32) -> Option<Module> {
    // It may be gone by now.
    let fd = sys.fd_by_id(ObjectKind::Btf, id).ok()?;
    let BtfInfo { name, kernel: of_kernel, .. } = sys.btf_info(fd.as_fd()).ok()?;
    if !of_kernel || name == "vmlinux" {
        return None;
    }
    let path = Path::new(KERNEL_BTF).with_file_name(&name);
    let btf = Btf::parse_kernel(sys.read(&path).ok()?.into(), Some(kernel.clone())).ok()?;
    Some(Module { name, btf: Arc::new(btf), fd })
}

/// BTF of all loaded modules, on top of the kernel's own. What cannot be read or parsed is left out:
/// a type that is then missing is reported as such.
pub fn module_btfs(sys: &dyn Sys, kernel: &Arc<Btf>) -> Vec<(String, Arc<Btf>)> {
    let kernel_path = Path::new(KERNEL_BTF);
    let Some(names) = kernel_path.parent().and_then(|dir| std::fs::read_dir(dir).ok()) else {
        return Vec::new();
    };
    let mut paths: Vec<_> = names.flatten().map(|entry| entry.path()).collect();
    paths.retain(|path| path != kernel_path);
    order::sort(&mut paths);
    let read = |path: &Path| {
        let name = path.file_name()?.to_str()?.to_owned();
        let btf = Btf::parse_kernel(sys.read(path).ok()?.into(), Some(kernel.clone())).ok()?;
        Some((name, Arc::new(btf)))
    };
    paths.iter().filter_map(|path| read(path)).collect()
}
