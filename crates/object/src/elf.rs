//! The ELF layer: sections, symbols and relocations of a 64-bit file of either byte order, checked
//! and as plain numbers. What they mean for BPF is decided elsewhere.

use std::ops::Range;

use object::elf as raw;
use object::pod;
use object::read::elf::{FileHeader as _, SectionHeader as _, Sym as _};
use object::{Endian as _, Endianness, U32Bytes};

use bpfweld_btf::{Endian, order, until_zero};

use crate::error::ReadProblem;
use crate::roles::Role;

/// Relocation types of the BPF ABI (LLVM's `ELFRelocs/BPF.def`).
pub(crate) mod reloc_type {
    /// `R_BPF_64_64`: a 64-bit immediate load.
    pub(crate) const LD_IMM64: u32 = 1;
    /// `R_BPF_64_ABS64`: eight bytes of data.
    pub(crate) const ABS64: u32 = 2;
    /// `R_BPF_64_ABS32`: four bytes of data.
    pub(crate) const ABS32: u32 = 3;
    /// `R_BPF_64_NODYLD32`: four bytes of `.BTF` and `.BTF.ext`.
    pub(crate) const NODYLD32: u32 = 4;
    /// `R_BPF_64_32`: a call.
    pub(crate) const CALL: u32 = 10;
    /// `R_BPF_DATA_64` of binutils before 2.41, which had numbers of its own: eight bytes of data.
    const GNU_DATA_64: u32 = 12;

    /// The address of something goes into eight bytes of data. clang before 13 used the type for code
    /// there, too.
    pub(crate) fn fills_eight_bytes(kind: u32) -> bool {
        matches!(kind, ABS64 | LD_IMM64 | GNU_DATA_64)
    }
}

const EM_BPF: u16 = 247;
/// Compressed relocations (`SHT_CREL`) and relative ones (`SHT_RELR`): passing over them in silence
/// would lose references.
const UNSUPPORTED_RELOCS: [u32; 2] = [0x4000_0014, 19];
/// Largest file that is read. Objects with debugging information have a few megabytes.
pub(crate) const MAX_FILE: u64 = 256 << 20;
/// So that the place of a section in the file and its index fit one number: a header takes 64 bytes.
const INDEX_BITS: u32 = 24;
/// No compiler makes longer names; the limit keeps look-ups cheap in hostile string tables.
const MAX_NAME: usize = 4096;

type Header = raw::FileHeader64<Endianness>;
type RawSection = raw::SectionHeader64<Endianness>;
type RawSymbol = raw::Sym64<Endianness>;

/// A checked ELF file.
pub(crate) struct Elf<'a> {
    pub(crate) endian: Endian,
    facts: Facts,
    pub(crate) sections: Vec<Section<'a>>,
    symbols: &'a [RawSymbol],
    symbol_strings: Strings<'a>,
    /// `SHT_SYMTAB_SHNDX`: section indices that do not fit into 16 bits.
    wide_indices: &'a [U32Bytes<Endianness>],
}

/// What was found out about a file, without its bytes. Indices of sections are 0 where there is none.
#[derive(Clone)]
pub(crate) struct Facts {
    endian: Endianness,
    /// (section that is relocated, relocation section), sorted.
    reloc_sections: Vec<(usize, usize)>,
    /// See [`Elf::base`].
    counts_twice: bool,
    /// The section that holds the names of sections, and where these are in the file.
    names: usize,
    names_start: usize,
    /// The symbol table, the section that holds the names of symbols, and `SHT_SYMTAB_SHNDX`.
    symbols: usize,
    strings: usize,
    wide: usize,
}

/// Where the symbols of a file are that was checked: what holds them, their names and wide section indices.
#[derive(Debug, Clone)]
pub(crate) struct Tables {
    endian: Endianness,
    symbols: Range<usize>,
    strings: Range<usize>,
    wide: Range<usize>,
}

impl Default for Tables {
    fn default() -> Self {
        let (symbols, strings, wide) = Default::default();
        Self { endian: Endianness::Little, symbols, strings, wide }
    }
}

