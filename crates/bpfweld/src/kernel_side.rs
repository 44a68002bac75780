//! The running kernel as the library's user meets it, and what of it the linker is given.

use std::path::Path;
use std::sync::{Arc, OnceLock};

use bpfweld_btf::Btf;

use bpfweld_kernel::modules::module_btfs;
use bpfweld_kernel::{
    Features, KernelBtfError, LoadError, LoadOptions, Loaded, Prepared, RealSys, Sys, load_all,
};
use bpfweld_link::core_reloc::Targets;
use bpfweld_link::{ExistingMaps, ImageSet, InstanceId, Link, LinkError};
use object::{Object as _, ObjectSection as _};

/// The running kernel: what it can do, its types, loading.
pub struct Kernel {
    features: Arc<Features>,
    targets: OnceLock<Result<Arc<Targets>, KernelBtfError>>,
}

impl Default for Kernel {
    fn default() -> Self {
        Self::new()
    }
}

impl Kernel {
    /// The kernel that this process runs on. Asks it nothing yet.
    pub fn new() -> Self {
        Self::with_sys(Arc::new(RealSys))
    }

    /// A kernel behind other system calls, for tests.
    pub fn with_sys(sys: Arc<dyn Sys>) -> Self {
        Self { features: Arc::new(Features::new(sys)), targets: OnceLock::new() }
    }

    /// What it can do: probed when first asked for, and open to being overridden.
    pub fn features(&self) -> &Arc<Features> {
        &self.features
    }

    /// The types to relocate CO-RE accesses against: its own BTF and, where a type is not in there,
    /// that of its modules.
    pub fn core_targets(&self) -> Result<Arc<Targets>, KernelBtfError> {
        let read = || {
            let sys = self.features.sys().clone();
            let btf = self.features.kernel_btf()?;
            let base = btf.clone();
            let modules = move || module_btfs(&*sys, &base);
            Ok(Arc::new(Targets::with_lazy_modules(btf, Box::new(modules))))
        };
        self.targets.get_or_init(read).clone()
    }

    /// Makes the maps of a set and has every program verified.
    pub fn load(&self, images: &ImageSet, options: &LoadOptions) -> Result<Loaded, LoadError> {
        load_all(images, &self.features, options)
    }

    /// Makes the maps of a set; the programs can then be loaded one by one.
    pub fn prepare<'a>(
        &self,
        images: &'a ImageSet,
        options: &'a LoadOptions,
    ) -> Result<Prepared<'a>, LoadError> {
        Prepared::new(images, &self.features, options)
    }
}

/// Reads BTF from a file: raw, as in `/sys/kernel/btf`, or the `.BTF` section of an ELF file, as in a
/// `vmlinux` with types.
pub fn kernel_btf(path: &Path) -> Result<Arc<Btf>, KernelBtfError> {
    let bytes = std::fs::read(path)
        .map_err(|e| KernelBtfError::Unreadable { path: path.into(), problem: e.to_string() })?;
    let section = match bytes.starts_with(b"\x7fELF") {
        true => {
            let elf = object::File::parse(&*bytes).ok();
            let data = elf.as_ref().and_then(|f| f.section_by_name(".BTF")?.data().ok());
            data.map(<[u8]>::to_vec).ok_or_else(|| KernelBtfError::Unreadable {
                path: path.into(),
                problem: "an ELF file without a .BTF section".into(),
            })?
        }
        false => bytes,
    };
    let btf = Btf::parse(&section);
    btf.map(Arc::new).map_err(|source| KernelBtfError::Btf { path: path.into(), source })
}

/// Adds an instance that is loaded already to a link: code linked from it shares its maps and data.
///
/// `images` is the set that `loaded` was made of. Instances that its externs are bound to come along.
pub fn add_loaded(
    link: &mut Link,
    label: &str,
    images: &ImageSet,
    loaded: &Loaded,
    instance: InstanceId,
) -> Result<InstanceId, LinkError> {
    let maps = |of: InstanceId| -> ExistingMaps {
        let own = loaded.maps().iter().filter(|m| m.instance() == of);
        own.map(|m| (m.name().to_owned(), m.fd().clone())).collect()
    };
    link.add_loaded(label, &images.origin, instance, maps)
}
