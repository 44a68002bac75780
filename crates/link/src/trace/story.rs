//! From events to what one wants to read: which function called which, what each returned, and what it
//! did to the packet itself.

use super::event::{Event, Events, Snapshot};
use super::plan::TracePlan;

/// A run of a program on a packet.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Story {
    /// What happened, from the entry program's being entered on.
    pub happenings: Vec<Happening>,
    /// Events that are not told because there were too many.
    pub lost: u64,
}

/// Something that happened, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Happening {
    /// A function was entered.
    Visit(Visit),
    /// The function changed the packet.
    Change(Change),
    /// The function called a helper that redirects.
    Redirect(Redirected),
}

/// A function that was entered.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Visit {
    /// Index of the image.
    pub image: u16,
    /// Index of the function in it.
    pub function: u32,
    /// By a tail call, in place of the function that it is listed under?
    pub tail_called: bool,
    /// r0, once it returned. One that tail-called never does.
    pub returned: Option<u64>,
    /// Length of the packet before and after, where it was looked at.
    pub lengths: Option<(u32, u32)>,
    /// What happened in it.
    pub happenings: Vec<Happening>,
}

/// How a function changed the packet. What the functions that it called changed is told of them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Change {
    /// Length of the packet before and after.
    pub length: (u32, u32),
    /// Length of its metadata before and after.
    pub metadata: (u32, u32),
    /// Bytes added in front; negative for bytes taken away there.
    pub front: i64,
    /// Bytes added at the end; negative for bytes taken away there.
    pub back: i64,
    /// Bytes that differ, by rising offset.
    pub bytes: Vec<ByteChange>,
    /// Is there more of the packet than was looked at?
    pub partial: bool,
}

/// Bytes that differ, one behind the other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ByteChange {
    /// Offset in the packet afterwards; of bytes that were taken away, in the packet before.
    pub offset: u32,
    /// Before; empty for bytes that were added.
    pub old: Vec<u8>,
    /// After; empty for bytes that were taken away.
    pub new: Vec<u8>,
}

/// A call of a redirect helper.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Redirected {
    /// Index of the image.
    pub image: u16,
    /// Index of the site in [`TracedImage::sites`](super::TracedImage::sites).
    pub site: u32,
    /// Interface, or key of the map.
    pub target: u64,
    /// Flags.
    pub flags: u64,
    /// What the helper returned.
    pub result: u64,
}

impl Story {
    /// Tells the events of a run.
    pub fn new(events: &Events, plan: &TracePlan) -> Self {
        let mut teller = Teller { plan, open: Vec::new(), done: Vec::new(), last: None };
        for event in &events.list {
            teller.event(event);
        }
        while !teller.open.is_empty() {
            teller.close();
        }
        Self { happenings: teller.done, lost: events.lost }
    }

    /// The functions that were entered, in order, with those that they called.
    pub fn visits(&self) -> Vec<&Visit> {
        fn collect<'s>(happenings: &'s [Happening], all: &mut Vec<&'s Visit>) {
            for happening in happenings {
                if let Happening::Visit(visit) = happening {
                    all.push(visit);
                    collect(&visit.happenings, all);
                }
            }
        }
        let mut all = Vec::new();
        collect(&self.happenings, &mut all);
        all
    }
}

struct Teller<'a> {
    plan: &'a TracePlan,
    /// Functions that were entered and have not ended, the innermost last.
    open: Vec<Visit>,
    /// What happened outside of any.
    done: Vec<Happening>,
    /// The packet when it was last looked at.
    last: Option<Snapshot>,
}

/// More functions inside each other than any kernel allows, tail calls counted: bounds what a damaged
/// list of events makes.
const MAX_OPEN: usize = 128;

impl Teller<'_> {
    fn event(&mut self, event: &Event) {
        match event {
            Event::Enter { image, function, packet } => {
                self.look(packet.as_ref());
                // Calls have no cycle, so the entry of a program is entered from within by tail calls
                // only.
                let tail_called = *function == 0 && !self.open.is_empty();
                if self.open.len() >= MAX_OPEN {
                    self.close();
                }
                self.open.push(Visit {
                    image: *image,
                    function: *function,
                    tail_called,
                    lengths: packet.as_ref().map(|p| (p.len, p.len)),
                    ..Visit::default()
                });
            }
            Event::Exit { image, function, value, packet } => {
                let this = |v: &Visit| v.image == *image && v.function == *function;
                let Some(depth) = self.open.iter().rposition(this) else { return };
                // What is above ended without a word: it threw.
                while self.open.len() > depth + 1 {
                    self.close();
                }
                self.look(packet.as_ref());
                if let Some(visit) = self.open.last_mut() {
                    visit.returned = Some(*value);
                    if let (Some(lengths), Some(packet)) = (&mut visit.lengths, packet) {
                        lengths.1 = packet.len;
                    }
                }
                // With it ends the function that tail-called it.
                while self.close().is_some_and(|visit| visit.tail_called) {}
            }
            Event::Redirect { image, site, target, flags, result } => {
                let redirect = Redirected {
                    image: *image,
                    site: *site,
                    target: *target,
                    flags: *flags,
                    result: *result,
                };
                self.tell(Happening::Redirect(redirect));
            }
        }
    }

    /// Puts what happened to the innermost function that is open.
    fn tell(&mut self, happening: Happening) {
        match self.open.last_mut() {
            Some(visit) => visit.happenings.push(happening),
            None => self.done.push(happening),
        }
    }

    /// Ends the innermost function: it becomes a happening of the one around it.
    fn close(&mut self) -> Option<Ended> {
        let visit = self.open.pop()?;
        let tail_called = visit.tail_called;
        self.tell(Happening::Visit(visit));
        Some(Ended { tail_called })
    }

    /// Compares the packet with what it was.
    fn look(&mut self, packet: Option<&Snapshot>) {
        let Some(packet) = packet else { return };
        let change = self.last.as_ref().and_then(|last| compare(last, packet));
        self.last = Some(packet.clone());
        let Some(change) = change else { return };
        let plan = self.plan;
        let by = self.open.iter().rposition(|v| plan.has_packet(v.image, v.function));
        match by.and_then(|at| self.open.get_mut(at)) {
            Some(visit) => visit.happenings.push(Happening::Change(change)),
            None => self.done.push(Happening::Change(change)),
        }
    }
}

