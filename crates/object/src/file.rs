//! An object file as its sections, symbols and relocations, checked but not interpreted: what a linker
//! that writes ELF files works on. What the parts mean for BPF is in [`crate::Object`].

use std::ops::Range;

use bpfweld_btf::{Btf, Endian, TypeId, order};
use bpfweld_insn::INSN_SIZE;

use crate::elf::{self, Elf, Place, Rel, Tables, reloc_type};
use crate::error::{ReadError, ReadProblem, RelocProblem};
use crate::maps;
use crate::model::MapDef;

/// Where the parts of an object file are in its bytes. Can be used for one file after the other.
#[derive(Debug, Default)]
pub struct FileParts {
    endian: Option<Endian>,
    sections: Vec<SectionPart>,
    /// Those of all sections, see [`FileSection::relocs`].
    pub relocs: Vec<FileReloc>,
    tables: Tables,
}

/// A section, without its file.
#[derive(Debug, Clone)]
struct SectionPart {
    name: Range<usize>,
    kind: u32,
    flags: u64,
    size: u64,
    align: u64,
    entry_size: u64,
    data: Range<usize>,
    relocs: Range<usize>,
}

/// An object file, taken apart.
#[derive(Debug, Clone, Copy)]
pub struct ObjectFile<'a> {
    bytes: &'a [u8],
    parts: &'a FileParts,
}

/// A section (ELF specification, "Sections").
#[derive(Debug, Clone)]
pub struct FileSection<'a> {
    /// Its name, which is text.
    pub name: &'a [u8],
    /// `sh_type`.
    pub kind: u32,
    /// `sh_flags`.
    pub flags: u64,
    /// Size in bytes; the length of `data`, but for `SHT_NOBITS`.
    pub size: u64,
    /// `sh_addralign` in bytes.
    pub align: u64,
    /// `sh_entsize` in bytes.
    pub entry_size: u64,
    /// Contents; empty for `SHT_NOBITS`.
    pub data: &'a [u8],
    /// Where these are in the file, in bytes.
    pub start: usize,
    /// Which of [`FileParts::relocs`] are its own, by rising offset.
    pub relocs: Range<usize>,
}

impl FileSection<'_> {
    /// Does it hold instructions?
    pub fn has_code(&self) -> bool {
        self.kind == object::elf::SHT_PROGBITS
            && self.flags & u64::from(object::elf::SHF_EXECINSTR) != 0
    }

    /// Is it part of the program (`SHF_ALLOC`)?
    pub fn is_allocated(&self) -> bool {
        self.flags & u64::from(object::elf::SHF_ALLOC) != 0
    }
}

/// A symbol (ELF specification, "Symbol Table").
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileSymbol<'a> {
    /// Its name, which is text; empty for symbols of sections.
    pub name: &'a [u8],
    /// `STT_*`.
    pub kind: u8,
    /// `STB_*`.
    pub bind: u8,
    /// `STV_*`.
    pub visibility: u8,
    /// Section that it is in; `None` when it is undefined or absolute.
    pub section: Option<u32>,
    /// Neither undefined nor in a section (`SHN_ABS`)?
    pub absolute: bool,
    /// Offset in its section, in bytes.
    pub value: u64,
    /// Size in bytes.
    pub size: u64,
}

/// A relocation of one of the types that BPF objects have (LLVM's `ELFRelocs/BPF.def`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileReloc {
    /// Where, in bytes from the start of the section.
    pub offset: u64,
    /// Index of the symbol, which exists.
    pub symbol: u32,
    /// What is patched.
    pub kind: RelocKind,
    /// What is added to the symbol's place, in bytes, wherever and in whatever unit the file has it.
    pub addend: i64,
}

/// What a relocation patches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RelocKind {
    /// The address that an `ldimm64` loads (`R_BPF_64_64`).
    LoadImm64,
    /// The distance of a call (`R_BPF_64_32`).
    Call,
    /// Eight bytes of data (`R_BPF_64_ABS64`).
    Abs64,
    /// Four bytes of data (`R_BPF_64_ABS32`).
    Abs32,
    /// Four bytes of data that no run-time linker looks at (`R_BPF_64_NODYLD32`).
    NoDyld32,
}

impl RelocKind {
    /// The relocation type's number.
    pub fn number(self) -> u32 {
        match self {
            Self::LoadImm64 => reloc_type::LD_IMM64,
            Self::Call => reloc_type::CALL,
            Self::Abs64 => reloc_type::ABS64,
            Self::Abs32 => reloc_type::ABS32,
            Self::NoDyld32 => reloc_type::NODYLD32,
        }
    }

