//! Ring buffers: records reserved and committed in order, read by whoever has the other end.

use std::collections::VecDeque;

/// Bytes in front of each record (`BPF_RINGBUF_HDR_SZ`).
const HEADER: u64 = 8;
/// The longest record (`RINGBUF_MAX_RECORD_SZ`).
const MAX_RECORD: u64 = (u32::MAX / 4) as u64;

/// The state of a ring; the bytes are in its region, twice as many as the ring has, so that a
/// record that begins near the end is in one piece.
#[derive(Debug)]
pub(crate) struct Ring {
    size: u64,
    produced: u64,
    consumed: u64,
    records: VecDeque<Record>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Record {
    /// Position of its header.
    at: u64,
    len: u64,
    state: Commit,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Commit {
    Open,
    Submitted,
    Discarded,
}

impl Ring {
    pub(crate) fn new(size: u32) -> Self {
        let size = size.into();
        Self { size, produced: 0, consumed: 0, records: VecDeque::new() }
    }

    /// Makes room for a record: gives the offset of its data.
    pub(crate) fn reserve(&mut self, len: u64) -> Option<u64> {
        if len > MAX_RECORD {
            return None;
        }
        let whole = (len + HEADER).next_multiple_of(8);
        let produced = self.produced + whole;
        if whole > self.size || produced - self.consumed > self.size - 1 {
            return None;
        }
        let at = self.produced;
        self.produced = produced;
        self.records.push_back(Record { at, len, state: Commit::Open });
        Some((at & (self.size - 1)) + HEADER)
    }

    /// Closes the record whose data is at this offset; `false` when none is open there.
    pub(crate) fn commit(&mut self, offset: u64, discard: bool) -> bool {
        let mask = self.size - 1;
        let open = |r: &&mut Record| r.state == Commit::Open && (r.at & mask) + HEADER == offset;
        match self.records.iter_mut().rev().find(open) {
            Some(record) => {
                record.state = if discard { Commit::Discarded } else { Commit::Submitted };
                true
            }
            None => false,
        }
    }

    /// The next record that is ready to be read: offset and length of its data. It is then gone.
    pub(crate) fn consume(&mut self) -> Option<(u64, u64)> {
        loop {
            let record = *self.records.front()?;
            if record.state == Commit::Open {
                return None;
            }
            self.records.pop_front();
            self.consumed = record.at + (record.len + HEADER).next_multiple_of(8);
            if record.state == Commit::Submitted {
                return Some(((record.at & (self.size - 1)) + HEADER, record.len));
            }
        }
    }

    /// `bpf_ringbuf_query`.
    pub(crate) fn query(&self, what: u64) -> u64 {
        match what {
            0 => self.produced - self.consumed,
            1 => self.size,
            2 => self.consumed,
            3 => self.produced,
            _ => 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_come_out_in_order_and_the_ring_fills_up() {
        let mut ring = Ring::new(64);
        let a = ring.reserve(12).unwrap();
        let b = ring.reserve(8).unwrap();
        assert_eq!((a, b), (8, 32));
        // 24 + 16 taken; 24 more would make 64, and one byte always stays free.
        assert_eq!(ring.reserve(16), None);
        assert!(ring.commit(b, false));
        assert_eq!(ring.consume(), None, "the first is still open");
        assert!(ring.commit(a, true) && !ring.commit(a, true));
        assert_eq!(ring.consume(), Some((32, 8)));
        assert_eq!(ring.query(0), 0);
        // Wraps around: its data goes on behind the end.
        assert_eq!(ring.reserve(16), Some(48));
        assert_eq!(ring.reserve(u64::MAX), None);
    }
}
