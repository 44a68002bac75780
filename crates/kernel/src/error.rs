//! Why something could not be loaded, run or pinned.

use std::io;
use std::path::PathBuf;

use bpfweld_link::kconfig::KconfigError;
use bpfweld_link::{Poisoned, Site};

use crate::features::Feature;
use crate::log::VerifierLog;
use crate::privilege::Privilege;

/// Why a set of images, or one of them, could not be loaded.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LoadError {
    /// EPERM.
    #[error("{0}")]
    Privilege(Privilege),
    /// The verifier refused a program.
    #[error("{0}")]
    Rejected(Box<Rejected>),
    /// The kernel refused a program without a word of the verifier.
    #[error("the kernel refused program `{program}` of `{instance}` before verification: {source}")]
    Program {
        /// Its entry function.
        program: String,
        /// The instance that this is from.
        instance: String,
        /// The error number.
        source: io::Error,
    },
    /// The kernel takes fewer instructions from this process. It says so before it verifies any.
    #[error(
        "program `{program}` of `{instance}` has {count} instructions; the kernel takes {limit} from a process \
         without CAP_BPF (before Linux 5.2, from any)"
    )]
    TooLong {
        /// Its entry function.
        program: String,
        /// The instance that this is from.
        instance: String,
        /// Its instructions.
        count: usize,
        /// The kernel's limit.
        limit: usize,
    },
    /// A map could not be made, filled or frozen.
    #[error("map `{map}` of `{label}`: {problem}")]
    Map {
        /// Its name in its object.
        map: String,
        /// The instance that it belongs to.
        label: String,
        /// What went wrong.
        problem: MapProblem,
    },
    /// A kconfig extern has no value.
    #[error("`{label}`: {source}")]
    Kconfig {
        /// The instance that wants it.
        label: String,
        /// The reason.
        source: KconfigError,
    },
    /// The running kernel's configuration is wanted and not to be found.
    #[error(
        "`{label}` wants `{name}` of the kernel configuration, and neither {} can be read; supply \
         the configuration as a file",
        tried.iter().map(|p| p.display().to_string()).collect::<Vec<_>>().join(" nor ")
    )]
    NoKernelConfig {
        /// The instance that wants it.
        label: String,
        /// The first extern that wants it.
        name: String,
        /// Where it was looked for.
        tried: Vec<PathBuf>,
    },
    /// A symbol of the kernel cannot be used.
    #[error("program `{program}`: `{instance}` wants kernel symbol `{symbol}`: {problem}")]
    Symbol {
        /// The program's entry function.
        program: String,
        /// The instance that wants it.
        instance: String,
        /// The symbol.
        symbol: String,
        /// The reason.
        problem: SymbolProblem,
    },
    /// What a program attaches to cannot be found, or cannot be attached to by this loader.
    #[error("program `{program}` of `{instance}`: {problem}")]
    Target {
        /// Its entry function.
        program: String,
        /// The instance that this is from.
        instance: String,
        /// The reason.
        problem: String,
    },
    /// The kernel lacks something that there is no way around.
    #[error(
        "{what} needs a kernel with {} (Linux {} has it), and the running one has not",
        feature.description(),
        feature.since()
    )]
    Unsupported {
        /// Who needs it.
        what: String,
        /// What it needs.
        feature: Feature,
    },
    /// The image contradicts itself: no linker makes such a one.
    #[error("image `{program}` is broken: {problem}")]
    Image {
        /// Its entry function.
        program: String,
        /// What is wrong with it.
        problem: String,
    },
    /// There is no image of this index.
    #[error("there is no image {index}: the set has {count}")]
    NoImage {
        /// The index asked for.
        index: usize,
        /// Number of images.
        count: usize,
    },
}

impl LoadError {
    /// The stable code, a section of `docs/errors.md`. That of a refusal by the verifier stands for all
    /// of them; which rule was broken only its log tells.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Privilege(_) => "E0301",
            Self::Program { .. } => "E0302",
            Self::Map { .. } => "E0303",
            Self::Kconfig { .. } | Self::NoKernelConfig { .. } => "E0304",
            Self::Symbol { .. } => "E0305",
            Self::Target { .. } => "E0306",
            Self::Unsupported { .. } => "E0307",
            Self::Image { .. } | Self::NoImage { .. } => "E0308",
            Self::TooLong { .. } => "E0312",
            Self::Rejected(_) => "E0400",
        }
    }
}

