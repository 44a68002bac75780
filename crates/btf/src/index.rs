//! Looking up many names in a large blob: the kernel's own has some 130,000 types.

use std::hash::{BuildHasher, RandomState};

use crate::kind::Shape;
use crate::scan::walk;
use crate::text::{essential_hash, essential_name, name_hash};
use crate::{Btf, Kind, Type, TypeId};

/// Types by kind and name. Made by [`Btf::index`]; the blob keeps what was found out, so asking for
/// it again costs nothing.
#[derive(Clone, Copy, Debug)]
pub struct NameIndex<'a> {
    btf: &'a Btf,
}

/// Kinds whose names are entered together. Most who ask for types never ask for functions, the
/// greater part of a kernel's BTF.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Class {
    /// What a type can be declared with.
    Types,
    /// Functions, variables and the rest.
    Others,
}

impl Class {
    pub(crate) const COUNT: usize = 2;

    pub(crate) const fn of(kind: Kind) -> Self {
        match kind {
            Kind::Int
            | Kind::Struct
            | Kind::Union
            | Kind::Enum
            | Kind::Enum64
            | Kind::Fwd
            | Kind::Typedef
            | Kind::Float => Self::Types,
            _ => Self::Others,
        }
    }
}

/// Own types of a class by the hash of their names, of types up to the flavour.
#[derive(Clone, Debug)]
pub(crate) struct Entries {
    /// The last entry of each hash, by its lower bits, counted from 1; 0 for none.
    heads: Vec<u32>,
    list: Vec<Named>,
    /// So that nobody can craft names that all fall on one hash.
    seed: u64,
}

#[derive(Clone, Copy, Debug)]
struct Named {
    id: u32,
    /// The entry before it with the same lower bits of the hash, counted from 1; 0 for none.
    before: u32,
}

impl Btf {
    /// An index of names: worth its making from some five look-ups in the kernel's BTF on.
    pub fn index(&self) -> NameIndex<'_> {
        NameIndex { btf: self }
    }
}

impl Entries {
    /// Nothing yet; for a blob of so many words.
    pub(crate) fn empty(words: usize) -> Self {
        let seed = RandomState::new().hash_one(0);
        let buckets = (words / 64).next_power_of_two().max(8);
        Self { heads: vec![0; buckets], list: Vec::with_capacity(buckets), seed }
    }

    fn new(btf: &Btf, class: Class) -> Self {
        let mut entries = Self::empty(btf.words().len());
        walk(btf.words(), |n, name, info| {
            if name != 0 && Shape::of(info).is_type() == (class == Class::Types) {
                entries.add(class, btf.first_id().0.saturating_add(n), btf.tail_at(name));
            }
            false
        });
        entries.list.shrink_to_fit();
        entries
    }

    #[inline]
    pub(crate) fn add(&mut self, class: Class, id: u32, tail: &[u8]) {
        let bucket = self.bucket(class, tail);
        if let Some(head) = self.heads.get_mut(bucket) {
            self.list.push(Named { id, before: *head });
            *head = u32::try_from(self.list.len()).unwrap_or(0);
        }
    }

    #[inline]
    fn bucket(&self, class: Class, tail: &[u8]) -> usize {
        let hash = match class {
            Class::Types => essential_hash(self.seed, tail),
            Class::Others => name_hash(self.seed, tail),
        };
        // As many buckets as a power of 2, so that the cut is a remainder.
        #[expect(clippy::cast_possible_truncation, reason = "the lower bits are wanted")]
        let hash = hash as usize;
        hash & (self.heads.len() - 1)
    }

    /// Ids of types whose names may be this one, rising.
    fn find(&self, class: Class, name: &[u8]) -> impl Iterator<Item = TypeId> + use<> {
        let mut at = self.heads.get(self.bucket(class, name)).copied().unwrap_or(0);
        let mut ids = Vec::new();
        while let Some(entry) = self.list.get((at as usize).wrapping_sub(1)) {
            ids.push(TypeId(entry.id));
            at = entry.before;
        }
        ids.into_iter().rev()
    }
}

impl<'a> NameIndex<'a> {
    /// The first type with this kind and name; like [`Btf::find`].
    pub fn find(&self, kind: Kind, name: &str) -> Option<Type<'a>> {
        let own = self.all(kind, name).next();
        let base = || {
            let found = self.btf.base()?.index().find(kind, name)?;
            // Looked up again so that the view is on this blob, not on its base.
            Some(self.btf.ty(found.id()))
        };
        own.or_else(base)
    }

    /// All types of this blob (not of its base) with this kind and name, in id order.
    pub fn all<'s>(
        &self,
        kind: Kind,
        name: &'s str,
    ) -> impl Iterator<Item = Type<'a>> + use<'a, 's> {
        let named = self.named(Class::of(kind), name.as_bytes());
        named.filter(move |t| t.kind() == kind && t.name_is(name))
    }

    /// All types of this blob (not of its base) that can be declared (no functions, no variables)
    /// and whose name up to the flavour is this one, in id order.
    pub fn essential<'s>(&self, name: &'s [u8]) -> impl Iterator<Item = Type<'a>> + use<'a, 's> {
        let named = self.named(Class::Types, name);
        named.filter(move |t| essential_name(t.name_bytes()) == name)
    }

    fn named(&self, class: Class, name: &[u8]) -> impl Iterator<Item = Type<'a>> + use<'a> {
        let btf = self.btf;
        let entries = btf.names.get(class as usize);
        let entries = entries.map(|e| e.get_or_init(|| Entries::new(btf, class)));
        // A name that is empty is none.
        let ids = entries.filter(|_| !name.is_empty()).map(|e| e.find(class, name));
        ids.into_iter().flatten().map(move |id| btf.ty(id))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use crate::testing::{everything, member};
    use crate::{Btf, BtfBuilder, Kind, TypeId};

    #[test]
    fn finds_what_find_finds() {
        let btf = everything(5);
        for ty in btf.types().filter(|t| !t.name().is_empty()) {
            let found = btf.index().find(ty.kind(), ty.name()).unwrap();
            assert_eq!(found.id(), btf.find(ty.kind(), ty.name()).unwrap().id());
        }
        assert!(btf.index().find(Kind::Struct, "colour").is_none(), "that is an enumeration");
        assert!(btf.index().find(Kind::Struct, "").is_none());
    }

    #[test]
    fn all_of_one_name_in_order_and_the_base_s() {
        let mut b = BtfBuilder::new();
        let one = b.add_struct("s", 4, &[]);
        b.add_union("s", 4, &[]);
        let two = b.add_struct("s", 8, &[]);
        let base = Arc::new(b.finish().unwrap());
        let ids: Vec<_> = base.index().all(Kind::Struct, "s").map(|t| t.id()).collect();
        assert_eq!(ids, [one, two]);

        // A module's blob: its ids go on where the base's end.
        let mut b = BtfBuilder::new();
        b.add_struct("own", 4, &[member("", TypeId::VOID, 0)]);
        let mut blob = b.finish().unwrap().to_bytes();
        let type_off = 24;
        let offset = |o: u32| (o + base.string_len()).to_ne_bytes();
        blob[type_off..type_off + 4].copy_from_slice(&offset(1));
        let split = Btf::parse_split(&blob, Arc::clone(&base)).unwrap();
        let own = split.index().find(Kind::Struct, "own").unwrap();
        assert_eq!((own.id().0, own.name()), (base.type_count(), "own"));
        assert_eq!(split.index().find(Kind::Struct, "s").unwrap().id(), one);
        assert_eq!(split.index().all(Kind::Struct, "s").count(), 0);
    }
}