    /// Bytes that it patches, from the relocation's place on. Of a load: both slots.
    pub fn width(self) -> u64 {
        match self {
            Self::LoadImm64 => 2 * INSN_SIZE as u64,
            Self::Call | Self::Abs64 => 8,
            Self::Abs32 | Self::NoDyld32 => 4,
        }
    }
}

impl FileParts {
    /// Takes the file apart whose contents are `bytes`; messages call it `name`. Relocations of debugging
    /// information and of `.BTF` and `.BTF.ext` are passed over.
    ///
    /// # Errors
    ///
    /// `bytes` is not a relocatable ELF file for BPF, or a relocation is out of place, of an unknown type
    /// or against a symbol that does not exist.
    pub fn read<'a>(
        &'a mut self,
        name: &str,
        bytes: &'a [u8],
    ) -> Result<ObjectFile<'a>, ReadError> {
        match self.parse(bytes) {
            Ok(()) => Ok(self.of(bytes)),
            Err(problem) => Err(ReadError { object: name.to_owned(), problem: Box::new(problem) }),
        }
    }

    /// The file that was taken apart last, with its contents.
    pub fn of<'a>(&'a self, bytes: &'a [u8]) -> ObjectFile<'a> {
        ObjectFile { bytes, parts: self }
    }

    /// [`FileParts::read`] of a file that has no name.
    pub(crate) fn parse(&mut self, bytes: &[u8]) -> Result<(), ReadProblem> {
        self.sections.clear();
        self.relocs.clear();
        let elf = Elf::parse(bytes)?;
        for index in 0..elf.symbol_count() {
            if let Some(symbol) = elf.symbol(index) {
                elf.symbol_name(&symbol)?;
            }
        }
        for (index, section) in elf.sections.iter().enumerate() {
            let from = self.relocs.len();
            if !is_described_elsewhere(section.name) {
                self.add_relocs(&elf, index, section)?;
            }
            let name = elf.name_start(section);
            self.sections.push(SectionPart {
                name: name..name.saturating_add(section.name.len()),
                kind: section.kind,
                flags: section.flags,
                size: section.size,
                align: section.align,
                entry_size: section.entry_size,
                data: section.start..section.start + section.data.len(),
                relocs: from..self.relocs.len(),
            });
        }
        self.endian = Some(elf.endian);
        self.tables = elf.tables();
        Ok(())
    }

    fn add_relocs(
        &mut self,
        elf: &Elf<'_>,
        index: usize,
        section: &elf::Section<'_>,
    ) -> Result<(), ReadProblem> {
        let from = self.relocs.len();
        let broken = |offset, symbol: u32, problem| {
            let symbol = usize::try_from(symbol).ok().and_then(|at| elf.symbol(at));
            ReadProblem::Reloc {
                section: section.name.to_owned(),
                offset,
                symbol: symbol.and_then(|s| elf.describe(&s)),
                problem,
            }
        };
        for rel in elf.unsorted_relocs(index) {
            let reloc = reloc(elf, section, rel);
            self.relocs.push(reloc.map_err(|problem| broken(rel.offset, rel.symbol, problem))?);
        }
        let own = self.relocs.get_mut(from..).unwrap_or_default();
        order::sort_by_key(own, |r| r.offset);
        match own.array_windows().find(|[a, b]| a.offset == b.offset) {
            Some([_, twice]) => Err(broken(twice.offset, twice.symbol, RelocProblem::Twice)),
            None => Ok(()),
        }
    }
}

impl<'a> ObjectFile<'a> {
    /// All bytes.
    pub fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// Byte order.
    pub fn endian(&self) -> Endian {
        self.parts.endian.unwrap_or(Endian::NATIVE)
    }

    /// All sections by their index in the file; the null section comes first.
    pub fn sections(&self) -> impl ExactSizeIterator<Item = FileSection<'a>> + Clone + use<'a> {
        let bytes = self.bytes;
        self.parts.sections.iter().map(move |section| FileSection {
            name: bytes.get(section.name.clone()).unwrap_or_default(),
            kind: section.kind,
            flags: section.flags,
            size: section.size,
            align: section.align,
            entry_size: section.entry_size,
            data: bytes.get(section.data.clone()).unwrap_or_default(),
            start: section.data.start,
            relocs: section.relocs.clone(),
        })
    }

