//! The line records of an ELF section.

use std::mem;

use crate::ext::LineRecord;
use crate::read::Word;
use crate::{Bytes, order};

/// Line records in the order of their offsets. Those of the machine's byte order stay in the file's bytes.
#[derive(Debug, Clone)]
pub struct LineRecords(Place);

#[derive(Debug, Clone)]
enum Place {
    /// As in the file.
    File(Bytes),
    Read(Vec<LineRecord>),
}

impl LineRecords {
    /// None.
    pub const EMPTY: Self = Self(Place::Read(Vec::new()));

    /// Of records in the machine's byte order that are in order; offsets of strings are less than
    /// `strings`. `None` when they are not.
    pub(crate) fn in_place(records: Bytes, strings: u32) -> Option<Self> {
        let (mut highest, mut at, mut rising) = (0, 0, true);
        for record in words(&records) {
            let LineRecord { insn_off, file_off, line_off, .. } = line(record);
            highest = file_off.max(line_off).max(highest);
            rising &= at <= insn_off;
            at = insn_off;
        }
        (rising && highest < strings).then_some(Self(Place::File(records)))
    }

    /// Changes the records, which are then no longer the file's.
    pub(crate) fn change(&mut self, change: impl FnOnce(&mut Vec<LineRecord>)) {
        let mut records = match mem::take(self).0 {
            Place::File(records) => words(&records).iter().map(line).collect(),
            Place::Read(records) => records,
        };
        change(&mut records);
        self.0 = Place::Read(records);
    }

    pub(crate) fn sort(&mut self) {
        if let Place::Read(records) = &mut self.0 {
            order::sort_by_key(records, |r| r.insn_off);
        }
    }

    /// How many.
    pub fn len(&self) -> usize {
        match &self.0 {
            Place::File(records) => words(records).len(),
            Place::Read(records) => records.len(),
        }
    }

    /// None?
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// All. Quickest when they are not asked for one by one (`for_each`, `extend`).
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = LineRecord> + '_ {
        let (there, read) = match &self.0 {
            Place::File(records) => (words(records), &[][..]),
            Place::Read(records) => (&[][..], records.as_slice()),
        };
        there.iter().map(line).chain(read.iter().copied())
    }

    /// Those of offsets from `from` up to `to`, which is not included.
    pub fn between(&self, from: u64, to: u64) -> Self {
        match &self.0 {
            Place::File(records) => {
                let all = words(records);
                let before = |end| all.partition_point(|r| u64::from(line(r).insn_off) < end);
                let (from, to) = (before(from), before(to));
                let part = all.get(from..to).unwrap_or_default().as_flattened().as_flattened();
                Self(Place::File(records.slice_ref(part)))
            }
            Place::Read(records) => {
                let before = |end| records.partition_point(|r| u64::from(r.insn_off) < end);
                Self(Place::Read(records.get(before(from)..before(to)).unwrap_or_default().into()))
            }
        }
    }
}

impl Default for LineRecords {
    fn default() -> Self {
        Self::EMPTY
    }
}

/// Of records in the order of their offsets.
impl FromIterator<LineRecord> for LineRecords {
    fn from_iter<I: IntoIterator<Item = LineRecord>>(records: I) -> Self {
        Self(Place::Read(records.into_iter().collect()))
    }
}

impl PartialEq for LineRecords {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl Eq for LineRecords {}

fn words(records: &[u8]) -> &[[Word; 4]] {
    records.as_chunks().0.as_chunks().0
}

fn line(words: &[Word; 4]) -> LineRecord {
    let [insn_off, file_off, line_off, line_col] = words.map(u32::from_ne_bytes);
    LineRecord { insn_off, file_off, line_off, line_col }
}
