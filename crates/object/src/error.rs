//! Why a file is no BPF object that can be read. One enum of what went wrong with the file as a whole,
//! one each for functions, relocations, data, maps and externs.

use bpfweld_btf::BtfError;

/// A file could not be read as a BPF object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReadError {
    /// The object: what the caller called it, usually its path.
    pub object: String,
    /// What is wrong.
    pub problem: Box<ReadProblem>,
}

impl std::fmt::Display for ReadError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.object, self.problem)
    }
}

impl std::error::Error for ReadError {
    // The problem's text is part of this error's own: what comes next is behind the problem.
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.problem.source()
    }
}

/// What is wrong with a file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ReadProblem {
    /// The operating system could not read it.
    #[error("cannot be read: {text}")]
    Io {
        /// What kind of error that was.
        kind: std::io::ErrorKind,
        /// What the system said.
        text: String,
    },
    /// It is a directory.
    #[error("is a directory, not an object file")]
    Directory,
    /// It is larger than this crate takes.
    #[error("{size} bytes are too many for an object file (the limit is {limit})")]
    TooLarge {
        /// Its size in bytes.
        size: u64,
        /// The limit in bytes.
        limit: u64,
    },
    /// It has no contents.
    #[error("the file is empty")]
    EmptyFile,
    /// It does not begin as ELF files do.
    #[error("not an ELF file; compile to an object with `clang -target bpf -O2 -g -c`")]
    NotElf,
    /// An archive, as `ar` makes.
    #[error("an archive, not an object; take its objects out with `ar x` and name these")]
    Archive,
    /// What clang writes under `-flto` or `-emit-llvm`.
    #[error("LLVM bitcode, not ELF; compile without `-flto` and `-emit-llvm`")]
    Bitcode,
    /// ELF class 32.
    #[error("a 32-bit ELF file; BPF objects are 64-bit ELF")]
    Elf32,
    /// ELF for another machine.
    #[error("ELF for machine {machine}, not for BPF (247); compile with `clang -target bpf`")]
    Machine {
        /// `e_machine`.
        machine: u16,
    },
    /// An executable, shared object or core file.
    #[error("ELF {}, not a relocatable object; compile with `-c`", elf_type(*e_type))]
    NotRelocatable {
        /// `e_type`.
        e_type: u16,
    },
    /// The ELF structure itself is broken.
    #[error("malformed ELF: {0}")]
    Elf(String),
    /// There is nothing to link or load in it.
    #[error("holds no function, no map and no data: there is nothing to link")]
    Nothing,
    /// `.BTF` or `.BTF.ext` cannot be read.
    #[error("section {section}: {error}")]
    Btf {
        /// The section.
        section: &'static str,
        /// What is wrong with it.
        #[source]
        error: BtfError,
    },
    /// A section that has to have a certain form does not have it.
    #[error("section {section}: {problem}")]
    Section {
        /// Its name.
        section: String,
        /// What is wrong with it.
        problem: String,
    },
    /// A function cannot be used.
    #[error("section {section}, function {function} at {offset:#x}: {problem}")]
    Function {
        /// Section that holds it.
        section: String,
        /// Its symbol's name.
        function: String,
        /// Where it starts in the section, in bytes; of a problem with an instruction: where that is.
        offset: u64,
        /// What is wrong with it.
        problem: FunctionProblem,
    },
    /// A reference from code cannot be resolved.
    #[error("section {section}, offset {offset:#x}{}: {problem}", against(symbol.as_deref()))]
    Reloc {
        /// Section with the reference.
        section: String,
        /// Where in it, in bytes.
        offset: u64,
        /// The symbol that the relocation is against, where there is one and it has a name.
        symbol: Option<String>,
        /// What is wrong with it.
        problem: RelocProblem,
    },
    /// A variable does not fit its section, or has no place.
    #[error("section {section}, variable {variable}: {problem}")]
    Variable {
        /// Section that should hold it.
        section: String,
        /// Its name.
        variable: String,
        /// What is wrong with it.
        problem: VariableProblem,
    },
    /// A map definition makes no sense.
    #[error("map {map}{}: {problem}", member_of(member.as_deref()))]
    Map {
        /// The map; an inner map definition is called after its outer one (`outer.inner`).
        map: String,
        /// The member of its definition, where the problem is with one.
        member: Option<String>,
        /// What is wrong with it.
        problem: MapProblem,
    },
    /// More externs than any program could use.
    #[error("the object has more than {limit} undefined symbols")]
    TooManyExterns {
        /// The limit.
        limit: usize,
    },
    /// An extern is of a type that its section does not allow.
    #[error("extern {name}: {problem}")]
    Extern {
        /// Its name.
        name: String,
        /// What is wrong with it.
        problem: ExternProblem,
    },
}

