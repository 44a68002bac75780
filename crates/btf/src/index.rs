//! Looking up many names in a large blob: the kernel's own has some 130,000 types.

use std::hash::{BuildHasher, RandomState};

use crate::intern::{fold, hash_bytes};
use crate::{Btf, Kind, Type, TypeId};

/// Types by kind and name. Made by [`Btf::index`]; the blob keeps what was found out, so asking for
/// it again costs nothing.
#[derive(Clone, Copy, Debug)]
pub struct NameIndex<'a> {
    btf: &'a Btf,
    entries: &'a Entries,
}

/// Own types by the hash of kind and name; equal hashes by rising id.
#[derive(Clone, Debug)]
pub(crate) struct Entries {
    by_hash: Vec<(u64, u32)>,
    /// So that nobody can craft names that all fall on one hash.
    seed: u64,
}

impl Btf {
    /// An index of names: worth its making from some ten look-ups in the kernel's BTF on.
    pub fn index(&self) -> NameIndex<'_> {
        NameIndex { btf: self, entries: self.names.get_or_init(|| Entries::new(self)) }
    }
}

impl Entries {
    fn new(btf: &Btf) -> Self {
        let seed = RandomState::new().hash_one(0);
        let named = btf.types().filter(|t| t.name_off() != 0);
        let mut by_hash: Vec<_> =
            named.map(|t| (hash(seed, t.kind(), t.name_bytes()), t.id().0)).collect();
        by_hash.sort_unstable();
        Self { by_hash, seed }
    }
}

fn hash(seed: u64, kind: Kind, name: &[u8]) -> u64 {
    fold(hash_bytes(seed, name), kind as u64)
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
        let Self { btf, entries } = *self;
        let wanted = hash(entries.seed, kind, name.as_bytes());
        let from = entries.by_hash.partition_point(|&(hash, _)| hash < wanted);
        let rest = entries.by_hash.get(from..).unwrap_or(&[]);
        rest.iter()
            .take_while(move |&&(hash, _)| hash == wanted)
            .map(|&(_, id)| btf.ty(TypeId(id)))
            .filter(move |t| t.kind() == kind && t.name_is(name))
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