    /// All symbols by their index in the file; the null symbol comes first.
    pub fn symbols(&self) -> impl ExactSizeIterator<Item = FileSymbol<'a>> + use<'a> {
        let symbols = self.parts.tables.symbols(self.bytes);
        symbols.enumerate().map(|(index, (symbol, name))| FileSymbol {
            name,
            kind: symbol.kind,
            bind: symbol.bind,
            visibility: symbol.visibility,
            section: match symbol.place {
                Place::Section(at) if index > 0 => u32::try_from(at).ok(),
                _ => None,
            },
            absolute: symbol.place == Place::Nowhere || symbol.place == Place::Common,
            value: symbol.value,
            size: symbol.size,
        })
    }

    /// The relocations of a section, by rising offset.
    pub fn relocs(&self, section: &FileSection<'_>) -> &'a [FileReloc] {
        self.parts.relocs.get(section.relocs.clone()).unwrap_or_default()
    }
}

/// DWARF is of no use to any loader; types have their own format.
fn is_described_elsewhere(section: &str) -> bool {
    section.starts_with(".debug_")
        || matches!(section, ".BTF" | ".BTF.ext" | ".eh_frame" | ".llvm_addrsig")
}

fn reloc(elf: &Elf<'_>, section: &elf::Section<'_>, rel: Rel) -> Result<FileReloc, RelocProblem> {
    let kind = match rel.kind {
        // clang before 13 used the type of loads for eight bytes of data.
        kind if !section.has_code() && reloc_type::fills_eight_bytes(kind) => RelocKind::Abs64,
        reloc_type::LD_IMM64 => RelocKind::LoadImm64,
        reloc_type::CALL => RelocKind::Call,
        reloc_type::ABS32 => RelocKind::Abs32,
        reloc_type::NODYLD32 => RelocKind::NoDyld32,
        other => return Err(RelocProblem::UnknownType(other)),
    };
    let symbol = usize::try_from(rel.symbol).ok().and_then(|at| elf.symbol(at));
    let Some(symbol) = symbol.filter(|_| rel.symbol > 0) else {
        return Err(RelocProblem::SymbolIndex { index: rel.symbol, count: elf.symbol_count() });
    };
    let end = rel.offset.checked_add(kind.width()).filter(|&end| end <= section.size);
    let start = usize::try_from(rel.offset).ok();
    let bytes = end.and(start).and_then(|start| section.data.get(start..));
    let bytes = bytes.ok_or(RelocProblem::OutOfSection { size: section.size })?;
    if matches!(kind, RelocKind::LoadImm64 | RelocKind::Call)
        && !rel.offset.is_multiple_of(INSN_SIZE as u64)
    {
        return Err(RelocProblem::Unaligned);
    }
    // `RelocKind::width` bytes are there.
    let word = |at: usize| {
        let bytes = bytes.get(at..).and_then(|b| b.first_chunk::<4>()).copied().unwrap_or_default();
        match elf.endian {
            Endian::Little => u32::from_le_bytes(bytes),
            Endian::Big => u32::from_be_bytes(bytes),
        }
    };
    let imm = i64::from(word(4).cast_signed());
    let in_place = match kind {
        RelocKind::Call => match elf.call_in_bytes(&symbol, word(4).cast_signed()) {
            Some(offset) => {
                i64::try_from(offset).unwrap_or(i64::MAX).wrapping_sub_unsigned(symbol.value)
            }
            // An undefined symbol has no place to add to; GNU as leaves 0 where clang leaves -1.
            None if symbol.place == Place::Undefined => 0,
            None => (imm + 1) * INSN_SIZE as i64,
        },
        RelocKind::LoadImm64 => imm.wrapping_sub_unsigned(symbol.value - elf.base(&symbol)),
        RelocKind::Abs64 => {
            let (low, high) = match elf.endian {
                Endian::Little => (word(0), word(4)),
                Endian::Big => (word(4), word(0)),
            };
            (u64::from(high) << 32 | u64::from(low)).cast_signed()
        }
        RelocKind::Abs32 | RelocKind::NoDyld32 => word(0).into(),
    };
    let addend = rel.addend.unwrap_or(in_place);
    Ok(FileReloc { offset: rel.offset, symbol: rel.symbol, kind, addend })
}

/// Reads a map definition: the struct that is the type of a variable of the `.maps` section, or the VAR
/// itself. Initial values of slots are not part of it.
///
/// # Errors
///
/// The type is no map definition.
pub fn map_definition(name: &str, btf: &Btf, id: TypeId) -> Result<MapDef, ReadProblem> {
    let ty = btf.ty(id);
    let id = if ty.kind() == bpfweld_btf::Kind::Var { ty.type_id() } else { id };
    maps::define(name, btf.resolve(id), false).map(|(def, _)| def)
}
