//! Reading BPF object files: ELF64 relocatable files for machine `EM_BPF`.
//!
//! | module | what lives there |
//! |---|---|
//! | [`model`] | [`Object`] and its parts: what a file says, as plain data |
//! | [`program`] | section names: which program type an entry program has |
//!
//! Knows neither the linker nor the kernel.

// Bytes from outside come in here: no unchecked index, no silent cut.
#![warn(clippy::indexing_slicing, clippy::cast_possible_truncation)]

mod elf;
pub mod error;
pub mod model;
pub mod program;
pub mod sections;

pub use error::{ReadError, ReadProblem};
pub use model::*;
pub use program::{AttachType, ProgramSpec, ProgramType};
