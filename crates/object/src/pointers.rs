//! Addresses in data: relocations that fill eight bytes of it, in definitions of maps and in tables of
//! functions.

use bpfweld_btf::Endian;

use crate::elf::{Elf, Rel, Section, Symbol, reloc_type};
use crate::error::{ReadProblem, RelocProblem};
use crate::functions::slice;

/// What is to stand in eight bytes of data.
pub(crate) struct Pointer {
    /// Whose address.
    pub(crate) symbol: Symbol,
    /// What is added to it, from the relocation or from the place itself.
    pub(crate) addend: i64,
}

/// Reads a relocation of `section` that has to be a pointer.
pub(crate) fn read(elf: &Elf<'_>, section: &Section<'_>, rel: Rel) -> Result<Pointer, ReadProblem> {
    let symbol = elf.symbol(usize::try_from(rel.symbol).unwrap_or(usize::MAX));
    let fail = |problem| failure(elf, section, rel, symbol.as_ref(), problem);
    let end = rel.offset.saturating_add(8);
    let Some(in_place) = slice(section.data, rel.offset, end) else {
        return Err(fail(RelocProblem::OutOfSection { size: section.size }));
    };
    if !reloc_type::fills_eight_bytes(rel.kind) {
        return Err(fail(RelocProblem::UnknownType(rel.kind)));
    }
    let Some(symbol) = symbol else {
        let count = elf.symbol_count();
        return Err(fail(RelocProblem::SymbolIndex { index: rel.symbol, count }));
    };
    let in_place = <[u8; 8]>::try_from(in_place).unwrap_or_default();
    let addend = rel.addend.unwrap_or_else(|| match elf.endian {
        Endian::Little => i64::from_le_bytes(in_place),
        Endian::Big => i64::from_be_bytes(in_place),
    });
    Ok(Pointer { symbol, addend })
}

/// A relocation of `section` that cannot be.
pub(crate) fn failure(
    elf: &Elf<'_>,
    section: &Section<'_>,
    rel: Rel,
    symbol: Option<&Symbol>,
    problem: RelocProblem,
) -> ReadProblem {
    ReadProblem::Reloc {
        section: section.name.to_owned(),
        offset: rel.offset,
        symbol: symbol.and_then(|s| elf.describe(s)),
        problem,
    }
}
