//! BTF, the BPF type format (kernel `Documentation/bpf/btf.rst`, header `linux/btf.h`).
//!
//! | module | what lives there |
//! |---|---|
//! | [`read`] | [`Btf`]: a parsed, checked blob with views on its types |
//!
//! Nothing here knows about ELF, the linker or the kernel: bytes and types only.

// Bytes from outside come in here: no unchecked index, no silent cut.
#![warn(clippy::indexing_slicing, clippy::cast_possible_truncation)]

pub mod read;

pub use read::{
    Btf, BtfError, Endian, Enumerator, IntEncoding, Kind, Linkage, Member, Param, SectionVar, Type,
    TypeId,
};