impl Tables {
    /// All symbols, and their names.
    pub(crate) fn symbols<'a>(
        &self,
        bytes: &'a [u8],
    ) -> impl ExactSizeIterator<Item = (Symbol, &'a [u8])> + use<'a> {
        let data = |range: &Range<usize>| bytes.get(range.clone()).unwrap_or_default();
        let symbols: &'a [RawSymbol] =
            pod::slice_from_all_bytes(data(&self.symbols)).unwrap_or_default();
        let wide = pod::slice_from_all_bytes(data(&self.wide)).unwrap_or_default();
        let (strings, endian) = (data(&self.strings), self.endian);
        symbols.iter().enumerate().map(move |(index, symbol)| {
            let at = usize::try_from(symbol.st_name(endian)).unwrap_or(usize::MAX);
            let name = strings.get(at..).and_then(until_zero).unwrap_or_default();
            (decode(index, symbol, wide, endian), name)
        })
    }
}

fn decode(
    index: usize,
    symbol: &RawSymbol,
    wide: &[U32Bytes<Endianness>],
    endian: Endianness,
) -> Symbol {
    Symbol {
        index,
        kind: symbol.st_type(),
        bind: symbol.st_bind(),
        visibility: symbol.st_visibility(),
        place: place(index, symbol, wide, endian),
        value: symbol.st_value(endian),
        size: symbol.st_size(endian),
    }
}

fn place(
    index: usize,
    symbol: &RawSymbol,
    wide: &[U32Bytes<Endianness>],
    endian: Endianness,
) -> Place {
    match symbol.st_shndx(endian) {
        raw::SHN_UNDEF => Place::Undefined,
        raw::SHN_COMMON => Place::Common,
        raw::SHN_XINDEX => match wide.get(index) {
            Some(wide) => Place::Section(usize::try_from(wide.get(endian)).unwrap_or(usize::MAX)),
            None => Place::Nowhere,
        },
        reserved if reserved >= raw::SHN_LORESERVE => Place::Nowhere,
        section => Place::Section(section.into()),
    }
}

/// A section. [`Section::data`] lies within the file, no two sections share bytes.
pub(crate) struct Section<'a> {
    pub(crate) name: &'a str,
    /// `sh_type`.
    pub(crate) kind: u32,
    /// `sh_flags`.
    pub(crate) flags: u64,
    /// `sh_size`: the length of `data`, but for `SHT_NOBITS`.
    pub(crate) size: u64,
    /// Contents; empty for `SHT_NOBITS`.
    pub(crate) data: &'a [u8],
    /// `sh_addralign`.
    pub(crate) align: u64,
    /// `sh_entsize`.
    pub(crate) entry_size: u64,
    /// What it is for.
    pub(crate) role: Role,
    /// Where `data` is in the file.
    pub(crate) start: usize,
    /// Offset of the name in the section that holds names.
    pub(crate) name_off: usize,
}

impl Section<'_> {
    pub(crate) fn has_code(&self) -> bool {
        self.role == Role::Code
    }

    pub(crate) fn is_allocated(&self) -> bool {
        self.flags & u64::from(raw::SHF_ALLOC) != 0
    }
}

/// Where a symbol is defined.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Place {
    Undefined,
    /// `SHN_COMMON`.
    Common,
    /// `SHN_ABS` or another reserved index.
    Nowhere,
    /// A section of this file.
    Section(usize),
}

/// A symbol.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Symbol {
    /// Index in the symbol table.
    pub(crate) index: usize,
    /// `STT_*`.
    pub(crate) kind: u8,
    /// `STB_*`.
    pub(crate) bind: u8,
    /// `STV_*`.
    pub(crate) visibility: u8,
    pub(crate) place: Place,
    pub(crate) value: u64,
    pub(crate) size: u64,
}

impl Symbol {
    pub(crate) fn is_local(&self) -> bool {
        self.bind == raw::STB_LOCAL
    }

    pub(crate) fn is_weak(&self) -> bool {
        self.bind == raw::STB_WEAK
    }

    /// Hidden or internal: not visible outside its object.
    pub(crate) fn is_hidden(&self) -> bool {
        matches!(self.visibility, raw::STV_HIDDEN | raw::STV_INTERNAL)
    }

