//! BTF, the BPF type format (kernel `Documentation/bpf/btf.rst`, header `linux/btf.h`).
//!
//! | module | what lives there |
//! |---|---|
//! | [`kind`] | ids, kinds, linkages; how a record of each kind is laid out |
//! | [`read`] | [`Btf`]: a parsed, checked blob |
//! | [`view`] | [`Type`] and its members, parameters, … |
//! | [`ext`] | [`BtfExt`]: func_info, line_info and CO-RE records of `.BTF.ext` |
//! | [`build`] | [`BtfBuilder`]: BTF in the making |
//! | [`merge`] | [`SourceMap`]: copying types from parsed blobs into a builder |
//! | [`whole`] | merging whole blobs; forward declarations resolved |
//! | [`cdecl`] | types printed as C |
//! | [`compat`] | do two prototypes agree? |
//! | [`validate`] | checks beyond those of parsing |
//! | [`mod@sanitize`] | BTF for kernels that lack parts of it |
//! | `index`, `walk` | looking up names in a large blob; walking over its records |
//! | `scan`, `rising` | one pass over all records; where they start |
//! | [`order`] | sorting, with little code |
//! | `text` | strings eight bytes at a time; flavours |
//! | [`error`] | [`BtfError`] |
//!
//! Nothing here knows about ELF, the linker or the kernel: bytes and types only.

// Bytes from outside come in here: no unchecked index, no silent cut.
#![warn(clippy::indexing_slicing)]
#![cfg_attr(not(test), warn(clippy::cast_possible_truncation))]

pub mod build;
pub mod cdecl;
pub mod compat;
pub mod error;
pub mod ext;
pub mod ext_write;
pub mod gather;
#[cfg(test)]
mod hostile;
mod index;
mod intern;
pub mod kind;
pub mod merge;
pub mod order;
pub mod read;
mod rising;
pub mod sanitize;
mod scan;
pub mod strings;
#[cfg(test)]
mod testing;
mod text;
pub mod validate;
pub mod view;
mod walk;
pub mod whole;

/// Bytes that are shared instead of copied.
pub use bytes::Bytes;

pub use build::{BtfBuilder, MemberSpec};
pub use compat::{Mismatch, check_prototype};
pub use error::BtfError;
pub use ext::{BtfExt, CoreRecord, ExtSection, FuncInfo, LineRecord, LineRecords};
pub use ext_write::ExtWriter;
pub use gather::{ExtItem, Gathered, Gatherer, Item};
pub use kind::{Endian, Kind, Linkage, TypeId};
pub use merge::SourceMap;
pub use read::Btf;
pub use sanitize::{BtfFeatures, sanitize};
pub use strings::Numbered;
pub use text::{essential_name, until_zero};
pub use validate::Problem;
pub use view::{Enumerator, IntEncoding, Member, Param, SectionVar, Type};
pub use whole::{Resolved, resolve_forwards};
