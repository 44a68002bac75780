//! What the running kernel can do, found out by trying.
//!
//! A [`Feature`] is probed when it is first asked for and remembered; any can be forced on or off, so
//! that every fallback can be tested on a new kernel. The probes are in `probes.rs`. The kernel
//! versions here are documentation: nothing compares them.
//!
//! To add a feature: a line in the table below and an arm in `probes.rs`.

use std::io;
use std::sync::{Arc, Mutex, Once, OnceLock, PoisonError};

use bpfweld_btf::Btf;

use crate::probes;
use crate::running::{KernelBtfError, KernelTypes};
use crate::sys::Sys;

macro_rules! features {
    ($($(#[$doc:meta])* $variant:ident = $name:literal, $since:literal, $what:literal;)*) => {
        /// Something that a kernel may or may not be able to do.
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
        #[non_exhaustive]
        pub enum Feature {
            $(#[doc = $what] #[doc = concat!("(Linux ", $since, ").")] $variant,)*
        }

        impl Feature {
            /// All features, in the order in which they are shown.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// Short name, for options and output.
            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }

            /// What it is, in a few words.
            pub fn description(self) -> &'static str {
                match self { $(Self::$variant => $what,)* }
            }

            /// The release of Linux that brought it. For people; no decision hangs on it.
            pub fn since(self) -> &'static str {
                match self { $(Self::$variant => $since,)* }
            }
        }
    };
}

features! {
    Bpf = "bpf", "3.18", "bpf(2) is there and permitted";
    Btf = "btf", "4.18", "type information (BTF)";
    BtfFunc = "btf-func", "5.0", "functions and prototypes in BTF";
    BtfDatasec = "btf-datasec", "5.2", "variables and data sections in BTF";
    BtfFuncGlobal = "btf-func-global", "5.6", "linkage of functions in BTF";
    BtfFloat = "btf-float", "5.13", "floating point numbers in BTF";
    BtfDeclTag = "btf-decl-tag", "5.16", "declaration tags in BTF";
    BtfTypeTag = "btf-type-tag", "5.17", "type tags in BTF";
    BtfEnum64 = "btf-enum64", "6.0", "64-bit enumerations in BTF";
    BtfEnumKflag = "btf-enum-kflag", "6.0", "signed enumerations in BTF";
    BtfTagKflag = "btf-tag-kflag", "6.15", "arbitrary attributes as tags in BTF";
    FuncInfo = "func-info", "5.0", "function and line info with a program";
    Names = "names", "4.15", "names of programs and maps";
    ExpectedAttachType = "expected-attach-type", "4.17", "attach type stated when a program is loaded";
    GlobalData = "global-data", "5.2", "global variables: direct access to an array's value";
    MmapableArray = "mmapable-array", "5.5", "arrays that can be mapped into memory";
    MapFreeze = "map-freeze", "5.2", "maps that are read-only to programs, and frozen";
    BpfCalls = "bpf-calls", "4.16", "calls between BPF functions";
    GlobalFunctions = "global-functions", "5.6", "functions verified one by one";
    ArgCtxTag = "arg-ctx-tag", "6.8", "tagged context arguments of global functions";
    FuncPointers = "func-pointers", "5.13", "BPF functions as callbacks";
    BpfLoop = "bpf-loop", "5.17", "loops by callback (bpf_loop)";
    Kfuncs = "kfuncs", "5.16", "calls of kernel functions";
    Extensions = "extensions", "5.6", "programs that replace functions of others (freplace)";
    MixedTailCalls = "mixed-tail-calls", "5.10", "tail calls from BPF functions";
    XdpFrags = "xdp-frags", "5.18", "XDP programs that take packets in several buffers";
    XdpDevBound = "xdp-dev-bound", "6.3", "XDP programs bound to an interface, whose driver answers them";
    XdpLoadBytes = "xdp-load-bytes", "5.18", "helpers that copy bytes of a packet in XDP programs";
    Sleepable = "sleepable", "5.14", "programs that may sleep";
    TestRunXdp = "test-run-xdp", "4.12", "test runs of XDP programs";
    TestRunSkb = "test-run-skb", "4.12", "test runs of classifiers and socket filters";
    TestRunContext = "test-run-context", "5.15", "test runs of XDP programs with metadata";
    BpfLink = "bpf-link", "5.7", "attachment by BPF link";
    MemcgAccounting = "memcg-accounting", "5.11", "memory charged to the cgroup, not to RLIMIT_MEMLOCK";
    FdArray = "fd-array", "5.14", "maps named by their place in an array of fds";
    KernelCore = "kernel-core", "5.17", "CO-RE relocation by the kernel";
    RingBuffer = "ring-buffer", "5.8", "ring buffer maps";
    Arena = "arena", "6.9", "arenas: memory shared with user space";
    FarOffsets = "far-offsets", "7.0", "addresses of 512 MiB and more behind a map's start";
    JumpTables = "jump-tables", "6.19", "jumps through tables of instructions";
    BpfCookie = "bpf-cookie", "5.15", "cookies of attachments";
    UprobeMulti = "uprobe-multi", "6.6", "many uprobes attached at once";
    IsaV2 = "isa-v2", "4.14", "instruction set v2: all comparisons";
    IsaV3 = "isa-v3", "5.1", "instruction set v3: 32-bit jumps";
    IsaV4 = "isa-v4", "6.6", "instruction set v4: sign extension, long jumps";
}

