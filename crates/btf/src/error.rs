//! The one error type of this crate.

use crate::Kind;
use crate::validate::Problem;

/// Why a blob is no BTF that this crate can read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BtfError {
    /// The blob ends before its header or one of its sections does.
    #[error("BTF is truncated: {what} needs {need} bytes, {have} are there")]
    Truncated {
        /// What was being read.
        what: &'static str,
        /// Bytes needed.
        need: u64,
        /// Bytes there.
        have: u64,
    },
    /// The first two bytes are not the BTF magic number in either byte order.
    #[error("not BTF: magic number is {0:#06x}, not 0xeb9f")]
    Magic(u16),
    /// Unknown version.
    #[error("BTF version {0} is unknown (1 is known)")]
    Version(u8),
    /// A section of the blob lies outside it.
    #[error("BTF {what} section at {offset} of {len} bytes does not fit into the blob of {total}")]
    Section {
        /// `type` or `string`.
        what: &'static str,
        /// Its offset from the end of the header.
        offset: u64,
        /// Its length.
        len: u64,
        /// Bytes behind the header.
        total: u64,
    },
    /// The string section does not begin and end with a zero byte.
    #[error("BTF string section must begin and end with a zero byte")]
    Strings,
    /// A kind that is not among 1 to 19.
    #[error("BTF type [{id}] at {offset:#x}: kind {kind} is unknown")]
    Kind {
        /// The type.
        id: u32,
        /// Its offset in the type section.
        offset: usize,
        /// The raw kind.
        kind: u32,
    },
    /// A type id that names no type.
    #[error("BTF type [{id}]: {what} is type [{target}], but there are only {count}")]
    TypeId {
        /// The type that refers.
        id: u32,
        /// Which of its references.
        what: &'static str,
        /// The id that it refers to.
        target: u32,
        /// How many types there are.
        count: u32,
    },
    /// A string offset outside the string section.
    #[error("BTF type [{id}]: {what} has string offset {offset}, the strings end at {len}")]
    StringOffset {
        /// The type.
        id: u32,
        /// Which of its names.
        what: &'static str,
        /// The offset.
        offset: u32,
        /// Length of the string section.
        len: u32,
    },
    /// A type that makes no sense, or that the kernel does not take.
    #[error("BTF type [{id}] {kind:?} {name:?}: {problem}")]
    Invalid {
        /// The type.
        id: u32,
        /// Its kind.
        kind: Kind,
        /// Its name; empty for none.
        name: String,
        /// What is wrong with it.
        problem: Problem,
    },
    /// Something else about one type.
    #[error("BTF type [{id}]: {problem}")]
    Type {
        /// The type.
        id: u32,
        /// What is wrong with it.
        problem: String,
    },
    /// Something about a `.BTF.ext` section.
    #[error(".BTF.ext: {0}")]
    Ext(String),
}
