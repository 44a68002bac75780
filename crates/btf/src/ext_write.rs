//! Writing `.BTF.ext` ([`crate::ext`] says what is in it), record by record.

use crate::Endian;
use crate::ext::{CoreRecord, FuncInfo, LineRecord};
use crate::read::MAGIC;

/// Header with the part about CO-RE.
const HEADER_LEN: usize = 32;

/// A `.BTF.ext` section in the making. How many records there are of each kind for each ELF section is
/// known from the start; of each kind they come in that order.
#[derive(Debug)]
pub struct ExtWriter<'o> {
    /// The section's bytes.
    bytes: &'o mut [u8],
    endian: Endian,
    /// Functions, lines, CO-RE.
    parts: [Part; 3],
}

#[derive(Debug, Default)]
struct Part {
    /// What is left: string offset of the ELF section's name, records.
    blocks: std::collections::VecDeque<(u32, u32)>,
    /// Records that are still to come in the block that is being written.
    left: u32,
    /// Where the next goes.
    at: usize,
}

/// Words of a record of each part.
const WORDS: [usize; 3] = [2, 4, 4];

impl<'o> ExtWriter<'o> {
    /// For records of functions, of lines, of CO-RE relocations: string offset of the ELF section's name
    /// and number of records of each block. The section comes behind what is in `out`; nothing does when
    /// there are no records.
    pub fn new<B: Iterator<Item = (u32, u32)>>(
        out: &'o mut Vec<u8>,
        endian: Endian,
        blocks: [B; 3],
    ) -> Self {
        let mut parts: [Part; 3] = Default::default();
        let mut header = vec![32];
        let mut end = HEADER_LEN;
        for ((part, blocks), words) in parts.iter_mut().zip(blocks).zip(WORDS) {
            part.blocks = blocks.filter(|&(_, count)| count > 0).collect();
            let records: usize = part.blocks.iter().map(|&(_, count)| count as usize).sum();
            let len = match part.blocks.len() {
                0 => 0,
                blocks => 4 + blocks * 8 + records * words * 4,
            };
            // ELF sections are below 4 GiB, and so is what is said about them.
            let number = |n| u32::try_from(n).unwrap_or(u32::MAX);
            header.extend([number(end - HEADER_LEN), number(len)]);
            part.at = end;
            end += len;
        }
        let from = out.len();
        out.resize(if end == HEADER_LEN { from } else { from + end }, 0);
        let bytes = out.get_mut(from..).unwrap_or_default();
        let mut new = Self { bytes, endian, parts };
        let magic = match endian {
            Endian::Little => MAGIC.to_le_bytes(),
            Endian::Big => MAGIC.to_be_bytes(),
        };
        if let Some(head) = new.bytes.first_chunk_mut::<4>() {
            *head = [magic[0], magic[1], 1, 0];
        }
        new.put(4, &header);
        for index in 0..3 {
            if let (Some(part), Some(&words)) = (new.parts.get(index), WORDS.get(index))
                && !part.blocks.is_empty()
            {
                let at = part.at;
                // 8 or 16.
                new.put(at, &[u32::try_from(words * 4).unwrap_or(0)]);
                if let Some(part) = new.parts.get_mut(index) {
                    part.at += 4;
                }
            }
        }
        new
    }

    /// A function's start.
    pub fn func(&mut self, record: FuncInfo) {
        self.add(0, &[record.insn_off, record.type_id.0]);
    }

    /// A source line.
    pub fn line(&mut self, record: LineRecord) {
        let LineRecord { insn_off, file_off, line_off, line_col } = record;
        self.add(1, &[insn_off, file_off, line_off, line_col]);
    }

    /// A CO-RE relocation.
    pub fn core(&mut self, record: CoreRecord) {
        let CoreRecord { insn_off, type_id, access_off, kind } = record;
        self.add(2, &[insn_off, type_id.0, access_off, kind]);
    }

    fn add(&mut self, part: usize, record: &[u32]) {
        let Some(part) = self.parts.get_mut(part) else { return };
        let mut at = part.at;
        let head = match part.left {
            0 => part.blocks.pop_front(),
            _ => None,
        };
        if let Some((_, count)) = head {
            part.left = count;
            part.at += 8;
        }
        part.left = part.left.saturating_sub(1);
        part.at += record.len() * 4;
        if let Some((name, count)) = head {
            self.put(at, &[name, count]);
            at += 8;
        }
        self.put(at, record);
    }

    fn put(&mut self, at: usize, words: &[u32]) {
        let room = self.bytes.get_mut(at..).unwrap_or(&mut []);
        for (place, &word) in room.as_chunks_mut::<4>().0.iter_mut().zip(words) {
            *place = match self.endian {
                Endian::Little => word.to_le_bytes(),
                Endian::Big => word.to_be_bytes(),
            };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{BtfBuilder, BtfExt, Linkage, TypeId};

    #[test]
    fn what_is_written_is_read_again() {
        let mut b = BtfBuilder::new();
        let proto = b.add_func_proto(TypeId::VOID, &[]);
        let func = b.add_func("f", proto, Linkage::Global);
        let (text, xdp) = (b.add_str(b".text"), b.add_str(b"xdp"));
        for endian in [Endian::Little, Endian::Big] {
            let btf = b.snapshot().unwrap();
            let blocks =
                [vec![(text, 2), (xdp, 1)], vec![(text, 0), (xdp, 2)], vec![(text, 0), (xdp, 1)]];
            let mut bytes = vec![9; 3];
            let mut ext = ExtWriter::new(&mut bytes, endian, blocks.map(Vec::into_iter));
            let infos = [0, 8, 0].map(|insn_off| FuncInfo { insn_off, type_id: func });
            infos.into_iter().for_each(|info| ext.func(info));
            let lines = [0, 16].map(|insn_off| LineRecord {
                insn_off,
                file_off: text,
                line_off: xdp,
                line_col: 7 << 10,
            });
            lines.into_iter().for_each(|line| ext.line(line));
            let core = CoreRecord { insn_off: 8, type_id: func, access_off: xdp, kind: 3 };
            ext.core(core);
            let read = BtfExt::parse(bytes[3..].to_vec(), &btf).unwrap();
            assert_eq!(read.section(".text").unwrap().funcs, infos[..2]);
            assert_eq!(read.section("xdp").unwrap().funcs, infos[2..]);
            assert!(read.section("xdp").unwrap().lines.iter().eq(lines));
            assert_eq!(read.section("xdp").unwrap().core, [core]);
            assert!(read.section(".text").unwrap().lines.is_empty());
        }
        let none = [Vec::new(), vec![(text, 0)], Vec::new()];
        let mut bytes = Vec::new();
        ExtWriter::new(&mut bytes, Endian::Little, none.map(Vec::into_iter));
        assert!(bytes.is_empty());
    }
}