/// What every kernel since 5.11 has, and one probe shows of all: most loads want to know most of it.
pub(crate) const TOGETHER: [Feature; 9] = [
    Feature::Bpf,
    Feature::Btf,
    Feature::BtfFunc,
    Feature::BtfDatasec,
    Feature::BtfFuncGlobal,
    Feature::FuncInfo,
    Feature::Names,
    Feature::ExpectedAttachType,
    Feature::MemcgAccounting,
];

impl Feature {
    /// The feature of this [`name`](Self::name).
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|f| f.name() == name)
    }

    /// What it rests on: without that, the kernel is not asked.
    pub fn requires(self) -> Option<Self> {
        Some(match self {
            Self::Bpf => return None,
            Self::BtfFunc
            | Self::BtfDatasec
            | Self::BtfFloat
            | Self::BtfTypeTag
            | Self::BtfEnum64
            | Self::BtfEnumKflag => Self::Btf,
            Self::BtfDeclTag => Self::BtfDatasec,
            Self::BtfTagKflag => Self::BtfTypeTag,
            Self::BtfFuncGlobal | Self::FuncInfo => Self::BtfFunc,
            Self::GlobalFunctions => Self::BtfFuncGlobal,
            Self::ArgCtxTag | Self::Extensions => Self::GlobalFunctions,
            Self::FuncPointers | Self::MixedTailCalls | Self::KernelCore => Self::FuncInfo,
            Self::BpfLoop => Self::FuncPointers,
            Self::Kfuncs => Self::FdArray,
            Self::UprobeMulti => Self::BpfLink,
            Self::FarOffsets => Self::Arena,
            Self::TestRunContext => Self::TestRunXdp,
            _ => Self::Bpf,
        })
    }

    fn index(self) -> usize {
        self as usize
    }
}

impl std::fmt::Display for Feature {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

/// What is known of a feature.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Support {
    /// The probe succeeded.
    Present,
    /// The kernel refused the probe; with its error number.
    Absent(i32),
    /// The kernel refused it with EPERM: it may be there, but not for this process.
    Denied,
    /// Not asked, because [`Feature::requires`] is missing.
    Missing(Feature),
    /// Set by [`Features::force`].
    Forced(bool),
}

impl Support {
    /// Can it be used?
    pub fn usable(self) -> bool {
        matches!(self, Self::Present | Self::Forced(true))
    }
}

/// The features of one kernel, probed as they are asked for. Shared between threads; two that ask for
/// the same feature at once may both probe it.
pub struct Features {
    sys: Arc<dyn Sys>,
    known: Mutex<[Option<Support>; Feature::ALL.len()]>,
    memlock: Once,
    together: OnceLock<()>,
    types: KernelTypes,
}

impl std::fmt::Debug for Features {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Features").field("known", &*self.lock()).finish_non_exhaustive()
    }
}

impl Features {
    /// The features of the kernel behind `sys`. Nothing is probed yet.
    pub fn new(sys: Arc<dyn Sys>) -> Self {
        Self {
            sys,
            known: Mutex::new([None; Feature::ALL.len()]),
            memlock: Once::new(),
            together: OnceLock::new(),
            types: KernelTypes::default(),
        }
    }

    /// The kernel's own types.
    ///
    /// # Errors
    ///
    /// The kernel does not show them, or what it shows cannot be read.
    pub fn kernel_btf(&self) -> Result<Arc<Btf>, KernelBtfError> {
        self.types.get(&*self.sys).cloned()
    }

    pub(crate) fn kernel_types(&self) -> &KernelTypes {
        &self.types
    }

    /// The kernel that is asked.
    pub fn sys(&self) -> &Arc<dyn Sys> {
        &self.sys
    }

    /// Says what a feature is, whatever the kernel can do.
    pub fn force(&self, feature: Feature, usable: bool) {
        self.set(feature, Support::Forced(usable));
    }

    /// Can it be used?
    pub fn get(&self, feature: Feature) -> bool {
        self.support(feature).usable()
    }

