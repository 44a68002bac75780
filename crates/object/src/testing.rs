//! Object files for tests, made by hand: well-formed unless a test breaks them.

use bpfweld_btf::{Btf, BtfBuilder, Endian, IntEncoding, MemberSpec, TypeId};
use bpfweld_insn::Insn;

use crate::error::{ReadError, ReadProblem};
use crate::{Object, RelocTarget};

pub(crate) const PROGBITS: u32 = 1;
pub(crate) const NOBITS: u32 = 8;
/// `SHF_ALLOC | SHF_EXECINSTR`, `SHF_ALLOC | SHF_WRITE`.
pub(crate) const CODE: u64 = 6;
pub(crate) const DATA: u64 = 3;
pub(crate) const NOTYPE: u8 = 0;
pub(crate) const OBJECT: u8 = 1;
pub(crate) const FUNC: u8 = 2;
pub(crate) const SECTION: u8 = 3;
pub(crate) const LOCAL: u8 = 0;
pub(crate) const GLOBAL: u8 = 1;
pub(crate) const WEAK: u8 = 2;
pub(crate) const UNDEF: u16 = 0;
pub(crate) const R_64: u32 = 1;
pub(crate) const R_ABS64: u32 = 2;
pub(crate) const R_CALL: u32 = 10;

/// Writes ELF files.
pub(crate) struct Builder {
    pub(crate) endian: Endian,
    pub(crate) e_type: u16,
    pub(crate) machine: u16,
    sections: Vec<Section>,
    symbols: Vec<Symbol>,
    relocs: Vec<Reloc>,
    strings: Vec<u8>,
}

#[derive(Default)]
struct Section {
    name: u32,
    kind: u32,
    flags: u64,
    data: Vec<u8>,
    /// Of NOBITS.
    size: Option<u64>,
    link: u32,
    info: u32,
    entry: u64,
}

struct Symbol {
    name: u32,
    info: u8,
    other: u8,
    section: u16,
    value: u64,
    size: u64,
}

struct Reloc {
    section: u16,
    offset: u64,
    symbol: u32,
    kind: u32,
    addend: Option<i64>,
}

impl Builder {
    pub(crate) fn new() -> Self {
        Self {
            endian: Endian::Little,
            e_type: 1,
            machine: 247,
            sections: vec![Section::default()],
            symbols: vec![Symbol { name: 0, info: 0, other: 0, section: 0, value: 0, size: 0 }],
            relocs: Vec::new(),
            strings: vec![0],
        }
    }

    pub(crate) fn big_endian() -> Self {
        Self { endian: Endian::Big, ..Self::new() }
    }

    fn string(&mut self, s: &str) -> u32 {
        if s.is_empty() {
            return 0;
        }
        let at = self.strings.len() as u32;
        self.strings.extend(s.as_bytes());
        self.strings.push(0);
        at
    }

    pub(crate) fn section(&mut self, name: &str, kind: u32, flags: u64, data: &[u8]) -> u16 {
        let name = self.string(name);
        let data = data.to_vec();
        self.sections.push(Section { name, kind, flags, data, ..Section::default() });
        (self.sections.len() - 1) as u16
    }

    pub(crate) fn nobits(&mut self, name: &str, size: u64) -> u16 {
        let index = self.section(name, NOBITS, DATA, &[]);
        self.sections[index as usize].size = Some(size);
        index
    }

    pub(crate) fn data(&mut self, name: &str, bytes: &[u8]) -> u16 {
        self.section(name, PROGBITS, DATA, bytes)
    }

    pub(crate) fn code(&mut self, name: &str, insns: &[Insn]) -> u16 {
        let bytes: Vec<u8> = insns.iter().flat_map(|i| encode(*i, self.endian)).collect();
        self.section(name, PROGBITS, CODE, &bytes)
    }

    pub(crate) fn symbol(
        &mut self,
        name: &str,
        (bind, kind): (u8, u8),
        section: u16,
        (value, size): (u64, u64),
    ) -> u32 {
        let name = self.string(name);
        let info = bind << 4 | kind;
        self.symbols.push(Symbol { name, info, other: 0, section, value, size });
        (self.symbols.len() - 1) as u32
    }