    pub(crate) fn is_function(&self) -> bool {
        self.kind == raw::STT_FUNC
    }

    pub(crate) fn is_untyped(&self) -> bool {
        self.kind == raw::STT_NOTYPE
    }

    /// Names a place in memory (and not a section or a source file).
    pub(crate) fn names_a_place(&self) -> bool {
        !matches!(self.kind, raw::STT_SECTION | raw::STT_FILE)
    }
}

/// A relocation, of either form.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Rel {
    /// Where, in bytes from the start of the section.
    pub(crate) offset: u64,
    /// Index of the symbol.
    pub(crate) symbol: u32,
    /// `R_BPF_*`.
    pub(crate) kind: u32,
    /// The addend of `SHT_RELA`; with `SHT_REL` it is in the section.
    pub(crate) addend: Option<i64>,
}

fn malformed(what: impl Into<String>) -> ReadProblem {
    ReadProblem::Elf(what.into())
}

impl<'a> Elf<'a> {
    pub(crate) fn parse(bytes: &'a [u8]) -> Result<Self, ReadProblem> {
        if bytes.len() as u64 > MAX_FILE {
            return Err(ReadProblem::TooLarge { size: bytes.len() as u64, limit: MAX_FILE });
        }
        let header = header(bytes)?;
        let raw_endian = header.endian().map_err(|_| malformed("the byte order is unknown"))?;
        let endian = endian(raw_endian);
        match header.e_machine(raw_endian) {
            EM_BPF => {}
            machine => return Err(ReadProblem::Machine { machine }),
        }
        match header.e_type(raw_endian) {
            raw::ET_REL => {}
            e_type => return Err(ReadProblem::NotRelocatable { e_type }),
        }
        let headers = header
            .section_headers(raw_endian, bytes)
            .map_err(|_| malformed("the section headers do not fit into the file"))?;
        let names = header.shstrndx(raw_endian, bytes).ok();
        let names = names.and_then(|index| usize::try_from(index).ok()).unwrap_or(0);
        let (strings, names_start) = match headers.get(names) {
            Some(section) => (
                contents(section, raw_endian, bytes).unwrap_or_default(),
                usize::try_from(section.sh_offset(raw_endian)).unwrap_or(usize::MAX),
            ),
            None => (&[][..], 0),
        };
        let strings = Strings::new(strings);
        let sections = sections(headers, strings, raw_endian, bytes)?;
        let mut elf = Self {
            endian,
            facts: Facts {
                endian: raw_endian,
                reloc_sections: Vec::new(),
                counts_twice: false,
                names,
                names_start,
                symbols: 0,
                strings: 0,
                wide: 0,
            },
            sections,
            symbols: &[],
            symbol_strings: Strings::default(),
            wide_indices: &[],
        };
        elf.read_symbols(headers)?;
        elf.index_relocs(headers)?;
        elf.facts.counts_twice = elf.finds_offsets_in_place();
        Ok(elf)
    }

    /// A file that was checked before. Symbols are gone if what holds them is.
    pub(crate) fn again(sections: Vec<Section<'a>>, facts: &Facts) -> Self {
        let endian = endian(facts.endian);
        let (symbols, symbol_strings, wide_indices) = Default::default();
        let facts = facts.clone();
        let mut elf = Self { endian, facts, sections, symbols, symbol_strings, wide_indices };
        // They were taken before.
        let _ = elf.take_tables();
        elf
    }

    /// What was found out about it.
    pub(crate) fn facts(&self) -> &Facts {
        &self.facts
    }

    /// Is what this section holds of use, now or later? Debugging information is not.
    pub(crate) fn is_used(&self, section: usize) -> bool {
        let is_debug = |at: usize| self.section(at).is_some_and(|s| s.role == Role::Debug);
        let is_btf = |at: usize| self.section(at).is_some_and(|s| s.name.starts_with(".BTF"));
        match self.facts.reloc_sections.iter().find(|&&(_, relocs)| relocs == section) {
            Some(&(target, _)) => !is_debug(target) && !is_btf(target),
            None => !is_debug(section),
        }
    }

