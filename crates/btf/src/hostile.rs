//! Property tests: whatever the bytes, nothing panics, hangs or contradicts itself.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;

use crate::testing::{everything, oddities};
use crate::{
    Btf, BtfBuilder, BtfExt, BtfFeatures, Endian, IntEncoding, Kind, Linkage, MemberSpec,
    SourceMap, TypeId, check_prototype, sanitize,
};

/// One change to a blob.
#[derive(Clone, Debug)]
enum Change {
    Flip(Index, u8),
    Word(Index, u32),
    Copy(Index, Index),
    Cut(Index),
}

fn change() -> impl Strategy<Value = Change> {
    prop_oneof![
        4 => (any::<Index>(), 0..8u8).prop_map(|(at, bit)| Change::Flip(at, bit)),
        2 => (any::<Index>(), 0..64u32).prop_map(|(at, word)| Change::Word(at, word)),
        2 => (any::<Index>(), any::<u32>()).prop_map(|(at, word)| Change::Word(at, word)),
        2 => (any::<Index>(), any::<Index>()).prop_map(|(to, from)| Change::Copy(to, from)),
        1 => any::<Index>().prop_map(Change::Cut),
    ]
}

fn damage(mut blob: Vec<u8>, changes: &[Change]) -> Vec<u8> {
    for change in changes {
        let words = blob.len() / 4;
        if words == 0 {
            break;
        }
        match change {
            Change::Flip(at, bit) => {
                let at = at.index(blob.len());
                blob[at] ^= 1 << bit;
            }
            Change::Word(at, word) => {
                let at = at.index(words) * 4;
                blob[at..at + 4].copy_from_slice(&word.to_ne_bytes());
            }
            Change::Copy(to, from) => {
                let (to, from) = (to.index(words) * 4, from.index(words) * 4);
                blob.copy_within(from..from + 4, to);
            }
            Change::Cut(at) => blob.truncate(at.index(blob.len())),
        }
    }
    blob
}

/// Everything that this crate can do with a blob that parses.
fn exercise(btf: &Btf) {
    let valid = btf.validate().is_ok();
    let fit = btf.check_for_kernel().is_ok();
    assert!(valid || !fit);

    for ty in btf.types() {
        let line = btf.c_declaration(ty.id(), "x");
        let body = btf.c_definition(ty.id());
        assert!(line.len() < 1 << 20 && body.len() < 1 << 22);
        let found = btf.find(ty.kind(), ty.name());
        let candidates: Vec<_> = btf.essential(ty.name().as_bytes()).map(|t| t.id()).collect();
        assert!(candidates.is_sorted());
        let each = btf.find_each(&[(ty.kind(), ty.name())]);
        assert_eq!(each, [found.map(|f| f.id()).filter(|_| !ty.name().is_empty())]);
        assert!(ty.name().is_empty() || found.is_some_and(|f| f.id() <= ty.id()));
        let _ = (ty.byte_size(), btf.resolve(ty.id()), btf.skip_qualifiers(ty.id()));
    }
    let ids: Vec<_> = btf.types().map(|t| t.id()).collect();
    for pair in ids.windows(2) {
        let _ = check_prototype((btf, pair[0]), (btf, pair[1]));
        let same = check_prototype((btf, pair[0]), (btf, pair[0]));
        assert!(same.is_ok() || !valid || !is_function(btf, pair[0]));
    }

    let mut b = BtfBuilder::new();
    let mut map = SourceMap::new(btf);
    for &id in &ids {
        b.import(&mut map, btf, id).unwrap();
    }
    let count = b.type_count();
    let mut again = SourceMap::new(btf);
    for &id in &ids {
        assert_eq!(b.import(&mut again, btf, id).unwrap(), map.get(id).unwrap());
    }
    assert_eq!(b.type_count(), count, "a second import finds everything");
    for &id in &ids {
        let func = b.import_func(&mut map, btf, id, Linkage::Static);
        assert_eq!(func.is_ok(), is_direct_func(btf, id));
    }
    let merged = b.finish().unwrap();
    let read = Btf::parse(&merged.to_bytes_endian(Endian::Big)).unwrap();
    assert_eq!(read.to_bytes(), merged.to_bytes());
    assert!(!valid || merged.validate().is_ok());
    for &id in &ids {
        let new = merged.ty(map.get(id).unwrap());
        let old = btf.ty(id);
        assert_eq!((new.kind(), new.name(), new.vlen()), (old.kind(), old.name(), old.vlen()));
    }

    for features in [BtfFeatures::ALL, BtfFeatures::NONE] {
        let clean = sanitize(btf, &features);
        assert_eq!(clean.type_count(), btf.type_count());
        assert!(!fit || clean.check_for_kernel().is_ok());
    }
}

fn is_direct_func(btf: &Btf, id: TypeId) -> bool {
    btf.ty(id).kind() == Kind::Func && btf.ty(id).target().kind() == Kind::FuncProto
}

fn is_function(btf: &Btf, id: TypeId) -> bool {
    is_direct_func(btf, id) || btf.ty(id).kind() == Kind::FuncProto
}

