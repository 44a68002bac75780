//! Facts on the running kernel that a load may need, each looked up when first wanted: configuration,
//! version, BTF, symbol addresses.

use std::io::{BufReader, Read as _};
use std::os::fd::AsRawFd as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use bpfweld_btf::{Btf, BtfError, Kind, TypeId, order};
use bpfweld_link::KconfigVar;
use bpfweld_link::kconfig::{self, KernelFacts};

use crate::error::{LoadError, SymbolProblem};
use crate::facts::parse_version;
use crate::features::{Feature, Features};
use crate::kallsyms::Symbols;
use crate::modules::{Module, modules};
use crate::sys::Sys;
use crate::wanted::Wanted;

/// Where the kernel shows its own BTF.
pub const KERNEL_BTF: &str = "/sys/kernel/btf/vmlinux";
/// Is known by what a system call handler is named.
const HAS_SYSCALL_WRAPPER: &str = "LINUX_HAS_SYSCALL_WRAPPER";
const SYSCALL_WRAPPERS: [&str; 3] = ["__x64_sys_bpf", "__arm64_sys_bpf", "__s390x_sys_bpf"];
/// A configuration has some 300 kB; whatever is longer is none.
const MAX_CONFIG: u64 = 16 << 20;

/// Why the kernel's BTF cannot be used.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum KernelBtfError {
    /// The file cannot be read.
    #[error("{}: {problem}", .path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system says.
        problem: String,
    },
    /// The file holds no BTF.
    #[error("{}: {source}", .path.display())]
    Btf {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: BtfError,
    },
}

/// The types of the running kernel, read when they are first asked for. They stay as they are.
#[derive(Clone, Default)]
pub(crate) struct KernelTypes(Arc<OnceLock<Result<Arc<Btf>, KernelBtfError>>>);

impl KernelTypes {
    pub(crate) fn get(&self, sys: &dyn Sys) -> Result<&Arc<Btf>, KernelBtfError> {
        let read = || {
            let path = Path::new(KERNEL_BTF);
            let unreadable = |e: std::io::Error| KernelBtfError::Unreadable {
                path: path.into(),
                problem: e.to_string(),
            };
            let blob = sys.read_lasting(path).map_err(unreadable)?;
            let btf = Btf::parse_kernel(blob, None).map(Arc::new);
            btf.map_err(|source| KernelBtfError::Btf { path: path.into(), source })
        };
        self.0.get_or_init(read).as_ref().map_err(Clone::clone)
    }
}

/// What is known of the running kernel.
#[derive(Default)]
pub(crate) struct Running {
    wanted: Wanted,
    config: OnceLock<Result<kconfig::Config, Vec<PathBuf>>>,
    btf: KernelTypes,
    /// Of each of [`Wanted::types`], its id in the kernel's BTF.
    found: OnceLock<Vec<Option<TypeId>>>,
    modules: OnceLock<Vec<Module>>,
    /// Of each of those that are not there, which module has it and with which id.
    found_in_modules: OnceLock<Vec<Option<(usize, TypeId)>>>,
    symbols: OnceLock<Result<Symbols, SymbolProblem>>,
}

/// A type of the kernel or of one of its modules.
#[derive(Clone, Copy, Debug)]
pub(crate) struct KernelType<'r> {
    /// Its id in `btf`.
    pub(crate) id: TypeId,
    /// The types that it is among.
    pub(crate) btf: &'r Btf,
    /// The module, if it is one's.
    pub(crate) module: Option<&'r Module>,
}

impl KernelType<'_> {
    /// The BTF object to name it by: 0 for the kernel's own.
    pub(crate) fn btf_fd(&self) -> i32 {
        self.module.map_or(0, |module| module.fd.as_raw_fd())
    }
}

impl Running {
    pub(crate) fn new(btf: KernelTypes, wanted: Wanted) -> Self {
        Self { btf, wanted, ..Self::default() }
    }