    pub(crate) fn func(&mut self, name: &str, section: u16, value: u64, size: u64) -> u32 {
        self.symbol(name, (GLOBAL, FUNC), section, (value, size))
    }

    pub(crate) fn undefined(&mut self, name: &str) -> u32 {
        self.symbol(name, (GLOBAL, NOTYPE), UNDEF, (0, 0))
    }

    pub(crate) fn visibility(&mut self, symbol: u32, visibility: u8) {
        self.symbols[symbol as usize].other = visibility;
    }

    pub(crate) fn rel(&mut self, section: u16, offset: u64, symbol: u32, kind: u32) {
        self.relocs.push(Reloc { section, offset, symbol, kind, addend: None });
    }

    pub(crate) fn rela(&mut self, section: u16, offset: u64, symbol: u32, kind: u32, addend: i64) {
        self.relocs.push(Reloc { section, offset, symbol, kind, addend: Some(addend) });
    }

    pub(crate) fn btf(&mut self, btf: &Btf) {
        let bytes = btf.to_bytes_endian(self.endian);
        self.section(".BTF", PROGBITS, 0, &bytes);
    }

    fn num(&self, value: u64, bytes: usize) -> Vec<u8> {
        match self.endian {
            Endian::Little => value.to_le_bytes()[..bytes].to_vec(),
            Endian::Big => value.to_be_bytes()[8 - bytes..].to_vec(),
        }
    }

    pub(crate) fn finish(mut self) -> Vec<u8> {
        self.add_relocs();
        let table: Vec<u8> = self
            .symbols
            .iter()
            .flat_map(|s| {
                let words = [self.num(s.name.into(), 4), vec![s.info, s.other]];
                let more =
                    [self.num(s.section.into(), 2), self.num(s.value, 8), self.num(s.size, 8)];
                words.concat().into_iter().chain(more.concat())
            })
            .collect();
        let symtab = self.section(".symtab", 2, 0, &table);
        let strtab_name = self.string(".strtab");
        let strings = self.strings.clone();
        let strtab = self.sections.len() as u32;
        self.sections.push(Section {
            name: strtab_name,
            kind: 3,
            data: strings,
            ..Section::default()
        });
        self.sections[symtab as usize].link = strtab;
        self.sections[symtab as usize].entry = 24;
        for section in &mut self.sections {
            if matches!(section.kind, 4 | 9) {
                section.link = symtab.into();
            }
        }
        self.write(strtab)
    }

    fn add_relocs(&mut self) {
        let mut targets: Vec<_> = self.relocs.iter().map(|r| r.section).collect();
        targets.sort_unstable();
        targets.dedup();
        for target in targets {
            for with_addend in [false, true] {
                let data: Vec<u8> = self
                    .relocs
                    .iter()
                    .filter(|r| r.section == target && r.addend.is_some() == with_addend)
                    .flat_map(|r| {
                        let info = u64::from(r.symbol) << 32 | u64::from(r.kind);
                        let mut entry = [self.num(r.offset, 8), self.num(info, 8)].concat();
                        entry.extend(r.addend.into_iter().flat_map(|a| self.num(a as u64, 8)));
                        entry
                    })
                    .collect();
                if data.is_empty() {
                    continue;
                }
                let index = self.section(".rel", if with_addend { 4 } else { 9 }, 0, &data);
                let section = &mut self.sections[index as usize];
                section.info = target.into();
                section.entry = if with_addend { 24 } else { 16 };
            }
        }
    }

