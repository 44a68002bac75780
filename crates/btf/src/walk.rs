//! Walking over type records one behind the other, as fast as it goes: a kernel's BTF has 130,000.

use std::ops::ControlFlow;

use crate::index::place;
use crate::kind::{MAX_TYPES, RECORD_HEAD, Shape};
use crate::read::Word;
use crate::{BtfError, Kind};

/// Of large blobs, one in so many types (as a power of 2) has its start kept.
pub(crate) const SPARSE: u32 = 4;
const GROUP: u32 = 1 << SPARSE;

/// Kinds, a bit each, that [`Kind::is_declared`].
pub(crate) const DECLARED: u32 = Shape::kinds(Shape::DECLARED, Shape::DECLARED);

/// Bits of no kind.
const UNKNOWN: u32 = !Shape::kinds(0, 0);

/// Kinds whose records are their heads alone.
pub(crate) const BARE: u32 = Shape::kinds(Shape::LENGTHS, Shape::lengths(0, 0));
/// Kinds whose records have two words for each member.
const PAIRS: u32 = Shape::kinds(Shape::LENGTHS, Shape::lengths(0, 2));

/// Where the records of a large blob are.
pub(crate) struct Sparse {
    /// Where every sixteenth starts.
    pub(crate) starts: Vec<u32>,
    /// How many there are.
    pub(crate) count: u32,
}

impl Sparse {
    /// Checks the kind and length of every record. `see` gets the place of each type that has a
    /// name; see [`Kind::is_declared`].
    #[inline]
    pub(crate) fn new(
        words: &[Word],
        first_id: u32,
        mut see: impl FnMut(usize),
    ) -> Result<Self, BtfError> {
        let mut starts = Vec::with_capacity((words.len() / 4) >> SPARSE);
        let mut start = |at| starts.push(place(at));
        let mut first_unknown = None;
        let (count, end) = walk_from(words, 0, DECLARED | UNKNOWN, &mut start, |record| {
            if Kind::of_info(record.info).is_none() {
                first_unknown = Some(record);
                return ControlFlow::Break(());
            }
            if name(words, record.at) != 0 {
                see(record.at);
            }
            ControlFlow::Continue(())
        });
        match (first_unknown, count as usize) {
            (Some(Record { at, info }), _) => {
                Err(unknown(first_id.saturating_add(count), at, info))
            }
            _ if end != words.len() => Err(cut(words, end)),
            (None, MAX_TYPES..) => {
                let problem = format!("more than {MAX_TYPES} types");
                Err(BtfError::Type { id: count, problem })
            }
            _ => Ok(Self { starts, count }),
        }
    }
}

/// A record that was come by.
#[derive(Clone, Copy)]
pub(crate) struct Record {
    /// Where it starts.
    pub(crate) at: usize,
    /// Its second word.
    pub(crate) info: u32,
}

/// Goes over the records from a place on, as long as there are two words of one. `see` gets those of
/// the wanted kinds (a bit each) and says when it is enough.
pub(crate) fn walk(
    words: &[Word],
    from: usize,
    kinds: u32,
    see: impl FnMut(Record) -> ControlFlow<()>,
) {
    walk_from(words, from, kinds, &mut |_| (), see);
}

/// [`walk`], where `start` gets the place of every [`GROUP`]th record. Gives how many records there were and
/// where the last one ends, which is behind all words if it is cut.
///
/// What this costs is waiting for the length of one record to find the next. So most lengths are guessed
/// by branches, and what is seldom done is out of the way of the loop.
#[inline(never)]
fn walk_from(
    words: &[Word],
    from: usize,
    kinds: u32,
    start: &mut impl FnMut(usize),
    mut see: impl FnMut(Record) -> ControlFlow<()>,
) -> (u32, usize) {
    let plain = BARE & !kinds;
    let pairs = PAIRS & !kinds;
    let wanted = |info: u32| kinds >> (info >> 24 & 0x1f) & 1 != 0;
    let mut see = |record: Record| match wanted(record.info) {
        true => see(record),
        false => ControlFlow::Continue(()),
    };
    // Of each record the second word: that alone tells how long it is.
    let (mut at, mut count) = (from + 1, 0);
    'all: while at < words.len() {
        start(at - 1);
        let group = count;
        for number in group..group + GROUP {
            count = number;
            let Some(&info) = words.get(at) else { break 'all };
            let info = u32::from_ne_bytes(info);
            let kind = info >> 24 & 0x1f;
            if plain >> kind & 1 != 0 {
                at += RECORD_HEAD;
            } else if pairs >> kind & 1 != 0 {
                at += RECORD_HEAD + 2 * (info & 0xffff) as usize;
            } else {
                let record = Record { at: at - 1, info };
                at += Shape::of(info).record_len(info);
                if apart(&mut see, record).is_break() {
                    break 'all;
                }
            }
        }
        count += 1;
    }
    (count, at - 1)
}

/// Groups that are gone over side by side.
const LANES: usize = 4;

/// Goes over all records, of which every [`GROUP`]th starts where `start` says. `see` gets the places of
/// those of the wanted kinds (a bit each), of [`LANES`] groups at a time and these in any order, and says
/// when it is enough.
///
/// While the length of one record is waited for, there are others to look at. No branch depends on what is
/// in a record, which nobody could guess.
pub(crate) fn walk_groups(
    words: &[Word],
    start: impl Fn(usize) -> Option<u32>,
    kinds: u32,
    mut see: impl FnMut(&[usize]) -> ControlFlow<()>,
) {
    let mut wanted = [0; LANES << SPARSE];
    for first in (0..).step_by(LANES).take_while(|&first| start(first).is_some()) {
        let place = |lane| start(first + lane).map_or(words.len(), |at| at as usize);
        let mut at: [usize; LANES] = std::array::from_fn(place);
        let mut count = 0;
        for _ in 0..GROUP {
            for at in &mut at {
                // Behind the last one, it is of no kind.
                let info = words.get(*at + 1).map_or(0, |&info| u32::from_ne_bytes(info));
                if let Some(place) = wanted.get_mut(count) {
                    *place = *at;
                }
                count += (kinds >> (info >> 24 & 0x1f) & 1) as usize;
                *at += Shape::of(info).record_len(info);
            }
        }
        if see(wanted.get(..count).unwrap_or(&[])).is_break() {
            break;
        }
    }
}

/// Calls a function that is not to be made part of a loop.
#[inline(never)]
fn apart(see: &mut impl FnMut(Record) -> ControlFlow<()>, record: Record) -> ControlFlow<()> {
    see(record)
}

/// Name of the record at this place.
#[inline]
pub(crate) fn name(words: &[Word], at: usize) -> u32 {
    words.get(at).map_or(0, |&name| u32::from_ne_bytes(name))
}

/// Words of the record at the start of these; more than there are when it is cut.
#[inline]
pub(crate) fn record_len(words: &[Word]) -> usize {
    let info = words.get(1).map_or(0, |&info| u32::from_ne_bytes(info));
    Shape::of(info).record_len(info)
}

/// The record in front of `end` should end there.
#[cold]
pub(crate) fn cut(words: &[Word], end: usize) -> BtfError {
    // What is left may be less than a head.
    let need = if end > words.len() { end } else { end + RECORD_HEAD };
    BtfError::Truncated {
        what: "a type record",
        need: need as u64 * 4,
        have: words.len() as u64 * 4,
    }
}

/// The record at this place is of a kind that is none.
#[cold]
pub(crate) fn unknown(id: u32, at: usize, info: u32) -> BtfError {
    BtfError::Kind { id, offset: at * 4, kind: info >> 24 & 0x1f }
}