    /// A type of the kernel, looked up in the BTF given, else in that of the running kernel, then in
    /// those of its modules.
    pub(crate) fn find<'r>(
        &'r self,
        sys: &dyn Sys,
        given: Option<&'r Btf>,
        kind: Kind,
        name: &str,
    ) -> Result<Option<KernelType<'r>>, SymbolProblem> {
        let btf = self.kernel_btf(sys, given)?;
        // Modules are on top of the running kernel's types.
        let modules = || if given.is_some() { &[] } else { self.modules(sys) };
        let Some(index) = self.wanted.index(kind, name) else {
            return Ok(match btf.find(kind, name) {
                Some(ty) => Some(KernelType { id: ty.id(), btf, module: None }),
                None => modules().iter().find_map(|module| module_type(module, kind, name)),
            });
        };
        let found = self.found.get_or_init(|| btf.find_each(&self.wanted.types()));
        if let Some(id) = found.get(index).copied().flatten() {
            return Ok(Some(KernelType { id, btf, module: None }));
        }
        let in_modules = self.found_in_modules.get_or_init(|| self.find_in(modules(), found));
        let Some((at, id)) = in_modules.get(index).copied().flatten() else { return Ok(None) };
        let module = modules().get(at);
        Ok(module.map(|module| KernelType { id, btf: &module.btf, module: Some(module) }))
    }

    /// Looks for what the kernel itself does not have; the first module that has it counts.
    fn find_in(
        &self,
        modules: &[Module],
        found: &[Option<TypeId>],
    ) -> Vec<Option<(usize, TypeId)>> {
        let types = self.wanted.types();
        let mut all = vec![None; types.len()];
        let missing = types.iter().zip(found).zip(&mut all).filter(|((_, id), _)| id.is_none());
        let (names, mut places): (Vec<_>, Vec<_>) = missing.map(|((ty, _), to)| (*ty, to)).unzip();
        for (at, module) in modules.iter().enumerate() {
            for (place, id) in places.iter_mut().zip(module.btf.find_each(&names)) {
                **place = place.or(id.map(|id| (at, id)));
            }
        }
        all
    }

    /// Where [`Running::find`] looks, in words.
    pub(crate) fn searched(&self, sys: &dyn Sys, given: Option<&Btf>) -> String {
        if given.is_some() {
            return "the BTF that stands for the kernel's; of its modules there is none".into();
        }
        match self.modules(sys) {
            [] => "vmlinux; no module with BTF is loaded".into(),
            modules => {
                let names: Vec<_> = modules.iter().map(|m| m.name.as_str()).collect();
                let s = if names.len() == 1 { "" } else { "s" };
                format!("vmlinux and the module{s} {}", names.join(", "))
            }
        }
    }

    /// A type of one module.
    pub(crate) fn find_in_module(
        &self,
        sys: &dyn Sys,
        module: &str,
        kind: Kind,
        name: &str,
    ) -> Result<Option<KernelType<'_>>, SymbolProblem> {
        self.kernel_btf(sys, None)?;
        let module = self.modules(sys).iter().find(|m| m.name == module);
        Ok(module.and_then(|module| module_type(module, kind, name)))
    }

    fn modules(&self, sys: &dyn Sys) -> &[Module] {
        match self.btf.get(sys) {
            Ok(btf) => self.modules.get_or_init(|| modules(sys, btf)),
            _ => &[],
        }
    }

    /// The BTF given, else that of the running kernel.
    pub(crate) fn kernel_btf<'b>(
        &'b self,
        sys: &dyn Sys,
        given: Option<&'b Btf>,
    ) -> Result<&'b Btf, SymbolProblem> {
        match given {
            Some(btf) => Ok(btf),
            None => match self.btf.get(sys) {
                Ok(btf) => Ok(btf),
                Err(KernelBtfError::Unreadable { path, problem }) => {
                    Err(SymbolProblem::NoKernelBtf { path, problem })
                }
                Err(KernelBtfError::Btf { path, source }) => {
                    Err(SymbolProblem::NoKernelBtf { path, problem: source.to_string() })
                }
            },
        }
    }

    /// Address of a kernel symbol; `None` when there is none of that name.
    pub(crate) fn address(&self, sys: &dyn Sys, name: &str) -> Result<Option<u64>, SymbolProblem> {
        let find = || {
            let mut names = self.wanted.symbols.clone();
            if self.wanted.config.iter().any(|name| name == HAS_SYSCALL_WRAPPER) {
                names.extend(SYSCALL_WRAPPERS.map(str::to_owned));
                order::sort(&mut names);
            }
            Symbols::find(sys, &names)
        };
        match self.symbols.get_or_init(find) {
            Ok(symbols) if symbols.knows(name) => symbols.address(name),
            Ok(_) => Symbols::find(sys, &[name.to_owned()])?.address(name),
            Err(problem) => Err(problem.clone()),
        }
    }

    /// The contents of a kconfig map.
    pub(crate) fn kconfig(
        &self,
        features: &Features,
        given: Option<&kconfig::Config>,
        label: &str,
        vars: &[KconfigVar],
        size: u32,
    ) -> Result<kconfig::Values, LoadError> {
        let sys = &**features.sys();
        let wants = |name: &str| vars.iter().any(|v| v.name == name);
        let facts = KernelFacts {
            version: version(sys),
            has_bpf_cookie: wants("LINUX_HAS_BPF_COOKIE") && features.get(Feature::BpfCookie),
            has_syscall_wrapper: wants(HAS_SYSCALL_WRAPPER) && self.has_syscall_wrapper(sys),
        };
        // Who asks for nothing that may be missing gets by without a configuration.
        let from_config = |v: &&KconfigVar| v.name.starts_with("CONFIG_");
        let empty = kconfig::Config::default();
        let wanted = |name: &str| {
            wants(name) || self.wanted.config.binary_search_by(|n| n.as_str().cmp(name)).is_ok()
        };
        let config = match given {
            Some(config) => config,
            None if !vars.iter().any(|v| from_config(&v)) => &empty,
            None => match self.config.get_or_init(|| running_config(sys, wanted)) {
                Ok(config) => config,
                Err(tried) => match vars.iter().filter(from_config).find(|v| !v.weak) {
                    Some(strong) => {
                        return Err(LoadError::NoKernelConfig {
                            label: label.to_owned(),
                            name: strong.name.clone(),
                            tried: tried.clone(),
                        });
                    }
                    None => &empty,
                },
            },
        };
        kconfig::evaluate(vars, size, config, &facts)
            .map_err(|source| LoadError::Kconfig { label: label.to_owned(), source })
    }

    /// Kernels whose system call handlers take a pt_regs prefix their names by the architecture.
    fn has_syscall_wrapper(&self, sys: &dyn Sys) -> bool {
        SYSCALL_WRAPPERS
            .iter()
            // A hidden address is there all the same.
            .any(|name| !matches!(self.address(sys, name), Ok(None)))
    }
}

