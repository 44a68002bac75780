//! What is kept of a file for what is read on first use: its bytes, and the sections that they have.

use bpfweld_btf::Bytes;

use crate::elf::{Elf, Facts, Section};
use crate::functions::slice;
use crate::roles::Role;

/// Sections of a checked ELF file, independent of whoever holds its bytes.
pub(crate) struct Kept {
    bytes: Bytes,
    sections: Vec<KeptSection>,
    facts: Facts,
}

/// [`Section`] with places in the bytes instead of references.
struct KeptSection {
    name: (usize, usize),
    data: (usize, usize),
    kind: u32,
    flags: u64,
    size: u64,
    align: u64,
    entry_size: u64,
    role: Role,
}

impl KeptSection {
    /// Of a section, where its name and its data are: start and length in bytes.
    fn of(section: &Section<'_>, name: (usize, usize), data: (usize, usize)) -> Self {
        Self {
            name,
            data,
            kind: section.kind,
            flags: section.flags,
            size: section.size,
            align: section.align,
            entry_size: section.entry_size,
            role: section.role,
        }
    }
}

impl Kept {
    /// Of an ELF file that `bytes` are.
    pub(crate) fn shared(elf: &Elf<'_>, bytes: Bytes) -> Self {
        let names = elf.section(elf.names()).map_or(0, |names| names.start);
        let section = |s: &Section<'_>| {
            let name = (names.saturating_add(s.name_off), s.name.len());
            KeptSection::of(s, name, (s.start, s.data.len()))
        };
        let sections = elf.sections.iter().map(section).collect();
        Self { bytes, sections, facts: elf.facts().clone() }
    }

    /// Of an ELF file whose bytes go away: copies what is needed.
    pub(crate) fn copied(elf: &Elf<'_>) -> Self {
        let is_used: Vec<bool> = (0..elf.sections.len()).map(|at| elf.is_used(at)).collect();
        let used = || elf.sections.iter().zip(&is_used).filter(|(_, used)| **used).map(|(s, _)| s);
        let lengths = elf.sections.iter().map(|s| s.name.len());
        let room = used().map(|s| s.data.len()).chain(lengths).sum();
        let mut bytes = Vec::with_capacity(room);
        let mut put = |part: &[u8]| {
            let at = bytes.len();
            bytes.extend_from_slice(part);
            (at, part.len())
        };
        let section = |(s, used): (&Section<'_>, &bool)| {
            let name = put(s.name.as_bytes());
            KeptSection::of(s, name, if *used { put(s.data) } else { (0, 0) })
        };
        let sections = elf.sections.iter().zip(&is_used).map(section).collect();
        Self { bytes: bytes.into(), sections, facts: elf.facts().clone() }
    }

    /// The file again; of what is not used, sections have no data.
    pub(crate) fn elf(&self) -> Elf<'_> {
        let part = |(start, len): (usize, usize)| {
            let end = start.checked_add(len);
            end.and_then(|end| self.bytes.get(start..end)).unwrap_or_default()
        };
        let section = |s: &KeptSection| Section {
            // It was UTF-8 when the file was read.
            name: std::str::from_utf8(part(s.name)).unwrap_or_default(),
            kind: s.kind,
            flags: s.flags,
            size: s.size,
            data: part(s.data),
            align: s.align,
            entry_size: s.entry_size,
            role: s.role,
            start: s.data.0,
            name_off: 0,
        };
        Elf::again(self.sections.iter().map(section).collect(), &self.facts)
    }

    /// The contents of a section, shared.
    pub(crate) fn data(&self, section: usize) -> Bytes {
        let range = self.sections.get(section).map_or((0, 0), |s| s.data);
        let end = range.0.saturating_add(range.1);
        // `Bytes::slice` would panic.
        if end <= self.bytes.len() { self.bytes.slice(range.0..end) } else { Bytes::new() }
    }

    /// A part of them; nothing when it is not all inside.
    pub(crate) fn part(&self, section: usize, start: u64, end: u64) -> Bytes {
        let data = self.data(section);
        slice(&data, start, end).map_or_else(Bytes::new, |part| data.slice_ref(part))
    }
}
