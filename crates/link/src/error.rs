//! Why a link was refused. Everything needed to say so well is in the variant; how it looks on a
//! terminal is the command line's business.

use std::fmt;

use bpfweld_btf::BtfError;
use bpfweld_object::ReadError;

/// A function of an instance, by name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct FunctionRef {
    /// Label of the instance.
    pub instance: String,
    /// Name of the function.
    pub function: String,
}

impl fmt::Display for FunctionRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.instance, self.function)
    }
}

/// An instruction that refers to something, and the source line that it was made from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Site {
    /// The function that it is in.
    pub function: FunctionRef,
    /// Index of the instruction in the function.
    pub insn: u32,
    /// Source file, line and column, where the object has line info.
    pub source: Option<SourceLine>,
}

/// A place in a source file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceLine {
    /// File name as the compiler wrote it.
    pub file: String,
    /// Line, from 1.
    pub line: u32,
    /// Column, from 1; 0 when unknown.
    pub column: u32,
    /// The line itself; may be empty.
    pub text: String,
}

impl Site {
    /// Are both of one source line? Never where lines are not known.
    pub fn same_line(&self, other: &Self) -> bool {
        match (&self.source, &other.source) {
            (Some(a), Some(b)) => a.line == b.line && a.file == b.file,
            _ => false,
        }
    }
}

impl fmt::Display for Site {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.source {
            Some(s) => write!(f, "{} at {}:{}:{}", self.function, s.file, s.line, s.column),
            None => write!(f, "{} at instruction {}", self.function, self.insn),
        }
    }
}

/// An extern that nothing stands behind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnresolvedExtern {
    /// Label of the instance that wants it.
    pub instance: String,
    /// Its name.
    pub name: String,
    /// `function`, `map` or `variable`.
    pub kind: &'static str,
    /// Its type as a C declaration, where BTF tells.
    pub declaration: Option<String>,
    /// Where it is referred to.
    pub sites: Vec<Site>,
    /// Functions on offer with names like it, best first, then the entry programs.
    pub nearest: Vec<FunctionRef>,
}

