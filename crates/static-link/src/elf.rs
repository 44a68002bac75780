//! Writing relocatable ELF64 files for BPF (ELF specification; machine `EM_BPF`). Positions follow from
//! the order of sections alone, so the same sections give the same bytes.

use bpfweld_btf::{Endian, until_zero};

use crate::error::LinkError;
use crate::names::{Name, Names};

pub(crate) const SHT_PROGBITS: u32 = 1;
const SHT_SYMTAB: u32 = 2;
const SHT_STRTAB: u32 = 3;
pub(crate) const SHT_NOTE: u32 = 7;
pub(crate) const SHT_NOBITS: u32 = 8;
const SHT_REL: u32 = 9;
pub(crate) const SHF_WRITE: u64 = 1;
pub(crate) const SHF_ALLOC: u64 = 2;
pub(crate) const SHF_MERGE: u64 = 0x10;
pub(crate) const SHF_STRINGS: u64 = 0x20;
const SHF_INFO_LINK: u64 = 0x40;
pub(crate) const SHF_GROUP: u64 = 0x200;
pub(crate) const STB_LOCAL: u8 = 0;
pub(crate) const STB_GLOBAL: u8 = 1;
pub(crate) const STB_WEAK: u8 = 2;
pub(crate) const STT_NOTYPE: u8 = 0;
pub(crate) const STT_OBJECT: u8 = 1;
pub(crate) const STT_FUNC: u8 = 2;
pub(crate) const STT_SECTION: u8 = 3;
pub(crate) const STT_FILE: u8 = 4;
pub(crate) const STV_DEFAULT: u8 = 0;
const SHN_ABS: u16 = 0xfff1;
/// Section numbers from here on mean something else.
const SHN_LORESERVE: usize = 0xff00;

const HEADER_LEN: usize = 64;
const SECTION_HEADER_LEN: usize = 64;
const SYMBOL_LEN: usize = 24;
const REL_LEN: usize = 16;

/// A file to write.
pub(crate) struct File {
    pub(crate) endian: Endian,
    /// Without tables of symbols, strings and relocations; the first gets number 1.
    pub(crate) sections: Vec<Section>,
    /// Local ones first.
    pub(crate) symbols: Vec<Symbol>,
    /// What the tables of symbols and of strings are called.
    pub(crate) tables: [Name; 2],
}

pub(crate) struct Section {
    pub(crate) name: Name,
    pub(crate) kind: u32,
    pub(crate) flags: u64,
    pub(crate) align: u64,
    pub(crate) entry_size: u64,
    pub(crate) size: u64,
    /// Where its contents are in the file.
    pub(crate) offset: u64,
    /// By rising offset.
    pub(crate) rels: Vec<Rel>,
    /// What their table is called.
    pub(crate) rel_name: Name,
}

#[derive(Clone, Copy)]
pub(crate) struct Rel {
    pub(crate) offset: u64,
    /// Index into [`File::symbols`].
    pub(crate) symbol: u32,
    pub(crate) kind: u32,
}

#[derive(Clone, Copy)]
pub(crate) struct Symbol {
    pub(crate) name: Name,
    pub(crate) kind: u8,
    pub(crate) bind: u8,
    pub(crate) visibility: u8,
    pub(crate) place: Place,
    pub(crate) value: u64,
    pub(crate) size: u64,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    Undefined,
    Absolute,
    /// Index into [`File::sections`].
    Section(u32),
}

/// A file in the making.
pub(crate) struct Out {
    pub(crate) bytes: Vec<u8>,
    endian: Endian,
}

impl Out {
    /// The header's room, and no more; at most so many bytes are expected.
    pub(crate) fn new(endian: Endian, most: usize) -> Self {
        let mut bytes = Vec::with_capacity(most);
        bytes.resize(HEADER_LEN, 0);
        Self { bytes, endian }
    }

    fn u16(&mut self, value: u16) {
        self.bytes.extend(match self.endian {
            Endian::Little => value.to_le_bytes(),
            Endian::Big => value.to_be_bytes(),
        });
    }

    fn u32(&mut self, value: u32) {
        self.bytes.extend(match self.endian {
            Endian::Little => value.to_le_bytes(),
            Endian::Big => value.to_be_bytes(),
        });
    }

    fn u64(&mut self, value: u64) {
        self.bytes.extend(match self.endian {
            Endian::Little => value.to_le_bytes(),
            Endian::Big => value.to_be_bytes(),
        });
    }

    pub(crate) fn align(&mut self, align: u64) -> u64 {
        let align = usize::try_from(align.max(1)).unwrap_or(1);
        self.bytes.resize(self.bytes.len().next_multiple_of(align), 0);
        self.bytes.len() as u64
    }
}

/// Names of sections and symbols, each once.
pub(crate) struct Strtab {
    bytes: Vec<u8>,
    /// Where each is, by the names' numbers; 0 of what is not there.
    offsets: Vec<u32>,
}