    /// Index of the section that holds the names of sections; 0 for none.
    pub(crate) fn names(&self) -> usize {
        self.facts.names
    }

    /// See [`Elf::base`].
    pub(crate) fn counts_twice(&self) -> bool {
        self.facts.counts_twice
    }

    /// What the addend of a relocation of data is to be added to. The assembler of binutils before 2.41
    /// has the offset in place although the symbol has it: there the place alone counts.
    pub(crate) fn base(&self, symbol: &Symbol) -> u64 {
        if self.facts.counts_twice && symbol.names_a_place() { 0 } else { symbol.value }
    }

    /// With that assembler, the offset in its section of the function that a call by name refers to:
    /// `imm` has it in bytes, less one.
    pub(crate) fn call_in_bytes(&self, symbol: &Symbol, imm: i32) -> Option<u64> {
        let by_name = self.facts.counts_twice && symbol.names_a_place();
        u64::try_from(i64::from(imm) + 1).ok().filter(|_| by_name)
    }

    /// No file says which assembler made it. But every reference to something that is not the first of
    /// its section gives it away: without the fault, what is in place is an offset into the variable,
    /// and 0 (of a function, -1) most of the time.
    fn finds_offsets_in_place(&self) -> bool {
        let by_gcc = |s: &Section<'_>| {
            s.name == ".comment" && s.data.split(|&b| b == 0).any(|text| text.starts_with(b"GCC:"))
        };
        if !self.sections.iter().any(by_gcc) {
            return false;
        }
        let mut found = false;
        for (index, section) in self.sections.iter().enumerate() {
            if !section.has_code() {
                continue;
            }
            for rel in self.relocs(index).iter().filter(|rel| rel.addend.is_none()) {
                let symbol = self.symbol(usize::try_from(rel.symbol).unwrap_or(usize::MAX));
                let Some(symbol) = symbol.filter(|s| s.names_a_place() && s.value > 0) else {
                    continue;
                };
                let Place::Section(target) = symbol.place else { continue };
                let is_code = self.section(target).is_some_and(Section::has_code);
                let at = usize::try_from(rel.offset).ok().and_then(|at| at.checked_add(4));
                let rest = at.and_then(|at| section.data.get(at..));
                let Some(bytes) = rest.and_then(|rest| rest.first_chunk::<4>()) else { continue };
                let imm = match self.endian {
                    Endian::Little => i32::from_le_bytes(*bytes),
                    Endian::Big => i32::from_be_bytes(*bytes),
                };
                let explained = match rel.kind {
                    reloc_type::CALL => {
                        u64::try_from(i64::from(imm) + 1).is_ok_and(|offset| offset == symbol.value)
                    }
                    reloc_type::LD_IMM64 if !is_code => {
                        u64::from(imm.cast_unsigned()) >= symbol.value
                    }
                    _ => continue,
                };
                if !explained {
                    return false;
                }
                found = true;
            }
        }
        found
    }

    pub(crate) fn section(&self, index: usize) -> Option<&Section<'a>> {
        self.sections.get(index)
    }

    /// The section's name, for messages.
    pub(crate) fn section_name(&self, index: usize) -> String {
        self.section(index).map_or_else(|| format!("#{index}"), |s| s.name.to_owned())
    }

    pub(crate) fn symbol_count(&self) -> usize {
        self.symbols.len()
    }

    /// All symbols but the null one.
    pub(crate) fn symbols(&self) -> impl Iterator<Item = Symbol> + '_ {
        (1..self.symbols.len()).filter_map(|i| self.symbol(i))
    }

    pub(crate) fn symbol(&self, index: usize) -> Option<Symbol> {
        let symbol = self.symbols.get(index)?;
        Some(decode(index, symbol, self.wide_indices, self.facts.endian))
    }

    fn place(&self, index: usize, symbol: &RawSymbol) -> Place {
        place(index, symbol, self.wide_indices, self.facts.endian)
    }

    /// Where the name of a section begins in the file.
    pub(crate) fn name_start(&self, section: &Section<'_>) -> usize {
        self.facts.names_start.saturating_add(section.name_off)
    }

    /// Where the file has its symbols.
    pub(crate) fn tables(&self) -> Tables {
        let range = |at: usize| {
            let section = self.section(at).filter(|_| at > 0);
            section.map(|s| s.start..s.start + s.data.len()).unwrap_or_default()
        };
        let Facts { endian, symbols, strings, wide, .. } = self.facts;
        let (symbols, strings, wide) = (range(symbols), range(strings), range(wide));
        Tables { endian, symbols, strings, wide }
    }

    /// A symbol's name; empty when it has none.
    pub(crate) fn symbol_name(&self, symbol: &Symbol) -> Result<&'a str, ReadProblem> {
        let offset = self.symbols.get(symbol.index).map_or(0, |s| s.st_name(self.facts.endian));
        self.symbol_strings
            .get(offset)
            .ok_or_else(|| malformed(format!("the name of symbol {} cannot be read", symbol.index)))
    }

    /// What a message can call a symbol: its name, or its section's.
    pub(crate) fn describe(&self, symbol: &Symbol) -> Option<String> {
        match self.symbol_name(symbol) {
            Ok(name) if !name.is_empty() => Some(name.to_owned()),
            _ => match symbol.place {
                Place::Section(index) => Some(self.section_name(index)),
                _ => None,
            },
        }
    }

    /// The relocations of a section, by rising offset.
    pub(crate) fn relocs(&self, section: usize) -> Vec<Rel> {
        let mut rels: Vec<Rel> = self.unsorted_relocs(section).collect();
        order::sort_by_key(&mut rels, |r| r.offset);
        rels
    }

    /// The same, in the order of the file.
    pub(crate) fn unsorted_relocs(&self, section: usize) -> impl Iterator<Item = Rel> {
        let from = self.facts.reloc_sections.partition_point(|&(target, _)| target < section);
        let of_section = self.facts.reloc_sections.get(from..).unwrap_or_default().iter();
        let of_section = of_section.take_while(move |&&(target, _)| target == section);
        of_section.filter_map(|&(_, index)| self.section(index)).flat_map(|s| self.relocs_in(s))
    }

    fn relocs_in(&self, section: &Section<'a>) -> impl Iterator<Item = Rel> {
        let e = self.facts.endian;
        // Sizes were checked in `index_relocs`.
        let (with, without) = match section.kind {
            raw::SHT_RELA => (section.data, &[][..]),
            _ => (&[][..], section.data),
        };
        let with = pod::slice_from_all_bytes::<raw::Rela64<Endianness>>(with);
        let without = pod::slice_from_all_bytes::<raw::Rel64<Endianness>>(without);
        let with = with.unwrap_or_default().iter().map(move |r| Rel {
            offset: r.r_offset.get(e),
            symbol: r.r_sym(e, false),
            kind: r.r_type(e, false),
            addend: Some(r.r_addend.get(e)),
        });
        let without = without.unwrap_or_default().iter().map(move |r| Rel {
            offset: r.r_offset.get(e),
            symbol: r.r_sym(e),
            kind: r.r_type(e),
            addend: None,
        });
        with.chain(without)
    }

    /// Finds the symbol table, if there is one.
    fn read_symbols(&mut self, headers: &'a [RawSection]) -> Result<(), ReadProblem> {
        let e = self.facts.endian;
        let mut tables =
            headers.iter().enumerate().filter(|(_, h)| h.sh_type(e) == raw::SHT_SYMTAB);
        let Some((index, header)) = tables.next() else { return Ok(()) };
        if tables.next().is_some() {
            return Err(malformed("there are two symbol tables"));
        }
        let strings = usize::try_from(header.sh_link(e)).unwrap_or(usize::MAX);
        let is_wide = |(h, s): (&RawSection, &Section<'_>)| {
            s.kind == raw::SHT_SYMTAB_SHNDX && usize::try_from(h.sh_link(e)) == Ok(index)
        };
        let wide = headers.iter().zip(&self.sections).position(is_wide).unwrap_or(0);
        if header.sh_entsize(e) != size_of::<RawSymbol>() as u64 {
            return Err(not_symbols());
        }
        (self.facts.symbols, self.facts.strings, self.facts.wide) = (index, strings, wide);
        self.take_tables()?;
        for (symbol, found) in self.symbols.iter().enumerate().skip(1) {
            if let Place::Section(section) = self.place(symbol, found)
                && section >= self.sections.len()
            {
                let count = self.sections.len();
                return Err(malformed(format!(
                    "symbol {symbol} is in section {section}, there are only {count}"
                )));
            }
        }
        Ok(())
    }

    /// Takes symbols, their names and wide section indices from the sections that hold them.
    fn take_tables(&mut self) -> Result<(), ReadProblem> {
        let Facts { symbols, strings, wide, .. } = self.facts;
        if symbols == 0 {
            return Ok(());
        }
        let data = |at: usize| self.sections.get(at).map(|s| s.data).unwrap_or_default();
        let found = pod::slice_from_all_bytes(data(symbols)).map_err(|()| not_symbols())?;
        let wide_indices = pod::slice_from_all_bytes(data(wide))
            .map_err(|()| malformed("the table of wide section indices is cut"))?;
        let names = self
            .section(strings)
            .filter(|s| s.kind == raw::SHT_STRTAB)
            .ok_or_else(|| malformed("the symbol table names no string table"))?;
        self.symbol_strings = Strings::new(names.data);
        (self.symbols, self.wide_indices) = (found, wide_indices);
        Ok(())
    }

    fn index_relocs(&mut self, headers: &[RawSection]) -> Result<(), ReadProblem> {
        let table = self.facts.symbols;
        let e = self.facts.endian;
        self.facts.reloc_sections.reserve_exact(self.sections.len() / 2);
        for (index, (header, section)) in headers.iter().zip(&self.sections).enumerate() {
            let name = section.name;
            if UNSUPPORTED_RELOCS.contains(&section.kind) {
                let kind = section.kind;
                return Err(malformed(format!(
                    "section {name}: relocations of section type {kind:#x} are not supported"
                )));
            }
            let entry = match section.kind {
                raw::SHT_REL => size_of::<raw::Rel64<Endianness>>(),
                raw::SHT_RELA => size_of::<raw::Rela64<Endianness>>(),
                _ => continue,
            };
            let target = usize::try_from(header.sh_info(e)).unwrap_or(usize::MAX);
            if target == 0 || target >= self.sections.len() {
                let count = self.sections.len();
                return Err(malformed(format!(
                    "section {name} relocates section {target}, there are only {count}"
                )));
            }
            if usize::try_from(header.sh_link(e)) != Ok(table) || table == 0 {
                return Err(malformed(format!("section {name} does not name the symbol table")));
            }
            if header.sh_entsize(e) != entry as u64 || !section.data.len().is_multiple_of(entry) {
                return Err(malformed(format!(
                    "section {name} is not made of {entry}-byte entries"
                )));
            }
            self.facts.reloc_sections.push((target, index));
        }
        order::sort(&mut self.facts.reloc_sections);
        Ok(())
    }
}