impl ReadProblem {
    /// The stable code, a section of `docs/errors.md`.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Io { .. } | Self::Directory | Self::TooLarge { .. } => "E0101",
            Self::EmptyFile
            | Self::NotElf
            | Self::Archive
            | Self::Bitcode
            | Self::Elf32
            | Self::Machine { .. } => "E0102",
            Self::NotRelocatable { .. } => "E0103",
            Self::Elf(_) => "E0104",
            Self::Nothing => "E0105",
            Self::Btf { .. } => "E0106",
            Self::Section { .. } => "E0107",
            Self::Function { .. } => "E0108",
            Self::Reloc { .. } => "E0109",
            Self::Variable { .. } => "E0110",
            Self::Map { .. } => "E0111",
            Self::TooManyExterns { .. } => "E0112",
            Self::Extern { .. } => "E0113",
        }
    }
}

/// What is wrong with a function.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FunctionProblem {
    /// No code.
    #[error(
        "it has no instructions (a function that ends in undefined behaviour compiles to none)"
    )]
    NoInstructions,
    /// Start or size are no multiple of an instruction's 8 bytes.
    #[error("its size of {size} bytes or its start is not a multiple of 8")]
    Unaligned {
        /// `st_size`.
        size: u64,
    },
    /// It does not lie in its section.
    #[error("it ends at {end:#x}, behind the end of the section at {section_end:#x}")]
    OutOfSection {
        /// Where it ends.
        end: u64,
        /// Where the section ends.
        section_end: u64,
    },
    /// Two functions share code.
    #[error("it overlaps with function {0}")]
    Overlap(String),
    /// The second half of a 64-bit immediate load is missing.
    #[error("the 64-bit immediate load at its end is cut in half")]
    CutLoad,
    /// The second half of a 64-bit immediate load is another instruction.
    #[error("the second half of a 64-bit immediate load is an instruction of its own")]
    BadLoad,
    /// Too many functions for one object, or too many names for one piece of code.
    #[error("the object has more than 65536 functions, or more than 64 names for this one")]
    TooMany,
    /// Too much code for one object.
    #[error("the functions of this object have more than {limit} instructions")]
    TooLong {
        /// The limit.
        limit: usize,
    },
}

