//! One pass over all records of a blob: where they start, and whether what is in them leads anywhere.

use crate::BtfError;
use crate::kind::{MAX_TYPES, RECORD_HEAD, Shape};
use crate::read::Word;

/// Types, from which on not each has its start kept.
const MANY_TYPES: usize = 1 << 16;
/// One in so many (as a power of 2) has, then.
const SPARSE: u32 = 3;

/// What one pass over all records finds out.
pub(crate) struct Scan {
    /// Where records start, in words, of every `1 << shift`th type.
    pub(crate) starts: Vec<u32>,
    pub(crate) shift: u32,
    /// Number of types.
    pub(crate) count: u32,
    /// Numbers, from 0, of sections and of functions and variables of linkage extern.
    pub(crate) landmarks: Vec<u32>,
    pub(crate) highest: Highest,
}

/// The highest numbers in all records.
#[derive(Default)]
pub(crate) struct Highest {
    /// Type id.
    pub(crate) target: u32,
    /// String offset.
    pub(crate) name: u32,
    pub(crate) linkage: u32,
}

const LINKAGE_EXTERN: u32 = 2;

impl Scan {
    fn empty(words: &[Word]) -> Self {
        let shift = if words.len() / 4 < MANY_TYPES { 0 } else { SPARSE };
        let starts = Vec::with_capacity((words.len() / 4) >> shift);
        Self { starts, shift, count: 0, landmarks: Vec::new(), highest: Highest::default() }
    }

    /// Looks at all words of all records.
    pub(crate) fn all(words: &[Word], first_id: u32) -> Result<Self, BtfError> {
        let mut scan = Self::empty(words);
        let mask = (1 << scan.shift) - 1;
        let (mut target, mut named, mut linkage) = (0, 0, 0);
        let mut rest = words;
        let mut count = 0;
        while let Some((&[name, info, third], behind)) = rest.split_first_chunk() {
            if count & mask == 0 {
                scan.start(words, rest, count)?;
            }
            let [name, info, third] = [name, info, third].map(u32::from_ne_bytes);
            named = named.max(name);
            let members = |step: usize| behind.split_at_checked((info & 0xffff) as usize * step);
            // By the kernel's numbers: see `Kind`.
            let next = match info >> 24 & 0x1f {
                // Pointer, typedef, volatile, const, restrict, type tag.
                2 | 8..=11 | 18 => {
                    target = target.max(third);
                    Some(behind)
                }
                // Forward declaration, floating point number.
                7 | 16 => Some(behind),
                // Integer.
                1 => behind.get(1..),
                // Array.
                3 => behind.split_first_chunk().map(|(&[element, index, _], behind)| {
                    target = target.max(number(element)).max(number(index));
                    behind
                }),
                // Struct, union.
                4 | 5 => members(3).map(|(members, behind)| {
                    for &[name, ty, _] in members.as_chunks().0 {
                        named = named.max(number(name));
                        target = target.max(number(ty));
                    }
                    behind
                }),
                // Enumeration.
                6 => members(2).map(|(members, behind)| {
                    for &[name, _] in members.as_chunks().0 {
                        named = named.max(number(name));
                    }
                    behind
                }),
                // Function.
                12 => {
                    target = target.max(third);
                    linkage = linkage.max(info & 0xffff);
                    if info & 0xffff == LINKAGE_EXTERN {
                        scan.landmarks.push(count);
                    }
                    Some(behind)
                }
                // Prototype.
                13 => members(2).map(|(members, behind)| {
                    target = target.max(third);
                    for &[name, ty] in members.as_chunks().0 {
                        named = named.max(number(name));
                        target = target.max(number(ty));
                    }
                    behind
                }),
                // Variable.
                14 => behind.split_first().map(|(&own, behind)| {
                    target = target.max(third);
                    linkage = linkage.max(number(own));
                    if number(own) == LINKAGE_EXTERN {
                        scan.landmarks.push(count);
                    }
                    behind
                }),
                // Section.
                15 => members(3).map(|(members, behind)| {
                    for &[ty, _, _] in members.as_chunks().0 {
                        target = target.max(number(ty));
                    }
                    scan.landmarks.push(count);
                    behind
                }),
                // Declaration tag.
                17 => {
                    target = target.max(third);
                    behind.get(1..)
                }
                // 64-bit enumeration.
                19 => members(3).map(|(members, behind)| {
                    for &[name, _, _] in members.as_chunks().0 {
                        named = named.max(number(name));
                    }
                    behind
                }),
                kind => return Err(unknown(words, rest, first_id.saturating_add(count), kind)),
            };
            rest = next.ok_or_else(|| cut(words, rest, record_len(rest)))?;
            count += 1;
        }
        scan.count = count;
        scan.highest = Highest { target, name: named, linkage };
        scan.finish(words, rest)
    }

