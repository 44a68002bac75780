//! Reading BPF object files: ELF64 relocatable files for machine `EM_BPF`.
//!
//! | module | what lives there |
//! |---|---|
//! | [`model`] | [`Object`] and its parts: what a file says, as plain data |
//! | [`program`] | program types, attach types, their names |
//! | [`sections`] | section names: which program type an entry program has |
//! | [`error`] | [`ReadError`]: what can be wrong with a file |
//! | `read` | [`Object::open`], [`Object::parse`]: the steps from bytes to [`Object`] |
//! | `contents`, `kept` | what is read on first use, and of what |
//! | `files` | [`read_files`]: many files, one after the other |
//! | `roles` | what sections are for |
//! | `elf` | sections, symbols, relocations as numbers |
//! | `file` | [`FileParts`], [`ObjectFile`]: the same for a linker that writes ELF files |
//! | `types` | what is looked up in BTF |
//! | [`insns`], [`lines`] | instructions and source lines, where the file has them |
//! | `functions`, `relocs`, `info` | functions; their references; their types and lines |
//! | `entries` | which functions are entry programs |
//! | `externs`, `data`, `maps` | the other parts of an object |
//!
//! Knows neither the linker nor the kernel.

// Bytes from outside come in here: no unchecked index, no silent cut.
#![cfg_attr(not(test), warn(clippy::indexing_slicing, clippy::cast_possible_truncation))]

mod contents;
mod data;
mod elf;
mod entries;
pub mod error;
mod externs;
mod file;
mod files;
mod functions;
mod info;
pub mod insns;
mod jump_tables;
mod kept;
pub mod lines;
mod maps;
pub mod model;
mod pointers;
pub mod program;
mod read;
mod relocs;
mod roles;
pub mod sections;
mod struct_ops;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
mod types;

pub use bpfweld_btf::Bytes;
pub use error::{ReadError, ReadProblem};
pub use file::{
    FileParts, FileReloc, FileSection, FileSymbol, ObjectFile, RelocKind, map_definition,
};
pub use files::read_files;
pub use insns::Insns;
pub use lines::{LineInfo, Lines};
pub use model::*;
pub use program::{AttachType, ProgramSpec, ProgramType};
