//! One pass over all records of a blob: where they start, and whether what is in them leads anywhere.

use crate::BtfError;
use crate::kind::{MAX_TYPES, Shape};
use crate::read::Word;
use crate::walk::{BARE, SPARSE, Sparse, cut, record_len, unknown};

/// Types, from which on not each has its start kept.
const MANY_TYPES: usize = 1 << 16;

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
                _ => {
                    let at = words.len() - rest.len();
                    return Err(unknown(first_id.saturating_add(count), at, info));
                }
            };
            rest = next.ok_or_else(|| cut(words, words.len() - rest.len() + record_len(rest)))?;
            count += 1;
        }
        scan.count = count;
        scan.highest = Highest { target, name: named, linkage };
        scan.finish(words, rest)
    }

    /// Looks at records' heads; `see` gets place and string offset of every named type. Of every
    /// `1 << SPARSE`th type the start is kept.
    pub(crate) fn records(
        words: &[Word],
        first_id: u32,
        see: impl FnMut(usize),
    ) -> Result<Self, BtfError> {
        let Sparse { starts, count } = Sparse::new(words, first_id, see)?;
        let (landmarks, highest) = Default::default();
        Ok(Self { starts, shift: SPARSE, count, landmarks, highest })
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
            _ => Err(cut(words, words.len() - rest.len())),
        }
    }
}

#[inline]
fn number(word: Word) -> u32 {
    u32::from_ne_bytes(word)
}

/// Goes over all records, which are known to be whole; `see` gets the second word of each.
#[inline]
pub(crate) fn each_info(words: &[Word], mut see: impl FnMut(u32)) {
    let mut rest = words;
    while let Some((&[_, info, _], behind)) = rest.split_first_chunk() {
        let info = number(info);
        see(info);
        rest = match BARE >> (info >> 24 & 0x1f) & 1 != 0 {
            true => behind,
            false => rest.get(Shape::of(info).record_len(info)..).unwrap_or(&[]),
        };
    }
}
