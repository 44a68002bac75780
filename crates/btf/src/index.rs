//! Looking up names in a large blob: the kernel's own has some 130,000 types.

use std::ops::ControlFlow::{Break, Continue};

use crate::read::Word;
use crate::rising::Rising;
use crate::text::{essential_name, first_bytes, mark, spread, until_zero};
use crate::walk::{self, DECLARED, name, walk, walk_groups};
use crate::{Btf, Kind, Type, TypeId, order};

/// Names that are passed over together when none of their marks is the one looked for.
const BLOCK: usize = 16;

/// Where a blob's own types are that have names ([`Kind::is_declared`]), in id order, and a mark of each
/// name. A look-up compares all marks, many at a time, and then the names of those that are equal. So an
/// index costs little memory and little to make, and no crafted blob makes a look-up take more than one
/// comparison a type.
#[derive(Clone, Debug, Default)]
pub(crate) struct Names {
    marks: Vec<u16>,
    places: Rising,
}

impl Names {
    /// Of the records at these places of a blob's words, whose names are the starts of these tails.
    ///
    /// All names at once: looking at one means waiting for memory, and so many waits go on together.
    pub(crate) fn new<'s>(
        words: &[Word],
        places: Vec<u32>,
        tail: impl Fn(u32) -> &'s [u8],
    ) -> Self {
        let one = |&at: &u32| mark(tail(name(words, at as usize)));
        Self { marks: places.iter().map(one).collect(), places: places.into() }
    }

    fn of(btf: &Btf) -> Self {
        let mut places = Vec::new();
        let words = btf.words();
        walk(words, 0, DECLARED, |record| {
            if name(words, record.at) != 0 {
                places.push(place(record.at));
            }
            Continue(())
        });
        Self::new(words, places, |name| btf.tail_at(name))
    }

    /// Places of types whose names have the mark of this one, rising.
    fn find(&self, name: &[u8]) -> impl Iterator<Item = usize> {
        let mark = mark(name);
        let blocks = (0..).step_by(BLOCK).zip(self.marks.chunks(BLOCK));
        // No early end: so it is done for many at a time.
        let has = move |marks: &[u16]| marks.iter().fold(false, |any, &m| any | (m == mark));
        let blocks = blocks.filter(move |(_, marks)| has(marks));
        let entries = blocks.flat_map(|(first, marks)| (first..).zip(marks));
        let numbers = entries.filter(move |(_, m)| **m == mark).map(|(number, _)| number);
        numbers.filter_map(|number| Some(self.places.get(number)? as usize))
    }
}

/// Words of a blob, whose size is 32 bits of bytes.
pub(crate) fn place(at: usize) -> u32 {
    u32::try_from(at).unwrap_or(u32::MAX)
}

impl Btf {
    /// All types of this blob (not of its base) that can be declared (no functions, no variables) and
    /// whose name up to the flavour is this one, in id order. Makes an index when first asked.
    pub fn essential<'s>(&self, name: &'s [u8]) -> impl Iterator<Item = Type<'_>> + use<'_, 's> {
        let is = |name_off| essential_name(self.bytes_at(name_off).unwrap_or(&[])) == name;
        self.named(name, is).into_iter()
    }

    /// Types of this blob itself whose name may be this one up to the flavour and is right, in id order.
    pub(crate) fn named(&self, name: &[u8], is: impl Fn(u32) -> bool) -> Vec<Type<'_>> {
        // A name that is empty is none.
        if name.is_empty() {
            return Vec::new();
        }
        let places = self.names.get_or_init(|| Names::of(self)).find(name);
        let right = places.filter(|&at| is(walk::name(self.words(), at)));
        right.filter_map(|at| self.at(at)).collect()
    }

    /// The first type of this blob (not of its base) with each kind and name, all in one walk over its
    /// records.
    pub fn find_each(&self, wanted: &[(Kind, &str)]) -> Vec<Option<TypeId>> {
        let mut found = vec![None; wanted.len()];
        let named = wanted.iter().zip(&mut found).filter(|((_, name), _)| !name.is_empty());
        let mut sorted: Vec<_> =
            named.map(|(&(kind, name), found)| ((kind as u32, name.as_bytes()), found)).collect();
        order::sort_by_key(&mut sorted, |(key, _)| *key);
        let filter = Filter::of(sorted.iter().map(|(key, _)| *key));
        let mut left = sorted.len();
        let words = self.words();
        let start = |group| self.start_of_group(group);
        walk_groups(words, start, filter.kinds, |places| {
            for &at in places {
                let tail = self.tail_at(name(words, at));
                if !filter.may_have(tail) {
                    continue;
                }
                let info = words.get(at + 1).map_or(0, |&info| u32::from_ne_bytes(info));
                let key = (info >> 24 & 0x1f, until_zero(tail).unwrap_or(tail));
                let first = sorted.partition_point(|(k, _)| *k < key);
                let same = sorted.iter_mut().skip(first).take_while(|(k, _)| *k == key);
                let Some(id) = self.at(at).map(|ty| ty.id()) else { continue };
                for (_, found) in same {
                    left -= usize::from(found.is_none());
                    **found = Some(found.map_or(id, |other: TypeId| other.min(id)));
                }
            }
            if left == 0 { Break(()) } else { Continue(()) }
        });
        found
    }
}

