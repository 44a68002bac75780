//! Events, and how they lie in the trace map.
//!
//! The map holds one value: a head, then records one behind the other.
//!
//! | bytes | head |
//! |---|---|
//! | 0 to 7 | where the next record goes, counted from the first |
//! | 8 to 15 | records that found no room |
//! | 16 to 31 | arguments of a redirect helper while it runs |
//!
//! | bytes | record |
//! |---|---|
//! | 0 to 3 | kind, and the image's index << 16 |
//! | 4 to 7 | the function's index, or the site's |
//! | 8 to 15 | r0; of a redirect, its target |
//! | 16 to 23 | address of the packet; of a redirect, its flags |
//! | 24 to 27, 28 to 31 | bytes of the packet, of its metadata; of a redirect, what the helper returned |
//! | 32 to 39 | bytes of the packet that follow |

/// Bytes of a packet that are looked at.
pub const SNAPSHOT: u32 = 2048;
/// Where records begin.
pub(super) const RECORDS: u32 = 32;
/// Where the arguments of a redirect helper are kept.
pub(super) const STASH: u32 = 16;
/// Bytes of a record without a packet.
pub(super) const RECORD: u32 = 40;
/// A record that would begin behind this is not made.
pub(super) const LIMIT: u32 = 256 << 10;
/// Bytes of the map's value.
pub(super) const SIZE: u32 = RECORDS + LIMIT + RECORD + SNAPSHOT;

/// Kinds of records.
pub(super) mod kind {
    pub(crate) const ENTER: u8 = 1;
    pub(crate) const EXIT: u8 = 2;
    pub(crate) const REDIRECT: u8 = 3;
}

/// Something that happened in a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A function was entered.
    Enter {
        /// Index of the image.
        image: u16,
        /// Index of the function in it.
        function: u32,
        /// The packet, where the plan has it looked at.
        packet: Option<Snapshot>,
    },
    /// A function returned.
    Exit {
        /// Index of the image.
        image: u16,
        /// Index of the function in it.
        function: u32,
        /// r0; nothing unless the plan has it looked at.
        value: u64,
        /// The packet, where the plan has it looked at.
        packet: Option<Snapshot>,
    },
    /// A redirect helper was called.
    Redirect {
        /// Index of the image.
        image: u16,
        /// Index of the [`RedirectSite`](super::RedirectSite).
        site: u32,
        /// Interface, or key of the map.
        target: u64,
        /// Flags.
        flags: u64,
        /// What the helper returned.
        result: u64,
    },
}

/// The packet at some moment.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Snapshot {
    /// Address of its first byte; tells how far the start moved. 0 where that is not known.
    pub address: u64,
    /// Bytes of the packet, metadata not counted.
    pub len: u32,
    /// Bytes of metadata in front.
    pub metadata: u32,
    /// Its beginning, at most [`SNAPSHOT`] bytes; empty where only lengths are looked at.
    pub bytes: Vec<u8>,
}

/// What happened in a run, in order.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Events {
    /// The events.
    pub list: Vec<Event>,
    /// Events that there was no room for, the last ones.
    pub lost: u64,
}

/// Collects the events of a run for a backend that watches itself, as many as the map would take.
#[derive(Debug, Default)]
pub struct Recorder {
    events: Events,
    cursor: u32,
}

impl Recorder {
    /// Is there room? If not, the event counts as lost.
    pub fn room(&mut self) -> bool {
        let room = self.cursor <= LIMIT;
        self.events.lost += u64::from(!room);
        room
    }

    /// Adds an event that there is room for.
    pub fn push(&mut self, event: Event) {
        let bytes = match &event {
            Event::Enter { packet, .. } | Event::Exit { packet, .. } => {
                packet.as_ref().map_or(0, |p| p.bytes.len())
            }
            Event::Redirect { .. } => 0,
        };
        self.cursor += RECORD + (bytes as u32).min(SNAPSHOT).next_multiple_of(8);
        self.events.list.push(event);
    }

    /// What was collected; begins anew.
    pub fn take(&mut self) -> Events {
        self.cursor = 0;
        std::mem::take(&mut self.events)
    }
}