    fn write(&self, strtab: u32) -> Vec<u8> {
        let mut file = vec![0; 64];
        let mut headers = Vec::new();
        for s in &self.sections {
            let offset = file.len() as u64;
            file.extend(&s.data);
            file.resize(file.len().next_multiple_of(8), 0);
            headers.extend(self.num(s.name.into(), 4));
            headers.extend(self.num(s.kind.into(), 4));
            for word in [s.flags, 0, offset, s.size.unwrap_or(s.data.len() as u64)] {
                headers.extend(self.num(word, 8));
            }
            headers.extend(self.num(s.link.into(), 4));
            headers.extend(self.num(s.info.into(), 4));
            headers.extend(self.num(8, 8));
            headers.extend(self.num(s.entry, 8));
        }
        let at = file.len() as u64;
        file.extend(headers);
        let data = if self.endian == Endian::Little { 1 } else { 2 };
        file[..7].copy_from_slice(&[0x7f, b'E', b'L', b'F', 2, data, 1]);
        let mut head = [self.num(self.e_type.into(), 2), self.num(self.machine.into(), 2)].concat();
        head.extend(self.num(1, 4));
        for word in [0, 0, at] {
            head.extend(self.num(word, 8));
        }
        head.extend(self.num(0, 4));
        for half in [64, 0, 0, 64, self.sections.len() as u64, strtab.into()] {
            head.extend(self.num(half, 2));
        }
        file[16..64].copy_from_slice(&head);
        file
    }

    pub(crate) fn parse(self) -> Object {
        checked(&self.finish()).unwrap()
    }

    /// The error that reading ends in.
    pub(crate) fn fails(self) -> ReadProblem {
        *checked(&self.finish()).unwrap_err().problem
    }
}

/// Opened and read.
pub(crate) fn checked(bytes: &[u8]) -> Result<Object, ReadError> {
    let mut object = Object::parse("test.o", bytes)?;
    let notes = object.check()?.to_vec();
    object.notes.extend(notes);
    Ok(object)
}

fn encode(insn: Insn, endian: Endian) -> [u8; 8] {
    let mut bytes = insn.to_le();
    if endian == Endian::Big {
        bytes[1] = bytes[1].rotate_left(4);
        bytes[2..4].reverse();
        bytes[4..8].reverse();
    }
    bytes
}

fn insn(code: u8, src: u8, imm: i32) -> Insn {
    Insn::new(code, 0, src, 0, imm)
}

pub(crate) const EXIT: Insn = Insn::new(0x95, 0, 0, 0, 0);

/// `call` of a BPF function.
pub(crate) fn call(imm: i32) -> Insn {
    insn(0x85, 1, imm)
}

/// `r0 = imm ll`, both slots.
pub(crate) fn load(src: u8, imm: i32) -> [Insn; 2] {
    [insn(0x18, src, imm), Insn::default()]
}

/// A file with one program `prog` in section `xdp`, made of these instructions. The section is
/// number 1, the symbol, too.
pub(crate) fn program(insns: &[Insn]) -> Builder {
    let mut b = Builder::new();
    let xdp = b.code("xdp", insns);
    b.func("prog", xdp, 0, insns.len() as u64 * 8);
    b
}

/// References of the first function of the section `xdp`.
pub(crate) fn targets(object: &Object) -> Vec<RelocTarget> {
    let prog = object.functions.iter().find(|f| &*f.section == "xdp").unwrap();
    prog.relocs.iter().map(|r| r.target).collect()
}

pub(crate) fn int(b: &mut BtfBuilder, name: &str, size: u32, signed: bool) -> TypeId {
    let bits = (size * 8) as u8;
    let encoding = IntEncoding { signed, is_char: false, is_bool: false, bit_offset: 0, bits };
    b.add_int(name, size, encoding)
}

/// `__uint(name, value)` as the member number `index` of a map definition.
pub(crate) fn uint<'a>(
    b: &mut BtfBuilder,
    name: &'a str,
    value: u32,
    index: u32,
) -> MemberSpec<'a> {
    let int = int(b, "int", 4, true);
    let array = b.add_array(int, int, value);
    member(name, b.add_ptr(array), index)
}

/// A member of pointer size.
pub(crate) fn member(name: &str, type_id: TypeId, index: u32) -> MemberSpec<'_> {
    MemberSpec { name, type_id, bit_offset: index * 64, bitfield_size: 0 }
}
