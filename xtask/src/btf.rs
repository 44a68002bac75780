//! Rewrites a compiled object's BTF into forms that today's clang does not emit.
//!
//! Offsets move, so both rewrites also say where each word went: the sections have relocations.

use anyhow::{Context as _, Result, ensure};

use crate::elf::Elf;

const FUNC: u32 = 12;
const VAR: u32 = 14;
const DATASEC: u32 = 15;
const EXTERN: u32 = 2;

/// Turns extern functions into the encoding of 2019: a `VAR` of linkage extern whose type is the
/// `FUNC_PROTO`, listed in a DATASEC `.extern` of size 0 without an ELF section. Functions that a
/// DATASEC lists already (`.ksyms`) stay.
pub(crate) fn extern_2019(elf: &mut Elf) -> Result<()> {
    let old = elf.section(".BTF")?.to_vec();
    let header = Words(&old);
    let (type_off, type_len) = (24 + header.at(8)?, header.at(12)?);
    let (str_off, str_len) = (24 + header.at(16)?, header.at(20)?);
    ensure!(header.at(4)? == 24 && type_off == 24, "BTF header is not clang's");

    let types = Words(slice(&old, type_off, type_len)?);
    let records = types.records()?;
    let listed = types.in_datasecs(&records)?;
    let mut out = Vec::new();
    // (old offset, new offset) of each record, both in the section.
    let mut places = Vec::new();
    let mut externs = Vec::new();
    for (index, &(at, len)) in records.iter().enumerate() {
        let id = u32::try_from(index + 1)?;
        places.push((type_off + at, 24 + out.len()));
        let info = types.word(at + 4)?;
        if kind(info) == FUNC && info & 0xffff == EXTERN && !listed.contains(&id) {
            for word in [types.word(at)?, VAR << 24, types.word(at + 8)?, EXTERN] {
                out.extend(word.to_le_bytes());
            }
            externs.push(id);
        } else {
            out.extend_from_slice(slice(types.0, at, len)?);
        }
    }
    ensure!(!externs.is_empty(), "no extern function to rewrite");
    let name = u32::try_from(str_len)?;
    for word in [name, DATASEC << 24 | u32::try_from(externs.len())?, 0] {
        out.extend(word.to_le_bytes());
    }
    for id in externs {
        for word in [id, 0, 0] {
            out.extend(word.to_le_bytes());
        }
    }

    let mut strings = slice(&old, str_off, str_len)?.to_vec();
    strings.extend_from_slice(b".extern\0");
    let mut new = slice(&old, 0, 8)?.to_vec();
    for word in [0, out.len(), out.len(), strings.len()] {
        new.extend(u32::try_from(word)?.to_le_bytes());
    }
    new.extend(out);
    new.extend(strings);
    elf.replace(".BTF", &new, |offset| follow(&places, offset))
}

/// Pads every line_info record to `size` bytes with zeros, as a later format would have them.
pub(crate) fn line_record_size(elf: &mut Elf, size: usize) -> Result<()> {
    let old = elf.section(".BTF.ext")?.to_vec();
    let header = Words(&old);
    let header_len = header.at(4)?;
    let (line_off, line_len) = (header_len + header.at(16)?, header.at(20)?);
    let was = header.at(line_off)?;
    ensure!(size > was && size.is_multiple_of(4), "record size {size} must be over {was}");

    let mut new = slice(&old, 0, line_off)?.to_vec();
    let mut places = vec![(0, 0)];
    new.extend(u32::try_from(size)?.to_le_bytes());
    let mut at = line_off + 4;
    while at < line_off + line_len {
        let count = header.at(at + 4)?;
        new.extend_from_slice(slice(&old, at, 8)?);
        at += 8;
        for _ in 0..count {
            places.push((at, new.len()));
            new.extend_from_slice(slice(&old, at, was)?);
            new.resize(new.len() + size - was, 0);
            at += was;
        }
    }
    let grown = new.len() - at;
    places.push((at, new.len()));
    new.extend_from_slice(old.get(at..).unwrap_or(&[]));
    put(&mut new, 20, line_len + grown)?;
    // CO-RE records lie behind, if the header is long enough to speak of them.
    if header_len >= 32 {
        let core = header.at(24)?;
        if core + header_len >= line_off + line_len {
            put(&mut new, 24, core + grown)?;
        }
    }
    elf.replace(".BTF.ext", &new, |offset| follow(&places, offset))
}

fn follow(places: &[(usize, usize)], offset: usize) -> Result<usize> {
    let at = places.partition_point(|&(old, _)| old <= offset);
    let (old, new) =
        at.checked_sub(1).and_then(|i| places.get(i)).context("relocation in the header")?;
    Ok(new + (offset - old))
}

fn kind(info: u32) -> u32 {
    info >> 24 & 0x1f
}

fn slice(bytes: &[u8], at: usize, len: usize) -> Result<&[u8]> {
    bytes.get(at..at + len).context("the section ends too early")
}

fn put(bytes: &mut [u8], at: usize, value: usize) -> Result<()> {
    let to = bytes.get_mut(at..at + 4).context("the section ends too early")?;
    to.copy_from_slice(&u32::try_from(value)?.to_le_bytes());
    Ok(())
}

struct Words<'a>(&'a [u8]);

impl Words<'_> {
    fn word(&self, at: usize) -> Result<u32> {
        let b = slice(self.0, at, 4)?;
        Ok(u32::from_le_bytes([b[0], b[1], b[2], b[3]]))
    }

    fn at(&self, at: usize) -> Result<usize> {
        Ok(self.word(at)? as usize)
    }

    /// Offset and length of each type record.
    fn records(&self) -> Result<Vec<(usize, usize)>> {
        let mut records = Vec::new();
        let mut at = 0;
        while at < self.0.len() {
            let info = self.word(at + 4)?;
            let vlen = (info & 0xffff) as usize;
            let len = 12
                + match kind(info) {
                    1 | VAR | 17 => 4,
                    3 => 12,
                    4 | 5 | DATASEC | 19 => vlen * 12,
                    6 | 13 => vlen * 8,
                    _ => 0,
                };
            records.push((at, len));
            at += len;
        }
        Ok(records)
    }

    fn in_datasecs(&self, records: &[(usize, usize)]) -> Result<Vec<u32>> {
        let mut ids = Vec::new();
        for &(at, len) in records {
            if kind(self.word(at + 4)?) == DATASEC {
                for entry in (at + 12..at + len).step_by(12) {
                    ids.push(self.word(entry)?);
                }
            }
        }
        Ok(ids)
    }
}