fn module_type<'r>(module: &'r Module, kind: Kind, name: &str) -> Option<KernelType<'r>> {
    let btf = &*module.btf;
    let id = btf.find_each(&[(kind, name)]).into_iter().next().flatten()?;
    Some(KernelType { id, btf, module: Some(module) })
}

/// What is wanted of the configuration of the running kernel, or where it was looked for.
fn running_config(
    sys: &dyn Sys,
    wants: impl Fn(&str) -> bool,
) -> Result<kconfig::Config, Vec<PathBuf>> {
    let release = sys.uname().map(|u| u.release).unwrap_or_default();
    let packed = PathBuf::from("/proc/config.gz");
    let plain = [
        PathBuf::from(format!("/boot/config-{release}")),
        PathBuf::from(format!("/lib/modules/{release}/config")),
    ];
    if let Ok(bytes) = sys.read(&packed) {
        let text = flate2::bufread::GzDecoder::new(bytes.as_slice()).take(MAX_CONFIG);
        if let Ok(config) = kconfig::Config::read(BufReader::new(text), &wants) {
            return Ok(config);
        }
    }
    for path in &plain {
        if let Ok(bytes) = sys.read(path)
            && let Ok(config) = kconfig::Config::read(bytes.as_slice(), &wants)
        {
            return Ok(config);
        }
    }
    Err(std::iter::once(packed).chain(plain).collect())
}

/// `LINUX_VERSION_CODE` of the running kernel; 0 when unknown.
pub(crate) fn version(sys: &dyn Sys) -> u32 {
    // Ubuntu's release says 4.15.0 whatever stable release it is; the truth is the last word here.
    if let Ok(signature) = sys.read(Path::new("/proc/version_signature")) {
        let signature = String::from_utf8_lossy(&signature).into_owned();
        if let Some(code) = signature.split_whitespace().next_back().and_then(parse_version) {
            return code;
        }
    }
    let Ok(uname) = sys.uname() else { return 0 };
    // Debian's too: "#1 SMP Debian 4.19.146-1 (2020-09-17)".
    if let Some((_, rest)) = uname.version.split_once("Debian ")
        && let Some(code) = parse_version(rest)
    {
        return code;
    }
    parse_version(&uname.release).unwrap_or(0)
}

