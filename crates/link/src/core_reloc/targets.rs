//! The types that records are matched against: the kernel's BTF, then its modules'.

use std::fmt;
use std::sync::{Arc, OnceLock};

use bpfweld_btf::{Btf, Kind, Type, TypeId, essential_name};

/// The kernel's types. Modules are searched only where the kernel itself has no candidate.
pub struct Targets {
    kernel: Source,
    modules: OnceLock<Vec<Source>>,
    load_modules: Option<ModuleLoader>,
}

/// Fetches the modules' BTF when a type is not in the kernel's own: (name, split BTF) each.
pub type ModuleLoader = Box<dyn Fn() -> Vec<(String, Arc<Btf>)> + Send + Sync>;

impl Targets {
    /// The kernel's own BTF and that of its modules, whose base it is.
    pub fn new(kernel: Arc<Btf>, modules: Vec<(String, Arc<Btf>)>) -> Self {
        let modules: Vec<_> =
            modules.into_iter().map(|(name, btf)| Source::new(name, btf)).collect();
        Self {
            kernel: Source::new("vmlinux".into(), kernel),
            modules: OnceLock::from(modules),
            load_modules: None,
        }
    }

    /// Like [`Targets::new`], but asks for the modules only when a type makes that necessary.
    pub fn with_lazy_modules(kernel: Arc<Btf>, load: ModuleLoader) -> Self {
        Self {
            kernel: Source::new("vmlinux".into(), kernel),
            modules: OnceLock::new(),
            load_modules: Some(load),
        }
    }

    /// The kernel's own BTF.
    pub fn kernel(&self) -> &Arc<Btf> {
        &self.kernel.btf
    }

    /// What is searched, for messages.
    pub fn describe(&self) -> String {
        let kernel = format!("{} ({} types)", self.kernel.name, self.kernel.btf.type_count());
        match self.modules.get().map_or(0, Vec::len) {
            0 => kernel,
            1 => format!("{kernel} and 1 module"),
            n => format!("{kernel} and {n} modules"),
        }
    }

    /// All types that may stand for a local one: same kind (enumerations of either width count as
    /// one), same name up to the flavour.
    pub(super) fn candidates(&self, local: Type<'_>) -> Vec<Candidate<'_>> {
        let name = local.btf().bytes_at(local.name_off()).unwrap_or_default();
        let essential = essential_name(name);
        let found = self.kernel.find(local.kind(), essential);
        if !found.is_empty() {
            return found;
        }
        let load = || {
            let loaded = self.load_modules.as_ref().map_or_else(Vec::new, |load| load());
            loaded.into_iter().map(|(name, btf)| Source::new(name, btf)).collect()
        };
        let modules = self.modules.get_or_init(load);
        modules.iter().flat_map(|module| module.find(local.kind(), essential)).collect()
    }
}

impl fmt::Debug for Targets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Targets({})", self.describe())
    }
}

/// A target type that a local one is matched against.
#[derive(Clone, Copy)]
pub struct Candidate<'a> {
    source: &'a Source,
    /// The type, in [`Candidate::btf`].
    pub id: TypeId,
}

impl<'a> Candidate<'a> {
    /// The BTF that it is in.
    pub fn btf(&self) -> &'a Btf {
        &self.source.btf
    }

    pub(super) fn pointer_size(&self) -> u32 {
        self.source.pointer_size
    }
}

impl fmt::Display for Candidate<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let label = super::access::type_label(self.btf().ty(self.id));
        write!(f, "{label} ([{}] in {})", self.id.0, self.source.name)
    }
}

/// One BTF with its index.
struct Source {
    name: String,
    btf: Arc<Btf>,
    pointer_size: u32,
}

impl Source {
    fn new(name: String, btf: Arc<Btf>) -> Self {
        let pointer_size = pointer_size(btf.base().unwrap_or(&btf));
        Self { name, btf, pointer_size }
    }

    fn find(&self, kind: Kind, essential: &[u8]) -> Vec<Candidate<'_>> {
        let named = self.btf.essential(essential);
        let fitting = named.filter(|ty| same_kind(ty.kind(), kind));
        fitting.map(|ty| Candidate { source: self, id: ty.id() }).collect()
    }
}

pub(super) fn same_kind(a: Kind, b: Kind) -> bool {
    a == b || (is_enum(a) && is_enum(b))
}

pub(super) fn is_enum(kind: Kind) -> bool {
    matches!(kind, Kind::Enum | Kind::Enum64)
}

/// Bytes of a pointer in this BTF, told by the size of `long`; 8 without one. BTF itself does not
/// say, and the kernel of a 32-bit machine has 4.
fn pointer_size(btf: &Btf) -> u32 {
    let is_long = |ty: &Type<'_>| {
        let mut words = ty.name().split(' ');
        let longs = words.clone().filter(|w| *w == "long").count();
        longs == 1 && words.all(|w| matches!(w, "long" | "int" | "unsigned"))
    };
    let mut ints = btf.types().filter(|ty| ty.kind() == Kind::Int && matches!(ty.size(), 4 | 8));
    ints.find(is_long).map_or(8, |ty| ty.size())
}