    /// Can it be used, and if not, why?
    pub fn support(&self, feature: Feature) -> Support {
        if let Some(known) = self.known(feature) {
            return known;
        }
        if TOGETHER.contains(&feature) {
            self.together.get_or_init(|| self.probe_together());
            if let Some(known) = self.known(feature) {
                return known;
            }
        }
        let found = self.find_out(feature);
        self.set(feature, found);
        found
    }

    /// Has a probe shown all of what every kernel since 5.11 has and most loads want to know of? It tells whoever asks
    /// this kernel next, with [`take_for_usual`](Self::take_for_usual).
    pub fn usual(&self) -> bool {
        TOGETHER.iter().all(|feature| self.known(*feature) == Some(Support::Present))
    }

    /// Takes it that this kernel has all of what [`usual`](Self::usual) asks about, as a probe has shown before,
    /// but for what is known already. Where this process lacks a privilege, what it asks for is refused.
    pub fn take_for_usual(&self) {
        for feature in TOGETHER.into_iter().filter(|feature| self.known(*feature).is_none()) {
            self.set(feature, Support::Present);
        }
    }

    fn known(&self, feature: Feature) -> Option<Support> {
        self.lock().get(feature.index()).copied().flatten()
    }

    /// Where one probe succeeds that needs all of [`TOGETHER`], they are there. Where it does not, each is
    /// asked for by itself.
    fn probe_together(&self) {
        let known = TOGETHER.map(|feature| self.known(feature));
        let missing = known.iter().flatten().any(|support| !support.usable());
        if missing || probes::together(&*self.sys).is_err() {
            return;
        }
        self.take_for_usual();
    }

    /// Probes everything that is not known yet and returns all, in the order of [`Feature::ALL`].
    pub fn all(&self) -> Vec<(Feature, Support)> {
        Feature::ALL.iter().map(|&f| (f, self.support(f))).collect()
    }

    fn find_out(&self, feature: Feature) -> Support {
        // Each requires something further up the table, so this ends.
        if let Some(base) = feature.requires()
            && !self.get(base)
        {
            return match self.support(base) {
                Support::Denied => Support::Denied,
                _ => Support::Missing(base),
            };
        }
        let decides_memory = feature == Feature::Bpf || feature == Feature::MemcgAccounting;
        if !decides_memory {
            self.prepare_memory();
        }
        let mut result = probes::probe(&*self.sys, feature);
        // Where locked memory counts, what all processes of the user hold does; EPERM says that the limit
        // is reached, as well as that a capability is missing.
        let denied =
            |r: &io::Result<()>| r.as_ref().is_err_and(|e| e.raw_os_error() == Some(libc::EPERM));
        if decides_memory && denied(&result) && self.sys.raise_memlock().is_ok() {
            result = probes::probe(&*self.sys, feature);
        }
        match result {
            Ok(()) => Support::Present,
            Err(e) => match e.raw_os_error() {
                Some(libc::EPERM) => Support::Denied,
                errno => Support::Absent(errno.unwrap_or(0)),
            },
        }
    }

    /// Raises the limit on locked memory, once, where the kernel charges BPF objects to it. A
    /// failure is no error here: whether the limit is too low will show.
    pub(crate) fn prepare_memory(&self) {
        self.memlock.call_once(|| {
            if !self.get(Feature::MemcgAccounting) {
                let _: io::Result<()> = self.sys.raise_memlock();
            }
        });
    }