/// What is wrong with a reference from code.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RelocProblem {
    /// The relocation's offset is outside the section that it is for.
    #[error("the relocation lies outside its section of {size:#x} bytes")]
    OutOfSection {
        /// Size of the section.
        size: u64,
    },
    /// The offset is not that of an instruction.
    #[error("the relocation is not at the start of an instruction")]
    Unaligned,
    /// It is on the second slot of a 64-bit immediate load.
    #[error("the relocation is in the middle of a 64-bit immediate load")]
    MiddleOfLoad,
    /// The instruction takes no relocation of this type.
    #[error("a relocation of type {kind} does not fit the instruction there (opcode {code:#04x})")]
    WrongInstruction {
        /// The relocation type.
        kind: u32,
        /// The instruction's opcode.
        code: u8,
    },
    /// The type is none of the BPF ABI's.
    #[error("relocation type {0} is unknown")]
    UnknownType(u32),
    /// Two relocations for one place.
    #[error("there are two relocations for this place")]
    Twice,
    /// The symbol table has no such symbol.
    #[error("symbol {index} is out of range, there are only {count}")]
    SymbolIndex {
        /// Index in the relocation.
        index: u32,
        /// Symbols there are.
        count: usize,
    },
    /// The symbol is nothing that can be referred to: no name and no section.
    #[error("the symbol is undefined and has no name")]
    NoSymbol,
    /// The symbol is absolute or in a reserved section.
    #[error("the symbol is in no section of this file")]
    NoSection,
    /// A tentative definition (`-fcommon`).
    #[error("it is a common symbol; compile with -fno-common, or give it an initial value")]
    Common,
    /// The place referred to is in a section that is neither code, data nor maps.
    #[error("section {0} holds neither code, maps nor variables that a program can refer to")]
    WrongSection(String),
    /// A call or a function's address leads where no function begins.
    #[error("it leads to {offset:#x} in section {section}, where no function begins")]
    NoFunction {
        /// The section referred to.
        section: String,
        /// Where in it, in bytes.
        offset: i64,
    },
    /// A call of something that is no code.
    #[error("it calls {0}, which is not a function")]
    CallOfData(String),
    /// A map's address with an offset, or a place in `.maps` where no map begins.
    #[error("it leads to {offset:#x} in section {section}, where no map begins")]
    NoMap {
        /// The section referred to.
        section: String,
        /// Where in it, in bytes.
        offset: i64,
    },
    /// The address of a variable is outside its section.
    #[error("it leads to {offset:#x} in section {section} of {size:#x} bytes")]
    OutOfData {
        /// The section referred to.
        section: String,
        /// Where in it, in bytes.
        offset: i64,
        /// Its size in bytes.
        size: u64,
    },
    /// A jump table is not one of the function's.
    #[error("the jump table {0}")]
    JumpTable(&'static str),
    /// A call of an extern with an offset.
    #[error("a call of an extern cannot lead {0} slots behind its start")]
    ExternOffset(i64),
    /// The instruction refers to something by a number that only a running system could give, and
    /// there is no relocation that says what is meant.
    #[error("the instruction refers to {0} by number, without a relocation that names it")]
    ByNumber(&'static str),
}

/// What is wrong with a variable.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum VariableProblem {
    /// It does not lie in its section.
    #[error("{size} bytes at {offset:#x} do not fit into the section of {section_size:#x} bytes")]
    OutOfSection {
        /// Where it starts, in bytes.
        offset: u64,
        /// Its size in bytes.
        size: u64,
        /// The section's size in bytes.
        section_size: u64,
    },
    /// A tentative definition (`-fcommon`).
    #[error("it is a common symbol; compile with -fno-common, or give it an initial value")]
    Common,
}

/// What is wrong with a map definition.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MapProblem {
    /// The variable is no struct.
    #[error("it is defined by {0}, not by a struct")]
    NotAStruct(String),
    /// The struct has a member that means nothing.
    #[error("no such member is known in a map definition")]
    UnknownMember,
    /// The member is not of the form that its name wants.
    #[error("it must be {want}, and is {found}")]
    Shape {
        /// What it has to look like.
        want: &'static str,
        /// What it looks like.
        found: String,
    },
    /// The number does not fit.
    #[error("{0} is out of range")]
    Range(u64),
    /// Two statements about one thing contradict each other.
    #[error("{one} here, but {other} by another member")]
    Conflict {
        /// What this member says.
        one: u64,
        /// What the other says.
        other: u64,
    },
    /// The type of key or value has no size.
    #[error("{0} has no size")]
    NoSize(String),
    /// No `type` member.
    #[error("the definition names no map type")]
    NoType,
    /// Only maps of maps and prog arrays have initial values.
    #[error("a map of this type has no initial values")]
    NoValues,
    /// Maps of maps nest once.
    #[error("an inner map cannot be a map of maps, nor be pinned")]
    Inner,
    /// A slot refers to something that does not belong there.
    #[error("slot {slot}: {problem}")]
    Slot {
        /// The slot.
        slot: u64,
        /// What is wrong.
        problem: &'static str,
    },
    /// A record of an old-style definition is cut.
    #[error("its record of {0} bytes is shorter than the 20 bytes of `struct bpf_map_def`")]
    ShortRecord(u64),
}

/// What is wrong with an extern.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ExternProblem {
    /// Not one of the types that a kconfig value can have.
    #[error(
        "type {0} is none that a kconfig value can have: bool, enum libbpf_tristate, char, an \
         integer of 1, 2, 4 or 8 bytes, or an array of char"
    )]
    KconfigType(String),
}

fn elf_type(e_type: u16) -> &'static str {
    match e_type {
        2 => "executable",
        3 => "shared object",
        4 => "core file",
        _ => "file of an unknown type",
    }
}

fn against(symbol: Option<&str>) -> String {
    symbol.map(|s| format!(", symbol {s}")).unwrap_or_default()
}

fn member_of(member: Option<&str>) -> String {
    member.map(|m| format!(", member {m}")).unwrap_or_default()
}