fn endian(endian: Endianness) -> Endian {
    if endian.is_little_endian() { Endian::Little } else { Endian::Big }
}

fn not_symbols() -> ReadProblem {
    malformed("the symbol table is not made of 24-byte symbols")
}

fn header(bytes: &[u8]) -> Result<&Header, ReadProblem> {
    if bytes.is_empty() {
        return Err(ReadProblem::EmptyFile);
    }
    if !bytes.starts_with(&raw::ELFMAG) {
        return Err(match bytes {
            // With its members in it, or (thin) beside it.
            [b'!', b'<', b'a' | b't', ..] => ReadProblem::Archive,
            // Alone, or in a wrapper.
            [b'B', b'C', 0xc0, 0xde, ..] | [0xde, 0xc0, 0x17, 0x0b, ..] => ReadProblem::Bitcode,
            _ => ReadProblem::NotElf,
        });
    }
    match bytes.get(4) {
        Some(&raw::ELFCLASS32) => return Err(ReadProblem::Elf32),
        Some(&raw::ELFCLASS64) => {}
        _ => return Err(malformed("the class is neither 32 nor 64 bit")),
    }
    let (header, _) =
        pod::from_bytes::<Header>(bytes).map_err(|()| malformed("the header is cut"))?;
    match header.is_supported() {
        true => Ok(header),
        false => Err(malformed("the header is of an unknown version")),
    }
}