    /// Looks at records' heads; `see` gets number and string offset of every named type.
    pub(crate) fn records(
        words: &[Word],
        first_id: u32,
        mut see: impl FnMut(u32, u32),
    ) -> Result<Self, BtfError> {
        let mut scan = Self::empty(words);
        let mask = (1 << scan.shift) - 1;
        let mut rest = words;
        let mut count = 0;
        while let Some((&[name, info, _], behind)) = rest.split_first_chunk() {
            if count & mask == 0 {
                scan.start(words, rest, count)?;
            }
            let (name, info) = (number(name), number(info));
            let shape = Shape::of(info);
            count += 1;
            // Most of a kernel's records.
            if shape.is_bare() {
                rest = behind;
                continue;
            }
            if shape.is_type() && name != 0 {
                see(count - 1, name);
            }
            let len = shape.record_len(info);
            if !shape.known() {
                let id = first_id.saturating_add(count - 1);
                return Err(unknown(words, rest, id, info >> 24 & 0x1f));
            }
            rest = rest.get(len..).ok_or_else(|| cut(words, rest, len))?;
        }
        scan.count = count;
        scan.finish(words, rest)
    }

    /// Keeps where the record at the start of `rest` starts.
    #[inline]
    fn start(&mut self, words: &[Word], rest: &[Word], count: u32) -> Result<(), BtfError> {
        if count as usize >= MAX_TYPES {
            let (id, problem) = (count, format!("more than {MAX_TYPES} types"));
            return Err(BtfError::Type { id, problem });
        }
        self.starts.push(u32::try_from(words.len() - rest.len()).unwrap_or(u32::MAX));
        Ok(())
    }

    fn finish(self, words: &[Word], rest: &[Word]) -> Result<Self, BtfError> {
        match rest {
            [] => Ok(self),
            _ => Err(cut(words, rest, RECORD_HEAD)),
        }
    }
}

#[inline]
fn number(word: Word) -> u32 {
    u32::from_ne_bytes(word)
}

#[cold]
fn unknown(words: &[Word], rest: &[Word], id: u32, kind: u32) -> BtfError {
    BtfError::Kind { id, offset: (words.len() - rest.len()) * 4, kind }
}

/// Words of the record at the start of these; more than there are when it is cut.
pub(crate) fn record_len(words: &[Word]) -> usize {
    let info = words.get(1).map_or(0, |&info| u32::from_ne_bytes(info));
    Shape::of(info).record_len(info)
}

/// Goes over records that are known to be whole; `see` gets number, name and info of each and says
/// when it is enough.
#[inline]
pub(crate) fn walk(words: &[Word], mut see: impl FnMut(u32, u32, u32) -> bool) {
    let (mut rest, mut count) = (words, 0);
    while let Some((&[name, info, _], behind)) = rest.split_first_chunk() {
        let (name, info) = (u32::from_ne_bytes(name), u32::from_ne_bytes(info));
        if see(count, name, info) {
            return;
        }
        let shape = Shape::of(info);
        rest = match shape.is_bare() {
            true => behind,
            false => rest.get(shape.record_len(info)..).unwrap_or(&[]),
        };
        count += 1;
    }
}

/// `rest` should hold a record of `len` words.
#[cold]
fn cut(words: &[Word], rest: &[Word], len: usize) -> BtfError {
    BtfError::Truncated {
        what: "a type record",
        need: (words.len() - rest.len() + len) as u64 * 4,
        have: words.len() as u64 * 4,
    }
}