/// `name` without its flavour, which tells variants of one symbol apart: what begins with the last
/// three underscores, no more, that have something before and behind them. The kernel's own names may
/// have such a part too (`scx_bpf_dsq_insert___v2`).
pub(crate) fn without_flavour(name: &str) -> &str {
    let is_flavour = |w: &[u8]| matches!(w, [a, b'_', b'_', b'_', b] if *a != b'_' && *b != b'_');
    match name.as_bytes().windows(5).rposition(is_flavour) {
        Some(at) => name.get(..=at).unwrap_or(name),
        None => name,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kallsyms::KALLSYMS;
    use crate::sys::{Command, Reply, Scripted, Uname};

    #[test]
    fn flavours() {
        for (name, plain) in [
            ("f", "f"),
            ("f___old", "f"),
            ("scx_bpf_dsq_insert___v2___compat", "scx_bpf_dsq_insert___v2"),
            ("f____x", "f____x"),
            ("___x", "___x"),
            ("f___", "f___"),
        ] {
            assert_eq!(without_flavour(name), plain, "{name}");
        }
    }

    fn kernel(release: &'static str, version: &'static str) -> Scripted {
        Scripted::new(move |command| match command {
            Command::Uname => Some(Ok(Reply::Uname(Uname {
                release: release.into(),
                version: version.into(),
                machine: "x86_64".into(),
            }))),
            _ => None,
        })
    }

    #[test]
    fn address_0_is_one_where_others_are_shown() {
        let symbols = "0000000000000000 A __per_cpu_start\nffffffff81000000 T _text\n";
        let sys = kernel("6.1.0", "").with_file(KALLSYMS, symbols);
        let running = Running::default();
        assert_eq!(running.address(&sys, "__per_cpu_start").unwrap(), Some(0));
        assert_eq!(running.address(&sys, "_text").unwrap(), Some(0xffff_ffff_8100_0000));
        assert_eq!(running.address(&sys, "_tex").unwrap(), None);
        let hidden = "0000000000000000 A __per_cpu_start\n0000000000000000 T _text\n";
        let sys = kernel("6.1.0", "").with_file(KALLSYMS, hidden);
        let problem = Running::default().address(&sys, "_text").unwrap_err();
        assert!(matches!(problem, SymbolProblem::Hidden(_)), "{problem}");
    }

    #[test]
    fn versions_of_distributions() {
        assert_eq!(version(&kernel("6.12.9-arch1", "#1 SMP")), 0x06_0c_09);
        let debian = "#1 SMP PREEMPT_DYNAMIC Debian 6.1.76-1 (2024-02-01)";
        assert_eq!(version(&kernel("6.1.0-18-amd64", debian)), 0x06_01_4c);
        let ubuntu = kernel("4.15.0-20-generic", "#21-Ubuntu SMP")
            .with_file("/proc/version_signature", "Ubuntu 4.15.0-20.21-generic 4.15.17\n");
        assert_eq!(version(&ubuntu), 0x04_0f_11);
    }

    #[test]
    fn addresses() {
        let text = "ffffffff81000000 T _text\nffffffffc0000000 t helper\t[veth]\n";
        let sys = Scripted::new(|_| None).with_file(KALLSYMS, text);
        let running = Running::default();
        assert_eq!(running.address(&sys, "_text").unwrap(), Some(0xffff_ffff_8100_0000));
        assert_eq!(running.address(&sys, "helper").unwrap(), Some(0xffff_ffff_c000_0000));
        assert_eq!(running.address(&sys, "T").unwrap(), None);
        let hidden = Scripted::new(|_| None).with_file(KALLSYMS, "0000000000000000 T _text\n");
        let running = Running::default();
        assert!(running.address(&hidden, "_text").unwrap_err().to_string().contains("kptr"));
        let running = Running::default();
        assert!(running.address(&Scripted::new(|_| None), "x").is_err());
    }

    #[test]
    fn configuration_from_boot() {
        let sys =
            kernel("6.1.0", "").with_file("/boot/config-6.1.0", "CONFIG_HZ=250\nCONFIG_B=y\n");
        let config = running_config(&sys, |name| name == "CONFIG_HZ").unwrap();
        assert_eq!((config.value("CONFIG_HZ"), config.value("CONFIG_B")), (Some("250"), None));
        let nowhere = running_config(&kernel("6.1.0", ""), |_| true).unwrap_err();
        assert_eq!(nowhere.len(), 3);
    }
}