impl Strtab {
    /// The table of a file's names. Where sections are need not be known yet.
    pub(crate) fn new(file: &File, names: &Names) -> Result<Self, LinkError> {
        let mut new = Self { bytes: vec![0], offsets: vec![0; names.count()] };
        let with_rels = file.sections.iter().filter(|s| !s.rels.is_empty());
        let of_sections = file.sections.iter().map(|s| s.name).chain(with_rels.map(|s| s.rel_name));
        let all = of_sections.chain(file.symbols.iter().map(|s| s.name)).chain(file.tables);
        for name in all.filter(|&name| name != Name::EMPTY) {
            let Some(offset) = new.offsets.get_mut(name.number()).filter(|at| **at == 0) else {
                continue;
            };
            let too_large = |_| LinkError::TooLarge("more than 4 GiB of names".to_owned());
            *offset = u32::try_from(new.bytes.len()).map_err(too_large)?;
            let text = names.bytes(name);
            new.bytes.extend_from_slice(until_zero(text).unwrap_or(text));
            new.bytes.push(0);
        }
        Ok(new)
    }

    fn offset(&self, name: Name) -> u32 {
        self.offsets.get(name.number()).copied().unwrap_or(0)
    }
}

#[derive(Default)]
struct Header {
    name: u32,
    kind: u32,
    flags: u64,
    offset: u64,
    size: u64,
    link: u32,
    info: u32,
    align: u64,
    entry_size: u64,
}

/// The bytes of the file, whose sections have their contents in `out` already.
pub(crate) fn write(file: &File, names: Strtab, mut out: Out) -> Result<Vec<u8>, LinkError> {
    let [symtab_name, strtab_name] = file.tables;
    let mut headers = vec![Header::default()];
    let with_rels = (1..).zip(&file.sections).filter(|(_, section)| !section.rels.is_empty());
    let symtab = file.sections.len() + with_rels.clone().count() + 1;
    let section_count = symtab + 2;
    if section_count >= SHN_LORESERVE {
        return Err(LinkError::TooLarge(format!("{section_count} sections")));
    }
    let number = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
    for section in &file.sections {
        headers.push(Header {
            name: names.offset(section.name),
            kind: section.kind,
            flags: section.flags,
            offset: section.offset,
            size: section.size,
            align: section.align,
            entry_size: section.entry_size,
            ..Header::default()
        });
    }
    for (info, section) in with_rels {
        let offset = out.align(8);
        for rel in &section.rels {
            out.u64(rel.offset);
            // The null symbol comes first.
            out.u64((u64::from(rel.symbol) + 1) << 32 | u64::from(rel.kind));
        }
        headers.push(Header {
            name: names.offset(section.rel_name),
            kind: SHT_REL,
            flags: SHF_INFO_LINK,
            offset,
            size: (section.rels.len() * REL_LEN) as u64,
            link: number(symtab),
            info,
            align: 8,
            entry_size: REL_LEN as u64,
        });
    }
    let offset = out.align(8);
    out.bytes.extend([0; SYMBOL_LEN]);
    for symbol in &file.symbols {
        out.u32(names.offset(symbol.name));
        out.bytes.extend([symbol.bind << 4 | symbol.kind & 0xf, symbol.visibility]);
        out.u16(match symbol.place {
            Place::Undefined => 0,
            Place::Absolute => SHN_ABS,
            // Below SHN_LORESERVE.
            Place::Section(at) => u16::try_from(at.saturating_add(1)).unwrap_or(SHN_ABS),
        });
        out.u64(symbol.value);
        out.u64(symbol.size);
    }
    let locals = file.symbols.iter().take_while(|s| s.bind == STB_LOCAL).count();
    headers.push(Header {
        name: names.offset(symtab_name),
        kind: SHT_SYMTAB,
        offset,
        size: ((file.symbols.len() + 1) * SYMBOL_LEN) as u64,
        link: number(symtab + 1),
        info: number(locals + 1),
        align: 8,
        entry_size: SYMBOL_LEN as u64,
        ..Header::default()
    });
    let offset = out.align(1);
    out.bytes.extend_from_slice(&names.bytes);
    headers.push(Header {
        name: names.offset(strtab_name),
        kind: SHT_STRTAB,
        offset,
        size: names.bytes.len() as u64,
        align: 1,
        ..Header::default()
    });
    let table = out.align(8);
    for header in &headers {
        out.u32(header.name);
        out.u32(header.kind);
        out.u64(header.flags);
        out.u64(0);
        out.u64(header.offset);
        out.u64(header.size);
        out.u32(header.link);
        out.u32(header.info);
        out.u64(header.align);
        out.u64(header.entry_size);
    }
    // What is 32 bits wide in the format is counted in `usize` here.
    if u32::try_from(out.bytes.len()).is_err() {
        return Err(LinkError::TooLarge(format!("{} bytes", out.bytes.len())));
    }
    let mut head = Out { bytes: Vec::with_capacity(HEADER_LEN), endian: file.endian };
    let data = if file.endian == Endian::Little { 1 } else { 2 };
    // Class 64, byte order, version, ABI.
    head.bytes.extend([0x7f, b'E', b'L', b'F', 2, data, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    head.u16(1); // ET_REL
    head.u16(247); // EM_BPF
    head.u32(1);
    head.u64(0);
    head.u64(0);
    head.u64(table);
    head.u32(0);
    let short = |n: usize| u16::try_from(n).unwrap_or(u16::MAX);
    for half in [HEADER_LEN, 0, 0, SECTION_HEADER_LEN, section_count, section_count - 1] {
        head.u16(short(half));
    }
    out.bytes.splice(..HEADER_LEN, head.bytes);
    Ok(out.bytes)
}

/// Four bytes as a number.
pub(crate) fn get(place: [u8; 4], endian: Endian) -> u32 {
    match endian {
        Endian::Little => u32::from_le_bytes(place),
        Endian::Big => u32::from_be_bytes(place),
    }
}