/// A program that the verifier refused.
#[derive(Debug)]
pub struct Rejected {
    /// Its entry function.
    pub program: String,
    /// The instance that this is from.
    pub instance: String,
    /// The error number of the load without a log.
    pub errno: io::Error,
    /// What the verifier said, whole.
    pub log: VerifierLog,
    /// What was missing, where the program came by an instruction that refers to it.
    pub poison: Option<Poisoned>,
    /// The source lines that led to the refusal, each different from the one before it; the last is
    /// where the verifier stopped. Empty when the log names no instruction.
    pub way: Vec<Site>,
}

impl std::fmt::Display for Rejected {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { program, instance, errno, log, poison, .. } = self;
        write!(f, "the verifier refused program `{program}` of `{instance}`: ")?;
        if let Some(poison) = poison {
            return write!(f, "{}", poison.reason);
        }
        match log.reason() {
            // One line of the log; whoever shows the error has the rest.
            Some(reason) => {
                let cut = reason.char_indices().nth(160).map_or(reason.len(), |(at, _)| at);
                write!(f, "{} ({errno})", reason.get(..cut).unwrap_or(reason))
            }
            None => write!(f, "{errno}"),
        }
    }
}

impl LoadError {
    /// The verifier's log, if there is one.
    pub fn log(&self) -> Option<&VerifierLog> {
        match self {
            Self::Rejected(rejected) => Some(&rejected.log),
            _ => None,
        }
    }
}

/// What went wrong with a map.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MapProblem {
    /// A system call failed.
    #[error("the kernel refused to {step} it: {source}{hint}")]
    Call {
        /// What was tried: make, fill, freeze, …
        step: &'static str,
        /// The error number.
        source: io::Error,
        /// What may be behind it; empty or begins with a space.
        hint: String,
    },
    /// The definition makes no sense.
    #[error("{0}")]
    Definition(String),
    /// What is pinned under its name is another map.
    #[error("{} is pinned and has {difference}; unpin it or use another pin directory", path.display())]
    Pinned {
        /// Where.
        path: PathBuf,
        /// How it differs, with both definitions.
        difference: String,
    },
    /// The map that is to be used in its place is another.
    #[error("the map that is to be used has {difference}")]
    Existing {
        /// How it differs, with both definitions.
        difference: String,
    },
    /// An option is about a map that no program refers to.
    #[error("no program refers to such a map; there are: {}", there.join(", "))]
    NoSuch {
        /// The maps that there are, as `instance:map`.
        there: Vec<String>,
    },
    /// Its pin cannot be used.
    #[error("{}: {source}", path.display())]
    Pin {
        /// Where.
        path: PathBuf,
        /// The error number.
        source: io::Error,
    },
    /// A slot refers to something that is not there.
    #[error("slot {slot}: {problem}")]
    Slot {
        /// The slot.
        slot: u32,
        /// The reason.
        problem: String,
    },
}

/// Why a kernel symbol cannot be used.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum SymbolProblem {
    /// The kernel's BTF cannot be read.
    #[error("the kernel's BTF at {} cannot be read: {problem}", path.display())]
    NoKernelBtf {
        /// Where it was looked for.
        path: PathBuf,
        /// The reason.
        problem: String,
    },
    /// Not in the kernel's BTF.
    #[error(
        "no BTF has {what} of that name (searched {searched}); declare it __weak where it may be \
         missing"
    )]
    NotInBtf {
        /// "a function" or "a variable".
        what: &'static str,
        /// The kernel's BTF and those of its modules, by name.
        searched: String,
    },
    /// The kernel's is something else.
    #[error("the object declares `{declared}`, and the kernel has `{there}`")]
    Incompatible {
        /// As C.
        declared: String,
        /// As C.
        there: String,
    },
    /// More modules than an instruction can tell apart.
    #[error("the program calls functions of more than 32767 modules")]
    TooManyModules,
    /// Not in `/proc/kallsyms`.
    #[error(
        "the kernel has no symbol of that name (searched /proc/kallsyms); declare it __weak where it \
         may be missing"
    )]
    NotInKallsyms,
    /// `/proc/kallsyms` cannot be read or shows only zeros.
    #[error("{0}")]
    Hidden(String),
    /// The kernel cannot do this.
    #[error("the kernel cannot: needs {} (Linux {})", .0.description(), .0.since())]
    Unsupported(Feature),
    /// An addend where none can be.
    #[error("an offset of {0} bytes into it cannot be expressed")]
    Addend(i32),
}
