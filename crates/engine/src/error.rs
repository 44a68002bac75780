//! What can go wrong: when a set is loaded, when a packet cannot be run, when a program faults.

use std::fmt;

use bpfweld_link::kconfig::KconfigError;
use bpfweld_object::ProgramType;

/// Why a set cannot be loaded.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LoadError {
    /// The engine has no such programs.
    #[error(
        "program `{program}` of `{instance}`: the engine has no context for programs of type {}; \
         run it with the kernel", .kind.name()
    )]
    ProgramType {
        /// The entry function.
        program: String,
        /// Label of its instance.
        instance: String,
        /// Its type.
        kind: ProgramType,
    },
    /// An instruction is none, or none that the engine knows.
    #[error("program `{program}`, instruction {insn}: {problem}")]
    Instruction {
        /// The entry function.
        program: String,
        /// Index of the instruction slot.
        insn: usize,
        /// What is wrong with it.
        problem: String,
    },
    /// It wants something that only a kernel has.
    #[error(
        "program `{program}`: `{instance}` wants the kernel's `{symbol}`, which the engine does not \
         have; run it with the kernel"
    )]
    KernelSymbol {
        /// The entry function.
        program: String,
        /// Label of the instance that wants it.
        instance: String,
        /// The kernel function, variable or symbol.
        symbol: String,
    },
    /// A map cannot be made.
    #[error("map `{name}` of `{instance}`: {problem}")]
    Map {
        /// The map; a section name for data.
        name: String,
        /// Label of its instance.
        instance: String,
        /// What is wrong with it.
        problem: MapProblem,
    },
}

impl LoadError {
    /// The stable code, a section of `docs/errors.md`.
    pub fn code(&self) -> &'static str {
        match self {
            Self::ProgramType { .. } => "E0501",
            Self::Instruction { .. } => "E0502",
            Self::KernelSymbol { .. } => "E0503",
            Self::Map { .. } => "E0504",
        }
    }
}

/// Why a map cannot be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MapProblem {
    /// The engine has no such maps.
    #[error("the engine has no maps of type {number}{name}", number = .0, name = map_name(*.0))]
    Type(u32),
    /// The kernel would not take it either.
    #[error("{0}")]
    Definition(String),
    /// It belongs to a set that a kernel holds.
    #[error("it exists in the kernel already, where the engine cannot reach it")]
    Existing,
    /// All maps together take too much memory.
    #[error("the maps take more than the {limit} bytes that the engine is allowed")]
    Memory {
        /// Bytes.
        limit: u64,
    },
    /// Values of kconfig externs.
    #[error(transparent)]
    Kconfig(#[from] KconfigError),
}

/// Names of map types that the engine does not have (`enum bpf_map_type`).
fn map_name(map_type: u32) -> &'static str {
    match map_type {
        7 => " (stack trace)",
        8 => " (cgroup array)",
        15 => " (sockmap)",
        18 => " (sockhash)",
        19 | 21 => " (cgroup storage)",
        20 => " (reuseport sockarray)",
        24 => " (socket storage)",
        26 => " (struct_ops)",
        28 => " (inode storage)",
        29 => " (task storage)",
        31 => " (user ring buffer)",
        32 => " (cgroup storage)",
        33 => " (arena)",
        34 => " (instruction array)",
        _ => "",
    }
}

/// Why one packet could not be run. The next one may.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RunError {
    /// Shorter than an Ethernet header.
    #[error("{len} bytes are shorter than an Ethernet header (14)")]
    TooShort {
        /// Bytes.
        len: usize,
    },
    /// Longer than what the program takes.
    #[error(
        "{len} bytes are more than a program takes in one buffer ({limit}); an XDP program of \
         section `xdp.frags` takes more"
    )]
    TooLong {
        /// Bytes.
        len: usize,
        /// Bytes that fit.
        limit: usize,
    },
    /// The metadata does not fit.
    #[error(
        "{metadata} bytes of metadata: must be a multiple of 4, at most 252, and leave a packet"
    )]
    Metadata {
        /// Bytes.
        metadata: u32,
    },
}

/// Why a run ended before its program did.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Fault {
    /// Name of the program's entry function.
    pub program: String,
    /// Name of the function that faulted.
    pub function: String,
    /// Index of the instruction slot in the program.
    pub insn: u32,
    /// Where that is in the sources, if lines are known.
    pub line: Option<SourceLine>,
    /// What happened.
    pub kind: FaultKind,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { function, insn, kind, .. } = self;
        match &self.line {
            Some(line) => write!(f, "{}:{}, ", line.file, line.line)?,
            None => write!(f, "program `{}`, ", self.program)?,
        }
        write!(f, "`{function}`, instruction {insn}: {kind} ({})", kind.code())
    }
}

impl std::error::Error for Fault {}

/// A line of a source file.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SourceLine {
    /// The file as the compiler named it.
    pub file: String,
    /// Line, from 1.
    pub line: u32,
    /// Column, from 1.
    pub column: u32,
    /// Its text.
    pub text: String,
}

/// What ended a run.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FaultKind {
    /// Read or write of memory that is not the program's, or not wholly.
    #[error("{} {size} bytes at {place}", if *.write { "cannot write" } else { "cannot read" })]
    Access {
        /// Bytes wanted.
        size: u64,
        /// A write?
        write: bool,
        /// The address, in words.
        place: String,
    },
    /// A helper that the engine does not have.
    #[error("the engine does not have the helper {name}")]
    Helper {
        /// Its name, or its number.
        name: String,
    },
    /// A helper got something that the verifier would not have let through.
    #[error("{helper}: {problem}")]
    Argument {
        /// The helper.
        helper: String,
        /// What is wrong.
        problem: String,
    },
    /// A weak kernel function that is not there was called.
    #[error("the kernel function `{name}` is called, which the engine does not have")]
    KernelFunction {
        /// Its name.
        name: String,
    },
    /// More calls inside each other than there are frames.
    #[error("more than 8 functions are inside each other")]
    Frames,
    /// The budget is used up.
    #[error("the budget of {limit} instructions is used up")]
    Instructions {
        /// The budget.
        limit: u64,
    },
    /// The budget is used up.
    #[error("the budget of {limit} calls is used up")]
    Calls {
        /// The budget.
        limit: u64,
    },
    /// Control left the program.
    #[error("control leaves the program")]
    LeftProgram,
    /// No instruction that can be run.
    #[error("{0}")]
    Instruction(&'static str),
}

impl FaultKind {
    /// The stable code, a section of `docs/errors.md`.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Access { .. } => "E0601",
            Self::Helper { .. } => "E0602",
            Self::Argument { .. } => "E0603",
            Self::KernelFunction { .. } => "E0604",
            Self::Frames => "E0605",
            Self::Instructions { .. } => "E0606",
            Self::Calls { .. } => "E0607",
            Self::LeftProgram => "E0608",
            Self::Instruction(_) => "E0609",
        }
    }
}
