//! Reading `.BTF.ext`: what the compiler says about instructions (kernel `Documentation/bpf/btf.rst`,
//! section 4.2): func_info, line_info and CO-RE relocation records, per ELF section.
//!
//! A record may be longer than the struct known here (a newer compiler's): the known part is read,
//! the rest passed over. A shorter one is an error.

use foldhash::HashMap;

use crate::read::magic;
use crate::{Btf, BtfError, Bytes, Endian, Kind, TypeId, order};

mod lines;

pub use lines::LineRecords;

/// The parsed contents of a `.BTF.ext` section, checked against the [`Btf`] that it belongs to.
#[derive(Debug, Clone, Default)]
pub struct BtfExt {
    sections: Vec<ExtSection>,
    by_name: HashMap<String, usize>,
}

/// What `.BTF.ext` says about one ELF section. Each list is in the order of its offsets; records of
/// equal offsets keep the order of the file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ExtSection {
    /// The ELF section's name.
    pub name: String,
    /// Where functions start and what their types are.
    pub funcs: Vec<FuncInfo>,
    /// Source lines.
    pub lines: LineRecords,
    /// CO-RE relocations.
    pub core: Vec<CoreRecord>,
}

/// One func_info record (`struct bpf_func_info`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FuncInfo {
    /// Where the function starts in its ELF section, in bytes.
    pub insn_off: u32,
    /// Its FUNC.
    pub type_id: TypeId,
}

/// One line_info record (`struct bpf_line_info`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LineRecord {
    /// Where the line's code starts in its ELF section, in bytes.
    pub insn_off: u32,
    /// String offset of the file's name.
    pub file_off: u32,
    /// String offset of the line's text.
    pub line_off: u32,
    /// Line number << 10 | column.
    pub line_col: u32,
}

/// One CO-RE relocation record (`struct bpf_core_relo`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CoreRecord {
    /// The instruction to relocate: its offset in its ELF section, in bytes.
    pub insn_off: u32,
    /// Root type of the access.
    pub type_id: TypeId,
    /// String offset of the access string ("0:1:2").
    pub access_off: u32,
    /// `enum bpf_core_relo_kind`, as in the file.
    pub kind: u32,
}

const HEADER_LEN: usize = 24;
/// With the CO-RE part's offset and length.
const HEADER_WITH_CORE: usize = 32;
/// What an ELF file can hold without extended section numbers.
const MAX_SECTIONS: usize = 0xff00;

impl BtfExt {
    /// Parses a `.BTF.ext` section of either byte order. Type ids and string offsets of its records
    /// are checked against `btf`, the object's `.BTF`. Line records stay where they are, if they can.
    pub fn parse(bytes: impl Into<Bytes>, btf: &Btf) -> Result<Self, BtfError> {
        Self::read(&bytes.into(), btf)
    }

    fn read(bytes: &Bytes, btf: &Btf) -> Result<Self, BtfError> {
        let truncated = |need: usize| BtfError::Truncated {
            what: "the .BTF.ext header",
            need: need as u64,
            have: bytes.len() as u64,
        };
        let (endian, version) = magic(bytes).ok_or_else(|| truncated(HEADER_LEN))??;
        if version != 1 {
            return Err(BtfError::Version(version));
        }
        let field = |at| endian.u32_at(bytes, at).ok_or_else(|| truncated(at + 4));
        let header_len = field(4)? as usize;
        if header_len < HEADER_LEN {
            return Err(ext(format!("its header of {header_len} bytes is shorter than any known")));
        }
        let have = bytes.len().checked_sub(header_len).ok_or_else(|| truncated(header_len))?;
        let part = |what, at: usize| -> Result<Part<'_>, BtfError> {
            let (offset, len) = (field(at)?, field(at + 4)?);
            let end = (offset as usize).checked_add(len as usize).filter(|&end| end <= have);
            let end = end.ok_or_else(|| {
                ext(format!("{what} at {offset} of {len} bytes does not fit into {have} bytes"))
            })?;
            let bytes = bytes.slice(header_len + offset as usize..header_len + end);
            let (types, strings) = (btf.type_count(), btf.string_len());
            Ok(Part { what, bytes, endian, btf, types, strings })
        };

        let mut out = Self::default();
        let room = |section: &mut ExtSection, more| section.funcs.reserve_exact(more);
        part("func_info", 8)?.read(&mut out, room, never, |part, section, words| {
            let &[insn_off, type_id] = words;
            part.type_id(insn_off, type_id)?;
            if part.btf.ty(TypeId(type_id)).kind() != Kind::Func {
                return Err(format!("offset {insn_off:#x}: type [{type_id}] is no FUNC"));
            }
            section.funcs.push(FuncInfo { insn_off, type_id: TypeId(type_id) });
            Ok(())
        })?;
        let room = |section: &mut ExtSection, more| {
            section.lines.change(|lines| lines.reserve_exact(more))
        };
        part("line_info", 16)?.read(&mut out, room, Part::add_lines, |part, section, words| {
            let &[insn_off, file_off, line_off, line_col] = words;
            part.string(insn_off, file_off)?;
            part.string(insn_off, line_off)?;
            let line = LineRecord { insn_off, file_off, line_off, line_col };
            section.lines.change(|lines| lines.push(line));
            Ok(())
        })?;
        if header_len >= HEADER_WITH_CORE {
            let room = |section: &mut ExtSection, more| section.core.reserve_exact(more);
            part("core_relo", 24)?.read(&mut out, room, never, |part, section, words| {
                let &[insn_off, type_id, access_off, kind] = words;
                part.type_id(insn_off, type_id)?;
                part.string(insn_off, access_off)?;
                let type_id = TypeId(type_id);
                section.core.push(CoreRecord { insn_off, type_id, access_off, kind });
                Ok(())
            })?;
        }
        for section in &mut out.sections {
            order::sort_by_key(&mut section.funcs, |r| r.insn_off);
            section.lines.sort();
            order::sort_by_key(&mut section.core, |r| r.insn_off);
        }
        Ok(out)
    }

    /// What is said about the ELF section of this name.
    pub fn section(&self, name: &str) -> Option<&ExtSection> {
        self.sections.get(*self.by_name.get(name)?)
    }

    /// All ELF sections that something is said about, in the order in which the file names them.
    pub fn sections(&self) -> &[ExtSection] {
        &self.sections
    }

    fn section_mut(&mut self, name: &str) -> &mut ExtSection {
        let at = self.by_name.get(name).copied().unwrap_or_else(|| {
            self.by_name.insert(name.to_owned(), self.sections.len());
            self.sections.push(ExtSection { name: name.to_owned(), ..ExtSection::default() });
            self.sections.len() - 1
        });
        #[expect(clippy::indexing_slicing, reason = "`by_name` holds indices into `sections`")]
        &mut self.sections[at]
    }
}