struct Ended {
    tail_called: bool,
}

/// What is different; `None` when nothing is.
fn compare(old: &Snapshot, new: &Snapshot) -> Option<Change> {
    let grown = i64::from(new.len) - i64::from(old.len);
    let front = match (old.address, new.address) {
        // Without addresses, what moved is what leaves more bytes as they were.
        (0, _) | (_, 0) if grown == 0 => 0,
        (0, _) | (_, 0) => {
            let same = |front| differences(old, new, front).iter().map(|c| c.old.len()).sum();
            let (at_end, in_front): (usize, usize) = (same(0), same(grown));
            if in_front < at_end { grown } else { 0 }
        }
        // Addresses are of one buffer.
        (before, after) => before.wrapping_sub(after).cast_signed(),
    };
    let limit = u64::from(old.len.max(new.len)) + 4096;
    // Not of one buffer after all.
    let front = if front.unsigned_abs() > limit { 0 } else { front };
    let back = grown - front;
    let mut bytes = Vec::new();
    let part = |s: &Snapshot, from: i64, len: i64| {
        let from = usize::try_from(from.max(0)).unwrap_or(0).min(s.bytes.len());
        let len = usize::try_from(len.max(0)).unwrap_or(0).min(s.bytes.len() - from);
        s.bytes.get(from..from + len).unwrap_or_default().to_vec()
    };
    if front > 0 {
        bytes.push(ByteChange { offset: 0, old: vec![], new: part(new, 0, front) });
    } else if front < 0 {
        bytes.push(ByteChange { offset: 0, old: part(old, 0, -front), new: vec![] });
    }
    bytes.extend(differences(old, new, front));
    if back > 0 {
        let from = i64::from(new.len) - back;
        let offset = from.max(0) as u32;
        bytes.push(ByteChange { offset, old: vec![], new: part(new, from, back) });
    } else if back < 0 {
        let from = i64::from(old.len) + back;
        let offset = from.max(0) as u32;
        bytes.push(ByteChange { offset, old: part(old, from, -back), new: vec![] });
    }
    // Of a packet of which only lengths are known, nothing is to be listed.
    bytes.retain(|c| !(c.old.is_empty() && c.new.is_empty()));
    let metadata = (old.metadata, new.metadata);
    let changed = front != 0 || back != 0 || metadata.0 != metadata.1 || !bytes.is_empty();
    let seen = |s: &Snapshot| s.bytes.len() as u64 >= u64::from(s.len);
    changed.then(|| Change {
        length: (old.len, new.len),
        metadata,
        front,
        back,
        bytes,
        partial: !(seen(old) && seen(new)),
    })
}

/// Bytes that are in both packets and differ, when the start moved by `front`.
fn differences(old: &Snapshot, new: &Snapshot, front: i64) -> Vec<ByteChange> {
    let skip = |n: i64| usize::try_from(n.max(0)).unwrap_or(usize::MAX);
    let (old_from, new_from) = (skip(-front), skip(front));
    let pairs = old.bytes.iter().skip(old_from).zip(new.bytes.iter().skip(new_from));
    let mut changes: Vec<ByteChange> = Vec::new();
    let mut last = None;
    for (at, (a, b)) in pairs.enumerate() {
        if a == b {
            continue;
        }
        let offset = new_from + at;
        match changes.last_mut().filter(|_| last == Some(offset.wrapping_sub(1))) {
            Some(change) => {
                change.old.push(*a);
                change.new.push(*b);
            }
            None => {
                changes.push(ByteChange { offset: offset as u32, old: vec![*a], new: vec![*b] })
            }
        }
        last = Some(offset);
    }
    changes
}

#[cfg(test)]
mod tests {
    use bpfweld_object::ProgramType;

    use super::*;
    use crate::trace::{Detail, TracedFunction, TracedImage, ValueKind};

