//! BTF, the BPF type format (kernel `Documentation/bpf/btf.rst`, header `linux/btf.h`).
//!
//! | module | what lives there |
//! |---|---|
//! | [`kind`] | ids, kinds, linkages; how a record of each kind is laid out |
//! | [`read`] | [`Btf`]: a parsed, checked blob |
//! | [`view`] | [`Type`] and its members, parameters, … |
//! | [`ext`] | [`BtfExt`]: func_info, line_info and CO-RE records of `.BTF.ext` |
//! | [`error`] | [`BtfError`] |
//!
//! Nothing here knows about ELF, the linker or the kernel: bytes and types only.

// Bytes from outside come in here: no unchecked index, no silent cut.
#![warn(clippy::indexing_slicing, clippy::cast_possible_truncation)]

pub mod error;
pub mod ext;
pub mod kind;
pub mod read;
pub mod view;

pub use error::BtfError;
pub use ext::{BtfExt, CoreRecord, ExtSection, FuncInfo, LineRecord};
pub use kind::{Endian, Kind, Linkage, TypeId};
pub use read::Btf;
pub use view::{Enumerator, IntEncoding, Member, Param, SectionVar, Type};