/// One of the three parts: a record size, then blocks of records, one block an ELF section.
struct Part<'a> {
    what: &'static str,
    bytes: Bytes,
    endian: Endian,
    btf: &'a Btf,
    /// Ends of the ids and of the string offsets in `btf`.
    types: u32,
    strings: u32,
}

impl Part<'_> {
    /// Reads all blocks; `add_all` adds the records of one if they are as usual and adds none if they
    /// are not; `reserve` makes room for them; `add` checks one record, of which it gets the `N` known
    /// words, and adds it.
    fn read<const N: usize>(
        &self,
        out: &mut BtfExt,
        reserve: impl Fn(&mut ExtSection, usize),
        add_all: impl Fn(&Self, &mut ExtSection, Bytes) -> bool,
        add: impl Fn(&Self, &mut ExtSection, &[u32; N]) -> Result<(), String>,
    ) -> Result<(), BtfError> {
        if self.bytes.is_empty() {
            return Ok(());
        }
        let what = self.what;
        let word = |at: usize| self.endian.u32_at(&self.bytes, at);
        let cut = || ext(format!("{what} ends in the middle of a block"));
        let step = word(0).ok_or_else(cut)? as usize;
        if step < N * 4 || !step.is_multiple_of(4) {
            let least = N * 4;
            let problem =
                format!("{what} records of {step} bytes: a multiple of 4 from {least} on");
            return Err(ext(format!("{problem} is wanted")));
        }
        let mut at = 4;
        while at < self.bytes.len() {
            let (name_off, count) = (word(at).ok_or_else(cut)?, word(at + 4).ok_or_else(cut)?);
            let name = self.btf.name_at(name_off).filter(|name| !name.is_empty());
            let name = name.and_then(|name| std::str::from_utf8(name).ok()).ok_or_else(|| {
                ext(format!("{what} block at {at:#x}: string {name_off} names no ELF section"))
            })?;
            at += 8;
            let end = (count as usize).checked_mul(step).and_then(|len| at.checked_add(len));
            let records = end.and_then(|end| self.bytes.get(at..end)).ok_or_else(|| {
                let have = self.bytes.len() - at;
                ext(format!(
                    "{what} of section {name:?}: {count} records of {step} bytes, {have} are left"
                ))
            })?;
            if records.is_empty() {
                continue;
            }
            if out.sections.len() >= MAX_SECTIONS {
                return Err(ext(format!("it names more than {MAX_SECTIONS} ELF sections")));
            }
            let section = out.section_mut(name);
            let is_usual = step == N * 4 && self.endian == Endian::NATIVE;
            let place = at..at + records.len();
            at = place.end;
            if is_usual && add_all(self, section, self.bytes.slice(place)) {
                continue;
            }
            reserve(section, count as usize);
            for record in records.chunks_exact(step) {
                let Some(bytes) = record.as_chunks().0.first_chunk::<N>() else { continue };
                let words = match self.endian {
                    Endian::Little => bytes.map(u32::from_le_bytes),
                    Endian::Big => bytes.map(u32::from_be_bytes),
                };
                if let Err(problem) = add(self, section, &words) {
                    return Err(ext(format!("{what} of section {name:?}, {problem}")));
                }
            }
        }
        Ok(())
    }

    /// There are as many lines as there are instructions, nearly: they are not copied.
    fn add_lines(&self, section: &mut ExtSection, records: Bytes) -> bool {
        section.lines.is_empty()
            && LineRecords::in_place(records, self.strings)
                .map(|lines| section.lines = lines)
                .is_some()
    }

    fn type_id(&self, insn_off: u32, id: u32) -> Result<(), String> {
        let count = self.types;
        match id < count {
            true => Ok(()),
            false => Err(format!("offset {insn_off:#x}: type [{id}], there are only {count}")),
        }
    }

    fn string(&self, insn_off: u32, offset: u32) -> Result<(), String> {
        let len = self.strings;
        match offset < len {
            true => Ok(()),
            false => Err(format!(
                "offset {insn_off:#x}: string offset {offset}, the strings end at {len}"
            )),
        }
    }
}

/// Of a part whose records are added one by one.
fn never(_: &Part<'_>, _: &mut ExtSection, _: Bytes) -> bool {
    false
}

fn ext(problem: String) -> BtfError {
    BtfError::Ext(problem)
}

#[cfg(test)]
pub(crate) mod tests;