/// Why a link was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LinkError {
    /// Two instances under one label.
    #[error("two instances are labelled `{0}`; labels tell instances apart, so each needs its own")]
    DuplicateLabel(String),
    /// What is read of an object when it is linked is broken.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// An instance id of another link.
    #[error("instance {0} does not belong to this link")]
    ForeignInstance(u32),
    /// An object of the other byte order.
    #[error(
        "{0} is a big-endian object; this machine runs little-endian ones (compile with -target bpf or bpfel)"
    )]
    BigEndian(String),
    /// A binding of something that the instance does not want.
    #[error("{instance} has no extern `{name}`{}", if *.defined { ": it defines that function itself" } else { "" })]
    UnknownExtern {
        /// Label of the instance.
        instance: String,
        /// The name.
        name: String,
        /// Is there a function of this name in the instance itself?
        defined: bool,
        /// Externs that it does have, those of a like name first.
        nearest: Vec<String>,
    },
    /// A binding of an extern that is no function.
    #[error("extern `{name}` of {instance} is a {kind}; only functions can be bound")]
    NotAFunction {
        /// Label of the instance.
        instance: String,
        /// The extern.
        name: String,
        /// What it is.
        kind: &'static str,
    },
    /// The same extern bound twice to different functions.
    #[error("extern `{name}` of {instance} is bound twice: to {first} and to {second}")]
    BoundTwice {
        /// Label of the instance.
        instance: String,
        /// The extern.
        name: String,
        /// First binding.
        first: FunctionRef,
        /// Second binding.
        second: FunctionRef,
    },
    /// A binding to a function that is not there.
    #[error("{instance} has no function `{function}`")]
    UnknownFunction {
        /// Label of the instance.
        instance: String,
        /// The name.
        function: String,
        /// Functions that it does have, those of a like name first.
        nearest: Vec<String>,
    },
    /// A binding without a function name to an object that leaves the choice open.
    #[error(
        "which function of {instance} shall stand behind `{name}`? It has {} entry programs and no function of that name",
        .entries.len()
    )]
    NoDefaultTarget {
        /// Label of the target instance.
        instance: String,
        /// The extern.
        name: String,
        /// Its entry programs.
        entries: Vec<String>,
    },
    /// An object without an entry program where one is needed.
    #[error(
        "{instance} has no entry program (a global function in a section such as SEC(\"xdp\"))"
    )]
    NoEntry {
        /// Label of the instance.
        instance: String,
    },
    /// An object with several entry programs where one is needed.
    #[error("{instance} has {} entry programs; say which one", .entries.len())]
    SeveralEntries {
        /// Label of the instance.
        instance: String,
        /// Their names.
        entries: Vec<String>,
    },
    /// An entry program that is not there.
    #[error("{instance} has no entry program `{name}`")]
    UnknownEntry {
        /// Label of the instance.
        instance: String,
        /// The name.
        name: String,
        /// Entry programs that it does have, those of a like name first.
        nearest: Vec<String>,
    },
    /// A map that is not there.
    #[error("{instance} has no map `{name}`")]
    UnknownMap {
        /// Label of the instance.
        instance: String,
        /// The name.
        name: String,
        /// Maps that it does have, those of a like name first.
        nearest: Vec<String>,
    },
    /// Externs that nothing stands behind: all of them.
    #[error("{} unresolved: {}", count(.0.len(), "extern"), names(.0))]
    Unresolved(Vec<UnresolvedExtern>),
    /// Two strong definitions of a name that an extern asks for.
    #[error(
        "extern {kind} `{name}` of {instance} has two strong definitions: {first} and {second}"
    )]
    TwoDefinitions {
        /// `function`, `map` or `variable`.
        kind: &'static str,
        /// Label of the instance that asks.
        instance: String,
        /// The extern.
        name: String,
        /// First definition.
        first: FunctionRef,
        /// Second definition.
        second: FunctionRef,
    },
    /// Extern and target differ in type.
    #[error("extern `{name}` of {instance} and its target {target} differ in type: {reason}")]
    Mismatch {
        /// Label of the instance that asks.
        instance: String,
        /// The extern.
        name: String,
        /// The target.
        target: FunctionRef,
        /// The extern as a C declaration.
        wanted: String,
        /// The target as a C declaration.
        found: String,
        /// Which part differs.
        reason: String,
        /// The first call.
        site: Option<Box<Site>>,
    },
    /// Functions that call each other in a circle.
    #[error("recursion: {}", chain(.path))]
    Cycle {
        /// The circle; its first function is its last one too.
        path: Vec<FunctionRef>,
        /// The calls, as far as they are known.
        sites: Vec<Site>,
    },
    /// A GPL-only helper in a program that is not all GPL-compatible.
    #[error(
        "licence conflict: {function} calls {helper}, which is for GPL-compatible programs only, and {instance} is {}",
        state_licence(.licence)
    )]
    Licence {
        /// The function that calls the helper.
        function: FunctionRef,
        /// The helper.
        helper: String,
        /// Label of the instance whose licence is not GPL-compatible.
        instance: String,
        /// Its licence, if it states one.
        licence: Option<String>,
        /// The call of the helper.
        site: Option<Box<Site>>,
    },
    /// An entry program of another type than the one that it would run in.
    #[error(
        "{target} is of type {found} (SEC(\"{section}\")) and cannot run inside {entry}, which is of type {wanted}"
    )]
    ProgramType {
        /// The function.
        target: FunctionRef,
        /// Its section.
        section: String,
        /// Its type (and attach type).
        found: String,
        /// The entry program of the image.
        entry: FunctionRef,
        /// Its type (and attach type).
        wanted: String,
        /// The first call.
        site: Option<Box<Site>>,
    },
    /// Variables in an arena that another object defines, or none.
    #[error(
        "{function} uses variables in an arena (section .addr_space.1), and its object defines none; define a map of type BPF_MAP_TYPE_ARENA there, or link it ahead of time (`bpfweld link`) with the object that does"
    )]
    NoArena {
        /// The function.
        function: FunctionRef,
    },
    /// A sleepable function in a program that may not sleep.
    #[error("{target} is sleepable and {entry} is not")]
    Sleepable {
        /// The function.
        target: FunctionRef,
        /// The entry program of the image.
        entry: FunctionRef,
        /// The first call.
        site: Option<Box<Site>>,
    },
    /// The function that is to be called when the program throws cannot be found.
    #[error(
        "{function} has the tag `exception_callback:{name}`, {}",
        match other {
            Some(other) => format!("and one for `{other}`; there can be one"),
            None => format!("but its object has no global function `{name}`"),
        }
    )]
    ExceptionCallback {
        /// The entry program.
        function: FunctionRef,
        /// The name in its tag.
        name: String,
        /// The name in its second tag.
        other: Option<String>,
    },
    /// More functions than the kernel takes in one program.
    #[error("{entry} would have {count} functions; the kernel takes {limit} in one program")]
    TooManyFunctions {
        /// The entry program.
        entry: FunctionRef,
        /// How many there would be.
        count: usize,
        /// The kernel's limit.
        limit: usize,
    },
    /// A call path of more frames than the kernel takes.
    #[error("a call path of {} frames; the kernel takes {limit}: {}", .path.len(), chain(.path))]
    TooManyFrames {
        /// The path, from the entry.
        path: Vec<FunctionRef>,
        /// The kernel's limit.
        limit: usize,
    },
    /// More maps than the kernel takes in one program.
    #[error("{entry} would refer to {count} maps; the kernel takes {limit} in one program")]
    TooManyMaps {
        /// The entry program.
        entry: FunctionRef,
        /// How many there would be.
        count: usize,
        /// The kernel's limit.
        limit: usize,
    },
    /// More than one arena in one program.
    #[error(
        "{entry} would use two arenas, {first} and {second}; the kernel takes one in one program"
    )]
    TwoArenas {
        /// The entry program.
        entry: FunctionRef,
        /// First arena, as `instance:map`.
        first: String,
        /// Second arena.
        second: String,
    },
    /// More instructions than the kernel takes of any program.
    #[error("{entry} would have more than {limit} instructions")]
    TooLong {
        /// The entry program.
        entry: FunctionRef,
        /// The limit.
        limit: usize,
    },
    /// An object refers to itself in a way that reading should have refused.
    #[error("{function}: instruction {insn} refers to something that is not in the object")]
    BrokenReference {
        /// The function.
        function: FunctionRef,
        /// Index of the instruction.
        insn: u32,
    },
    /// BTF of an object that cannot be merged.
    #[error("BTF of {instance}: {source}")]
    Btf {
        /// Label of the instance.
        instance: String,
        /// What is wrong.
        source: BtfError,
    },
    /// A CO-RE relocation failed.
    #[error("{source}")]
    Core {
        /// The instruction.
        site: Box<Site>,
        /// What is wrong.
        source: crate::core_reloc::CoreError,
    },
}