fn contents<'a>(section: &RawSection, e: Endianness, bytes: &'a [u8]) -> Option<&'a [u8]> {
    let Some((offset, size)) = section.file_range(e) else { return Some(&[]) };
    let start = usize::try_from(offset).ok()?;
    bytes.get(start..start.checked_add(usize::try_from(size).ok()?)?)
}

fn sections<'a>(
    headers: &[RawSection],
    names: Strings<'a>,
    e: Endianness,
    bytes: &'a [u8],
) -> Result<Vec<Section<'a>>, ReadProblem> {
    let mut sections = Vec::with_capacity(headers.len());
    let mut starts = Vec::with_capacity(headers.len());
    for (index, header) in headers.iter().enumerate() {
        let name = names
            .get(header.sh_name(e))
            .ok_or_else(|| malformed(format!("the name of section {index} cannot be read")))?;
        let kind = header.sh_type(e);
        let flags = header.sh_flags(e);
        let (mut data, mut start): (&[u8], usize) = (&[], 0);
        // The first header may hold counts that are too large for the file header.
        if kind != raw::SHT_NULL {
            data = contents(header, e, bytes).ok_or_else(|| {
                let (offset, size) = (header.sh_offset(e), header.sh_size(e));
                let total = bytes.len();
                malformed(format!(
                    "section {name} of {size} bytes at {offset} does not fit into the file of \
                     {total} bytes"
                ))
            })?;
            if flags & u64::from(raw::SHF_COMPRESSED) != 0 && flags & u64::from(raw::SHF_ALLOC) != 0
            {
                return Err(malformed(format!("section {name} is compressed")));
            }
            if !data.is_empty() {
                // Both are less than the size of the file, which is limited.
                starts.push(header.sh_offset(e) << INDEX_BITS | index as u64);
                start = usize::try_from(header.sh_offset(e)).unwrap_or(usize::MAX);
            }
        }
        let (size, align) = (header.sh_size(e), header.sh_addralign(e));
        let entry_size = header.sh_entsize(e);
        let name_off = usize::try_from(header.sh_name(e)).unwrap_or(usize::MAX);
        sections.push(Section {
            name,
            kind,
            flags,
            size,
            data,
            align,
            entry_size,
            role: Role::of(name, kind, flags, size),
            start,
            name_off,
        });
    }
    // Sections that share bytes would let a small file ask for any amount of work.
    order::sort(&mut starts);
    let mut last: Option<(usize, &Section<'_>)> = None;
    for start in starts {
        let index = usize::try_from(start & ((1 << INDEX_BITS) - 1)).unwrap_or(usize::MAX);
        let Some(section) = sections.get(index) else { continue };
        if let Some((other, before)) = last
            && before.start.saturating_add(before.data.len()) > section.start
        {
            let (one, other) = (index.min(other), index.max(other));
            return Err(malformed(format!("sections {one} and {other} overlap")));
        }
        last = Some((index, section));
    }
    Ok(sections)
}

/// A table of strings.
#[derive(Clone, Copy, Default)]
struct Strings<'a> {
    bytes: &'a [u8],
    /// All of it, where all of it is text: then no name has to be looked at again.
    text: Option<&'a str>,
}

impl<'a> Strings<'a> {
    fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, text: std::str::from_utf8(bytes).ok() }
    }

    fn get(&self, offset: u32) -> Option<&'a str> {
        let start = usize::try_from(offset).ok()?;
        if start == 0 && self.bytes.is_empty() {
            return Some("");
        }
        let tail = self.bytes.get(start..)?;
        let tail = tail.get(..MAX_NAME).unwrap_or(tail);
        let name = until_zero(tail)?;
        match self.text {
            // An offset may lead into the middle of a character.
            Some(text) => text.get(start..start + name.len()),
            None => std::str::from_utf8(name).ok(),
        }
    }
}