impl Events {
    /// Reads the value of the trace map. `watched` says of an image's function whether its packet is
    /// looked at. What makes no sense ends the list.
    pub fn read(value: &[u8], watched: impl Fn(u16, u32) -> bool) -> Self {
        let end = word(value, 0).unwrap_or(0).min(u64::from(SIZE - RECORDS)) as usize;
        let lost = word(value, 8).unwrap_or(0);
        let records = value.get(RECORDS as usize..).unwrap_or_default();
        let mut rest = records.get(..end).unwrap_or_default();
        let mut list = Vec::new();
        while let Some((event, len)) = read_record(rest, &watched) {
            list.push(event);
            rest = rest.get(len..).unwrap_or_default();
        }
        Self { list, lost }
    }
}

fn read_record(bytes: &[u8], watched: impl Fn(u16, u32) -> bool) -> Option<(Event, usize)> {
    let [kind, _, low, high, a, b, c, d] = word(bytes, 0)?.to_ne_bytes();
    let image = u16::from_ne_bytes([low, high]);
    let index = u32::from_ne_bytes([a, b, c, d]);
    let (value, address, lengths) = (word(bytes, 8)?, word(bytes, 16)?, word(bytes, 24)?);
    let taken = word(bytes, 32)?;
    if kind == kind::REDIRECT {
        let event =
            Event::Redirect { image, site: index, target: value, flags: address, result: lengths };
        return Some((event, RECORD as usize));
    }
    let taken = usize::try_from(taken).ok().filter(|&n| n <= SNAPSHOT as usize)?;
    let head = RECORD as usize;
    let [a, b, c, d, e, f, g, h] = lengths.to_ne_bytes();
    let packet = watched(image, index).then(|| {
        let metadata = u32::from_ne_bytes([e, f, g, h]);
        Snapshot {
            address,
            len: u32::from_ne_bytes([a, b, c, d]),
            // A driver without metadata says so by an address that is behind the packet's.
            metadata: if metadata > 255 { 0 } else { metadata },
            bytes: bytes.get(head..head + taken).unwrap_or_default().to_vec(),
        }
    });
    let event = match kind {
        kind::ENTER => Event::Enter { image, function: index, packet },
        kind::EXIT => Event::Exit { image, function: index, value, packet },
        _ => return None,
    };
    Some((event, head + taken.next_multiple_of(8)))
}

fn word(bytes: &[u8], at: usize) -> Option<u64> {
    bytes.get(at..)?.first_chunk().map(|b| u64::from_ne_bytes(*b))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn record(kind: u32, index: u32, words: [u64; 3], bytes: &[u8]) -> Vec<u8> {
        let mut out = [kind.to_ne_bytes(), index.to_ne_bytes()].concat();
        words.iter().for_each(|w| out.extend(w.to_ne_bytes()));
        out.extend((bytes.len() as u64).to_ne_bytes());
        out.extend(bytes);
        out.resize(out.len().next_multiple_of(8), 0);
        out
    }

    #[test]
    fn records_are_read() {
        let enter = record(1, 3, [0, 0x100, 60 | 4 << 32], &[1, 2, 3]);
        let exit = record(2 | 1 << 16, 3, [2, 0x100, 60], &[]);
        let redirect = record(3, 7, [5, 1, 4], &[]);
        let mut value = vec![0; RECORDS as usize];
        let records = [enter, exit, redirect].concat();
        value[..8].copy_from_slice(&(records.len() as u64).to_ne_bytes());
        value[8] = 9;
        value.extend(records);
        let events = Events::read(&value, |image, _| image == 0);
        assert_eq!(events.lost, 9);
        let packet = Snapshot { address: 0x100, len: 60, metadata: 4, bytes: vec![1, 2, 3] };
        assert_eq!(
            events.list,
            [
                Event::Enter { image: 0, function: 3, packet: Some(packet) },
                Event::Exit { image: 1, function: 3, value: 2, packet: None },
                Event::Redirect { image: 0, site: 7, target: 5, flags: 1, result: 4 },
            ]
        );
    }

    #[test]
    fn a_recorder_stops_where_the_map_is_full() {
        let mut recorder = Recorder::default();
        for _ in 0..10_000 {
            if recorder.room() {
                recorder.push(Event::Enter { image: 0, function: 0, packet: None });
            }
        }
        let events = recorder.take();
        assert_eq!(events.list.len() as u32, LIMIT / RECORD + 1);
        assert_eq!(events.list.len() as u64 + events.lost, 10_000);
        assert_eq!(recorder.take(), Events::default());
    }

    proptest! {
        #[test]
        fn no_value_is_too_much(value in prop::collection::vec(any::<u8>(), 0..400)) {
            let events = Events::read(&value, |_, _| true);
            prop_assert!(events.list.len() <= 10);
        }
    }
}