/// Tells of most names, quickly, that they are not among those looked for.
struct Filter {
    /// A bit for each kind.
    kinds: u32,
    /// As many of the first bytes as the shortest name has, with the zero behind it.
    mask: u64,
    /// A bit for each value of ten bits made of these.
    bits: [u64; 16],
}

impl Filter {
    fn of<'n>(wanted: impl Iterator<Item = (u32, &'n [u8])> + Clone) -> Self {
        let shortest = wanted.clone().map(|(_, name)| name.len()).min().unwrap_or(0);
        let mask = u64::MAX >> (8 * 7_usize.saturating_sub(shortest));
        let mut filter = Self { kinds: 0, mask, bits: [0; 16] };
        for (kind, name) in wanted {
            filter.kinds |= 1 << kind;
            let (word, bit) = filter.place(name);
            if let Some(bits) = filter.bits.get_mut(word) {
                *bits |= bit;
            }
        }
        filter
    }

    #[inline]
    fn may_have(&self, tail: &[u8]) -> bool {
        let (word, bit) = self.place(tail);
        self.bits.get(word).is_some_and(|bits| bits & bit != 0)
    }

    #[inline]
    fn place(&self, tail: &[u8]) -> (usize, u64) {
        let mark = spread(first_bytes(tail) & self.mask);
        ((mark & 15).into(), 1 << (mark >> 4 & 63))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use crate::testing::{everything, member};
    use crate::{Btf, BtfBuilder, Kind, TypeId};

    #[test]
    fn all_ways_find_the_same() {
        let btf = everything(5);
        let kernel = Btf::parse_kernel(btf.to_bytes().into(), None).unwrap();
        let named: Vec<_> = btf.types().filter(|t| !t.name().is_empty()).collect();
        assert!(named.len() > 20, "more than a block");
        let wanted: Vec<_> = named.iter().map(|t| (t.kind(), t.name())).collect();
        let each = btf.find_each(&wanted);
        assert_eq!(kernel.find_each(&wanted), each);
        for ((kind, name), found) in wanted.into_iter().zip(each) {
            let first = named.iter().find(|t| (t.kind(), t.name()) == (kind, name));
            assert_eq!(found, first.map(|t| t.id()));
            assert_eq!(btf.find(kind, name).map(|t| t.id()), found);
            assert_eq!(kernel.find(kind, name).map(|t| t.id()), found, "{kind:?} {name}");
        }
        assert!(kernel.find(Kind::Struct, "colour").is_none(), "that is an enumeration");
        assert!(kernel.find(Kind::Struct, "").is_none());
        let none = [(Kind::Struct, "colour"), (Kind::Struct, ""), (Kind::Func, "no such")];
        assert_eq!(btf.find_each(&none), [None; 3]);
    }

    #[test]
    fn all_of_one_name_whatever_its_flavour() {
        let mut b = BtfBuilder::new();
        let mut ids = Vec::new();
        for n in 0..100 {
            ids.push(b.add_struct("s", n, &[]));
            ids.push(b.add_union("s___other", n, &[]));
            b.add_ptr(TypeId(n));
            b.add_struct("", n, &[]);
            b.add_struct(&format!("s{n}"), n, &[]);
        }
        let btf = b.finish().unwrap();
        for btf in [Btf::parse_kernel(btf.to_bytes().into(), None).unwrap(), btf] {
            let found: Vec<_> = btf.essential(b"s").map(|t| t.id()).collect();
            assert_eq!(found, ids);
            assert_eq!(btf.essential(b"s44").count(), 1);
            assert_eq!(btf.essential(b"").count(), 0);
        }
    }

    #[test]
    fn what_a_module_has_is_behind_the_kernel_s() {
        let mut b = BtfBuilder::new();
        let one = b.add_struct("s", 4, &[]);
        let base = Arc::new(b.finish().unwrap());
        let mut b = BtfBuilder::new();
        b.add_struct("own", 4, &[member("", TypeId::VOID, 0)]);
        let mut blob = b.finish().unwrap().to_bytes();
        let type_off = 24;
        let offset = |o: u32| (o + base.string_len()).to_ne_bytes();
        blob[type_off..type_off + 4].copy_from_slice(&offset(1));
        let module = Btf::parse_kernel(blob.clone().into(), Some(Arc::clone(&base))).unwrap();
        for split in [Btf::parse_split(&blob, Arc::clone(&base)).unwrap(), module] {
            let own = split.find(Kind::Struct, "own").unwrap();
            assert_eq!((own.id().0, own.name()), (base.type_count(), "own"));
            let wanted = [(Kind::Struct, "s"), (Kind::Struct, "own")];
            assert_eq!(split.find_each(&wanted), [None, Some(own.id())]);
            assert_eq!(split.find(Kind::Struct, "s").unwrap().id(), one);
            assert_eq!(split.essential(b"s").count(), 0);
            assert_eq!(split.essential(b"own").count(), 1);
        }
    }
}