impl LinkError {
    /// The stable code, a section of `docs/errors.md`.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Unresolved(_) => "E0201",
            Self::UnknownExtern { .. } => "E0202",
            Self::NotAFunction { .. } => "E0203",
            Self::BoundTwice { .. } => "E0204",
            Self::UnknownFunction { .. } => "E0205",
            Self::NoDefaultTarget { .. } => "E0206",
            Self::NoEntry { .. } => "E0207",
            Self::SeveralEntries { .. } => "E0208",
            Self::UnknownEntry { .. } => "E0209",
            Self::UnknownMap { .. } => "E0227",
            Self::TwoDefinitions { .. } => "E0210",
            Self::Mismatch { .. } => "E0211",
            Self::Cycle { .. } => "E0212",
            Self::Licence { .. } => "E0213",
            Self::ProgramType { .. } => "E0214",
            Self::Sleepable { .. } => "E0215",
            Self::ExceptionCallback { .. } => "E0216",
            Self::TooManyFunctions { .. } => "E0217",
            Self::TooManyFrames { .. } => "E0218",
            Self::TooManyMaps { .. } => "E0219",
            Self::TwoArenas { .. } => "E0220",
            Self::TooLong { .. } => "E0221",
            Self::Core { .. } => "E0222",
            Self::DuplicateLabel(_) => "E0223",
            Self::Read(error) => error.problem.code(),
            Self::BigEndian(_) => "E0224",
            Self::NoArena { .. } => "E0229",
            Self::Btf { .. } | Self::BrokenReference { .. } | Self::ForeignInstance(_) => "E0225",
        }
    }
}

fn count(n: usize, what: &str) -> String {
    format!("{n} {what}{}", if n == 1 { "" } else { "s" })
}

fn names(externs: &[UnresolvedExtern]) -> String {
    let names: Vec<_> = externs.iter().map(|e| format!("{}:{}", e.instance, e.name)).collect();
    names.join(", ")
}

fn chain(path: &[FunctionRef]) -> String {
    path.iter().map(ToString::to_string).collect::<Vec<_>>().join(" -> ")
}

fn state_licence(licence: &Option<String>) -> String {
    match licence {
        Some(l) => format!("under \"{l}\""),
        None => "without a licence (no SEC(\"license\"))".into(),
    }
}