/// A type to add: a kind, which types to refer to among those there are, a number.
type Recipe = (u8, Index, Index, u32);

/// Builds what the kernel takes, whatever the recipe.
fn build(recipes: &[Recipe]) -> Btf {
    let mut b = BtfBuilder::new();
    let encoding = IntEncoding { signed: true, bits: 32, ..IntEncoding::default() };
    let int = b.add_int("int", 4, encoding);
    // Types with a size, with their sizes and how deep they nest.
    let mut sized = vec![(int, 4u32, 1u32)];
    let mut protos = Vec::new();
    for (i, &(kind, x, y, n)) in recipes.iter().enumerate() {
        let ((one, size, depth), (two, _, _)) = (*x.get(&sized), *y.get(&sized));
        let name = format!("n{}", n % 3);
        let shallow = depth < 20;
        let member = |name, type_id| MemberSpec { name, type_id, ..MemberSpec::default() };
        match kind % 12 {
            0 => sized.push((b.add_ptr(one), 8, 1)),
            1 if shallow => sized.push((b.add_const(one), size, depth + 1)),
            2 if shallow => sized.push((b.add_typedef(&name, one), size, depth + 1)),
            3 if shallow && size < 1 << 20 => {
                let len = n % 5;
                sized.push((b.add_array(one, int, len), size * len, depth + 1));
            }
            4 if shallow => {
                // The second member may be anything behind a pointer, the struct itself too.
                let ptr = b.add_ptr(two);
                let at = size.next_multiple_of(8);
                let far = MemberSpec { bit_offset: at * 8, ..member("b", ptr) };
                let st = b.add_struct(&name, at + 8, &[member("a", one), far]);
                if n % 2 == 0 {
                    b.set_target(ptr, st);
                }
                if n % 5 == 0 {
                    b.add_decl_tag("tag", st, Some(n % 2));
                }
                sized.push((st, at + 8, depth + 1));
            }
            5 if shallow => {
                let u = b.add_union("", size, &[member(&name, one)]);
                sized.push((u, size, depth + 1));
            }
            6 => sized.push((b.add_enum(&name, 4, n % 2 == 0, &[("A", n.into())]), 4, 1)),
            7 => sized.push((b.add_enum64(&name, 8, false, &[("B", n.into())]), 8, 1)),
            8 => sized.push((b.add_float(&name, 8), 8, 1)),
            9 => {
                let proto = b.add_func_proto(one, &[("a", two), ("", TypeId::VOID)]);
                sized.push((b.add_ptr(proto), 8, 1));
                protos.push(proto);
            }
            10 if !protos.is_empty() => {
                let linkage = if n % 2 == 0 { Linkage::Global } else { Linkage::Static };
                b.add_func(&format!("f{i}"), *y.get(&protos), linkage);
            }
            11 if size > 0 => {
                let type_id = b.add_var(&name, one, Linkage::Global);
                b.add_datasec(".data", size, &[crate::SectionVar { type_id, offset: 0, size }]);
            }
            _ => {}
        }
    }
    b.finish().unwrap()
}

proptest! {
    #[test]
    fn damaged_blobs(odd in any::<bool>(), changes in vec(change(), 1..6)) {
        let source = if odd { oddities() } else { everything(1) };
        if let Ok(btf) = Btf::parse(&damage(source.to_bytes(), &changes)) {
            exercise(&btf);
        }
    }

    #[test]
    fn any_bytes(bytes in vec(any::<u8>(), 0..200)) {
        let mut blob = vec![0x9f, 0xeb, 1, 0, 24, 0, 0, 0];
        blob.extend(bytes);
        let _ = Btf::parse(&blob);
        let _ = BtfExt::parse(blob, &everything(0));
    }

    #[test]
    fn damaged_ext(changes in vec(change(), 1..6), big in any::<bool>()) {
        let btf = everything(0);
        let func = btf.find(Kind::Func, "work").unwrap();
        let endian = if big { Endian::Big } else { Endian::Little };
        let blob = crate::ext::tests::sample(endian, func.name_off(), func.id().0);
        prop_assert!(BtfExt::parse(blob.clone(), &btf).is_ok());
        if let Ok(ext) = BtfExt::parse(damage(blob, &changes), &btf) {
            for section in ext.sections() {
                prop_assert_eq!(ext.section(&section.name), Some(section));
                prop_assert!(section.funcs.iter().all(|f| btf.ty(f.type_id).kind() == Kind::Func));
                let known = |offset| offset < btf.string_len();
                prop_assert!(section.lines.iter().all(|l| known(l.file_off) && known(l.line_off)));
                prop_assert!(section.core.iter().all(|c| btf.contains(c.type_id)));
            }
        }
    }

    #[test]
    fn whatever_is_built(recipes in vec(any::<Recipe>(), 0..60)) {
        let btf = build(&recipes);
        prop_assert_eq!(btf.check_for_kernel(), Ok(()));
        prop_assert_eq!(Btf::parse(&btf.to_bytes()).unwrap().to_bytes(), btf.to_bytes());
        exercise(&btf);
    }
}