    fn set(&self, feature: Feature, support: Support) {
        if let Some(slot) = self.lock().get_mut(feature.index()) {
            *slot = Some(support);
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, [Option<Support>; Feature::ALL.len()]> {
        // A panic elsewhere cannot leave the table half-written.
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::Ordering;

    use super::*;
    use crate::sys::{Command, Reply, Scripted, fake_fd};

    #[test]
    fn names_are_unique_and_lead_back() {
        for &feature in Feature::ALL {
            assert_eq!(Feature::from_name(feature.name()), Some(feature));
            assert!(feature.since().contains('.'), "{feature}");
        }
    }

    #[test]
    fn requirements_end_at_bpf() {
        for &feature in Feature::ALL {
            let mut at = feature;
            let mut steps = 0;
            while let Some(base) = at.requires() {
                at = base;
                steps += 1;
                assert!(steps < 8, "{feature} goes in circles");
            }
            assert_eq!(at, Feature::Bpf);
        }
    }

    #[test]
    fn nothing_is_there_where_bpf_is_denied() {
        let eperm = || Some(Err(io::Error::from_raw_os_error(libc::EPERM)));
        let sys = Arc::new(Scripted::new(move |_| eperm()));
        let features = Features::new(sys.clone());
        for (feature, support) in features.all() {
            assert_eq!(support, Support::Denied, "{feature}");
        }
        assert_eq!(sys.calls(), ["BtfLoad", "ProgLoad", "RaiseMemlock"], "two probes tell it all");
    }

    #[test]
    fn forcing_off_takes_along_what_rests_on_it() {
        let features = Features::new(Arc::new(Scripted::new(|_| None)));
        features.force(Feature::Bpf, true);
        features.force(Feature::Btf, false);
        assert_eq!(features.support(Feature::BtfFunc), Support::Missing(Feature::Btf));
        assert_eq!(features.support(Feature::BpfLoop), Support::Missing(Feature::FuncPointers));
        assert!(!features.get(Feature::GlobalFunctions));
    }

    #[test]
    fn a_limit_on_memory_is_no_lack_of_privilege() {
        let raised = std::sync::atomic::AtomicBool::new(false);
        let sys = Arc::new(Scripted::new(move |command| match command {
            Command::RaiseMemlock => {
                raised.store(true, Ordering::Relaxed);
                Some(Ok(Reply::Done))
            }
            Command::ProgLoad { .. } if !raised.load(Ordering::Relaxed) => {
                Some(Err(io::Error::from_raw_os_error(libc::EPERM)))
            }
            Command::ProgLoad { .. } => Some(Err(io::Error::from_raw_os_error(libc::EINVAL))),
            _ => None,
        }));
        let features = Features::new(sys.clone());
        assert_eq!(features.support(Feature::Bpf), Support::Absent(libc::EINVAL));
        assert_eq!(sys.calls(), ["BtfLoad", "ProgLoad", "RaiseMemlock", "ProgLoad"]);
    }

    #[test]
    fn one_probe_shows_what_each_shows() {
        let sys = crate::sys::RealSys;
        let each = TOGETHER.iter().map(|&feature| probes::probe(&sys, feature));
        let each: Vec<_> = each.filter_map(Result::err).collect();
        assert_eq!(probes::together(&sys).is_ok(), each.is_empty(), "{each:?}");
    }

    #[test]
    fn what_one_probe_shows_is_not_asked_for_again() {
        let sys = Arc::new(Scripted::new(|_| Some(fake_fd().map(Reply::Fd))));
        let features = Features::new(sys.clone());
        assert!(TOGETHER.into_iter().all(|feature| features.get(feature)));
        assert_eq!(sys.calls(), ["BtfLoad", "ProgLoad"]);
    }

    #[test]
    fn where_one_is_missing_each_is_asked_for() {
        let sys = Arc::new(Scripted::new(|_| None));
        let features = Features::new(sys.clone());
        features.force(Feature::BtfFunc, false);
        assert!(!features.get(Feature::Bpf));
        assert_eq!(sys.calls(), ["ProgLoad"]);
    }

    #[test]
    fn answers_are_remembered() {
        let sys = Arc::new(Scripted::new(|_| None));
        let features = Features::new(sys.clone());
        features.force(Feature::Bpf, true);
        features.force(Feature::MemcgAccounting, true);
        assert_eq!(features.support(Feature::IsaV3), Support::Absent(libc::ENOSYS));
        let calls = sys.calls().len();
        assert!(!features.get(Feature::IsaV3));
        assert_eq!(sys.calls().len(), calls);
    }

    #[test]
    fn memlock_is_raised_once_on_old_kernels_only() {
        for (memcg, raised) in [(true, 0), (false, 1)] {
            let sys = Arc::new(Scripted::new(|_| None));
            let features = Features::new(sys.clone());
            features.force(Feature::Bpf, true);
            features.force(Feature::MemcgAccounting, memcg);
            features.get(Feature::IsaV3);
            features.get(Feature::RingBuffer);
            assert_eq!(sys.count("RaiseMemlock"), raised);
        }
    }

    /// On a recent kernel, as root, what every distribution's kernel has must be found.
    #[test]
    fn real_kernel_has_the_basics() {
        let features = Features::new(Arc::new(crate::sys::RealSys));
        if features.support(Feature::Bpf) == Support::Denied {
            return crate::testing::skip("bpf(2) is not permitted");
        }
        for (feature, support) in features.all() {
            eprintln!("{:22} {support:?}", feature.name());
        }
        for feature in [
            Feature::Bpf,
            Feature::Btf,
            Feature::BtfFunc,
            Feature::BtfDatasec,
            Feature::FuncInfo,
            Feature::GlobalData,
            Feature::MapFreeze,
            Feature::GlobalFunctions,
            Feature::IsaV3,
        ] {
            assert!(features.get(feature), "{feature}: {:?}", features.support(feature));
        }
    }
}
