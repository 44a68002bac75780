//! Why objects cannot be linked into one. Every error names the objects; those about declarations bring
//! them along as C, with the source lines that the objects know.

use std::fmt;

use bpfweld_btf::{BtfError, Endian};
use bpfweld_object::{ReadError, ReadProblem};

/// A declaration or definition in one of the objects, for messages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Declaration {
    /// The object's label.
    pub object: String,
    /// It as C, where the object has types.
    pub text: Option<String>,
    /// Source line where it is defined or used, as far as line info tells: `file:line: text`.
    pub line: Option<String>,
}

impl fmt::Display for Declaration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.object)?;
        if let Some(text) = &self.text {
            write!(f, ": `{text}`")?;
        }
        match &self.line {
            Some(line) => write!(f, " at {line}"),
            None => Ok(()),
        }
    }
}

/// Why one entry program cannot run as part of another.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ProgramMismatch {
    /// They are of different types, or attach types.
    Type,
    /// The one that is called may sleep, and the other may not.
    Sleepable,
}

impl fmt::Display for ProgramMismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Type => "a program of one type cannot run inside one of another",
            Self::Sleepable => "the second is sleepable and the first is not",
        })
    }
}

/// Objects cannot be linked into one.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LinkError {
    /// An object cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// Two inputs have the same label.
    #[error("two objects of the link are called `{0}`")]
    DuplicateLabel(String),
    /// An id that another linker gave out.
    #[error("object {0} is not part of this link")]
    ForeignInput(u32),
    /// There are no objects.
    #[error("there is nothing to link")]
    NoInput,
    /// Objects of both byte orders.
    #[error("{first} is {}, {second} is {}: objects of different byte order cannot be one", order(*.first_endian), order(*.second_endian))]
    Endian {
        /// The first object.
        first: String,
        /// Its byte order.
        first_endian: Endian,
        /// The first of the other byte order.
        second: String,
        /// Its byte order.
        second_endian: Endian,
    },
    /// Two strong definitions of one name.
    #[error("`{name}` is defined in {} and in {}", .first.object, .second.object)]
    Duplicate {
        /// The name.
        name: String,
        /// The first definition.
        first: Declaration,
        /// The second one.
        second: Declaration,
    },
    /// What is declared differs from what is defined, or from another declaration.
    #[error("`{name}` is not the same in {} and in {}: {why}", .first.object, .second.object)]
    Conflict {
        /// The name.
        name: String,
        /// The one that is defined, or else declared first.
        first: Declaration,
        /// The other one.
        second: Declaration,
        /// What differs.
        why: String,
    },
    /// Two definitions of one map differ.
    #[error("map `{name}` is not the same in {} and in {}: {field} is {first_value} and {second_value}", .first.object, .second.object)]
    Map {
        /// The map's name.
        name: String,
        /// The first difference: the member of the definition.
        field: &'static str,
        /// Its value in the first one.
        first_value: String,
        /// Its value in the second one.
        second_value: String,
        /// The definition that counts, or else the first declaration.
        first: Declaration,
        /// The other one.
        second: Declaration,
    },
    /// Licences that cannot be merged.
    #[error("{} has the licence {first_licence:?}, {} has {second_licence:?}: {why}", .first.object, .second.object)]
    Licence {
        /// One object, and its licence as C.
        first: Declaration,
        /// Its licence.
        first_licence: String,
        /// The other object, its licence as C, and the line that only one of the two licences allows.
        second: Declaration,
        /// Its licence.
        second_licence: String,
        /// Why they do not go together.
        why: String,
    },
    /// An entry program is called in a program that it cannot be part of.
    #[error("{caller} ({caller_type}) calls {callee} ({callee_type}): {why}")]
    Program {
        /// The entry program that calls, with its object.
        caller: String,
        /// Its program type (and attach type).
        caller_type: String,
        /// The entry program that is called, with its object.
        callee: String,
        /// Its program type (and attach type).
        callee_type: String,
        /// What does not go together.
        why: ProgramMismatch,
        /// The one that calls.
        first: Box<Declaration>,
        /// The one that is called.
        second: Box<Declaration>,
    },
    /// Two objects have an arena each.
    #[error(
        "{first} defines the arena `{first_map}`, {second} the arena `{second_map}`: a program has one"
    )]
    TwoArenas {
        /// One object.
        first: String,
        /// Its arena.
        first_map: String,
        /// The other object.
        second: String,
        /// Its arena.
        second_map: String,
    },
    /// Sections of one name that are not alike.
    #[error("section {section} of {first} cannot be joined with that of {second}: {why}")]
    Section {
        /// The section's name.
        section: String,
        /// The first object that has it.
        first: String,
        /// The other one.
        second: String,
        /// What differs.
        why: String,
    },
    /// A binding or renaming names something that its object does not have.
    #[error("{object} has no {what} `{name}`{}", nearest(.near))]
    Unknown {
        /// The object.
        object: String,
        /// `extern`, `function`, `symbol`.
        what: &'static str,
        /// The name.
        name: String,
        /// Names that are like it.
        near: Vec<String>,
    },
    /// A binding names no function, and it is not clear which is meant.
    #[error("{object} has several functions that could stand behind `{name}`: {}", list(.functions))]
    WhichFunction {
        /// The object.
        object: String,
        /// The extern.
        name: String,
        /// Its entry programs.
        functions: Vec<String>,
    },
    /// One extern, two bindings.
    #[error("extern `{name}` of {object} is bound twice, to {first} and to {second}")]
    BoundTwice {
        /// The object with the extern.
        object: String,
        /// The extern.
        name: String,
        /// What it was bound to first.
        first: String,
        /// And then.
        second: String,
    },
    /// Something refers to what is not part of the output.
    #[error("{object}: section {section}, offset {offset:#x}: refers to {what}")]
    Reference {
        /// The object.
        object: String,
        /// The section with the reference.
        section: String,
        /// Where in it, in bytes.
        offset: u64,
        /// What it refers to.
        what: String,
    },
    /// The types of all objects together are too many.
    #[error("the types of all objects together: {0}")]
    Types(#[from] BtfError),
    /// The output does not fit the format.
    #[error("the output is too large: {0}")]
    TooLarge(String),
    /// What was made is no object that could be read: an error of this linker.
    #[error("the output is broken ({0}); this is a fault of bpfweld, nothing was written")]
    ReadBack(#[source] Box<ReadProblem>),
    /// What was made does not say what it should: an error of this linker.
    #[error("the output is broken ({0}); this is a fault of bpfweld, nothing was written")]
    Output(String),
}

impl LinkError {
    /// The stable code, a section of `docs/errors.md`.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Read(error) => error.problem.code(),
            Self::Endian { .. } => "E0901",
            Self::Duplicate { .. } => "E0902",
            Self::Conflict { .. } => "E0903",
            Self::Map { .. } => "E0904",
            Self::Licence { .. } => "E0905",
            Self::TwoArenas { .. } => "E0906",
            Self::Section { .. } => "E0907",
            Self::Program { .. } => "E0910",
            Self::DuplicateLabel(_)
            | Self::ForeignInput(_)
            | Self::NoInput
            | Self::Unknown { .. }
            | Self::WhichFunction { .. }
            | Self::BoundTwice { .. } => "E0908",
            Self::Reference { .. }
            | Self::Types(_)
            | Self::TooLarge(_)
            | Self::ReadBack(_)
            | Self::Output(_) => "E0909",
        }
    }

    /// The declarations that it is about, in full.
    pub fn declarations(&self) -> Vec<&Declaration> {
        match self {
            Self::Duplicate { first, second, .. }
            | Self::Conflict { first, second, .. }
            | Self::Licence { first, second, .. }
            | Self::Map { first, second, .. } => vec![first, second],
            Self::Program { first, second, .. } => vec![first, second],
            _ => Vec::new(),
        }
    }

    /// What to do about it, where that can be said in general.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Duplicate { name, second, .. } => Some(format!(
                "make one of them local (--localize '{}:{name}'), weak, or rename it (--rename \
                 '{}:{name}=NEW')",
                second.object, second.object
            )),
            Self::Unknown { what: "extern", .. } => {
                Some("`bpfweld inspect OBJECT` lists its externs".to_owned())
            }
            _ => None,
        }
    }
}

/// All that stands in the way of a link; never empty.
#[derive(Debug)]
pub struct LinkErrors(pub Vec<LinkError>);

impl fmt::Display for LinkErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, error) in self.0.iter().enumerate() {
            let separator = if i == 0 { "" } else { "; " };
            write!(f, "{separator}{error}")?;
        }
        Ok(())
    }
}

impl std::error::Error for LinkErrors {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.first().and_then(|e| std::error::Error::source(e))
    }
}

impl From<LinkError> for LinkErrors {
    fn from(error: LinkError) -> Self {
        Self(vec![error])
    }
}

fn order(endian: Endian) -> &'static str {
    match endian {
        Endian::Little => "little-endian",
        Endian::Big => "big-endian",
    }
}

fn nearest(near: &[String]) -> String {
    match near {
        [] => String::new(),
        _ => format!("; did you mean {}?", list(near)),
    }
}

fn list(names: &[String]) -> String {
    names.iter().map(|n| format!("`{n}`")).collect::<Vec<_>>().join(", ")
}