    fn packet(address: u64, bytes: &[u8]) -> Snapshot {
        Snapshot { address, len: bytes.len() as u32, metadata: 0, bytes: bytes.to_vec() }
    }

    fn plan(packets: &[bool]) -> TracePlan {
        let function = |packet: &bool| TracedFunction {
            name: "f".into(),
            instance: "i".into(),
            start: 0,
            watched: true,
            packet: *packet,
            value: ValueKind::Verdict,
            arguments: 0,
        };
        let image = TracedImage {
            prog_type: ProgramType::XDP,
            functions: packets.iter().map(function).collect(),
            sites: vec![],
        };
        TracePlan { detail: Detail::Bytes, images: vec![image.clone(), image] }
    }

    fn enter(image: u16, function: u32, packet: Option<Snapshot>) -> Event {
        Event::Enter { image, function, packet }
    }

    fn exit(image: u16, function: u32, value: u64, packet: Option<Snapshot>) -> Event {
        Event::Exit { image, function, value, packet }
    }

    fn story(list: Vec<Event>, packets: &[bool]) -> Story {
        Story::new(&Events { list, lost: 0 }, &plan(packets))
    }

    #[test]
    fn changes_belong_to_who_made_them() {
        let p = |bytes: &[u8]| Some(packet(100, bytes));
        let told = story(
            vec![
                enter(0, 0, p(b"abcd")),
                // The caller changed `a` before the call, the callee `cd`.
                enter(0, 1, p(b"Abcd")),
                exit(0, 1, 2, p(b"AbXY")),
                exit(0, 0, 2, p(b"AbXY")),
            ],
            &[true, true],
        );
        let [Happening::Visit(root)] = &told.happenings[..] else { panic!("{told:?}") };
        let [Happening::Change(own), Happening::Visit(callee)] = &root.happenings[..] else {
            panic!("{root:?}")
        };
        let one = |offset, old: &[u8], new: &[u8]| {
            vec![ByteChange { offset, old: old.into(), new: new.into() }]
        };
        assert_eq!(own.bytes, one(0, b"a", b"A"));
        let [Happening::Change(change)] = &callee.happenings[..] else { panic!("{callee:?}") };
        assert_eq!(change.bytes, one(2, b"cd", b"XY"));
        assert_eq!((callee.returned, root.returned), (Some(2), Some(2)));
    }

    #[test]
    fn a_function_without_the_packet_works_for_its_caller() {
        let p = |bytes: &[u8]| Some(packet(100, bytes));
        let told = story(
            vec![
                enter(0, 0, p(b"ab")),
                enter(0, 1, None),
                exit(0, 1, 0, None),
                exit(0, 0, 2, p(b"aX")),
            ],
            &[true, false],
        );
        let [Happening::Visit(root)] = &told.happenings[..] else { panic!("{told:?}") };
        assert!(matches!(root.happenings[..], [Happening::Visit(_), Happening::Change(_)]));
    }

    #[test]
    fn a_tail_call_ends_its_caller() {
        let told = story(
            vec![
                enter(0, 0, None),
                enter(0, 1, None),
                enter(1, 0, None),
                exit(1, 0, 1, None),
                exit(0, 0, 2, None),
            ],
            &[false, false],
        );
        let visits = told.visits();
        let short: Vec<_> =
            visits.iter().map(|v| (v.image, v.function, v.tail_called, v.returned)).collect();
        assert_eq!(short, [(0, 0, false, Some(2)), (0, 1, false, None), (1, 0, true, Some(1))]);
    }

    #[test]
    fn moved_starts_and_ends() {
        // Two bytes less in front, one more at the end.
        let change = compare(&packet(100, b"abcdef"), &packet(102, b"cdef!")).unwrap();
        assert_eq!((change.front, change.back, change.length), (-2, 1, (6, 5)));
        assert_eq!(
            change.bytes,
            [
                ByteChange { offset: 0, old: b"ab".to_vec(), new: vec![] },
                ByteChange { offset: 4, old: vec![], new: b"!".to_vec() },
            ]
        );
        // Without addresses it is guessed.
        let change = compare(&packet(0, b"abcdef"), &packet(0, b"xyzabcdef")).unwrap();
        assert_eq!((change.front, change.back), (3, 0));
        let change = compare(&packet(0, b"abcdef"), &packet(0, b"abc")).unwrap();
        assert_eq!((change.front, change.back), (0, -3));
        assert_eq!(compare(&packet(1, b"ab"), &packet(1, b"ab")), None);
        // Two buffers.
        let change = compare(&packet(1, b"ab"), &packet(1 << 40, b"ax")).unwrap();
        assert_eq!((change.front, change.bytes.len()), (0, 1));
    }

    #[test]
    fn events_that_cannot_be_are_no_harm() {
        let told = story(vec![exit(0, 0, 1, None), enter(9, 9, Some(packet(1, b"a")))], &[true]);
        assert_eq!(told.visits().len(), 1);
        let many = (0..10_000).map(|_| enter(0, 1, None)).collect();
        assert_eq!(story(many, &[true, true]).visits().len(), 10_000);
    }
}
