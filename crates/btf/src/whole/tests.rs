//! Tests of merging whole blobs.

use super::*;
use crate::MemberSpec;

fn merge(blobs: &[&Btf]) -> (BtfBuilder, Vec<SourceMap>) {
    let mut builder = BtfBuilder::new();
    let maps = blobs.iter().map(|btf| {
        let mut map = SourceMap::new(btf);
        builder.import_all(&mut map, btf).unwrap();
        map
    });
    let maps = maps.collect();
    (builder, maps)
}

/// `struct outer { struct inner *p; struct outer *next; }`, with `struct inner` declared or defined.
fn outer(defined: bool) -> Btf {
    let mut b = BtfBuilder::new();
    let int =
        b.add_int("int", 4, crate::IntEncoding { signed: true, bits: 32, ..Default::default() });
    let member =
        |name, type_id, bit_offset| MemberSpec { name, type_id, bit_offset, bitfield_size: 0 };
    let inner = match defined {
        true => b.add_struct("inner", 4, &[member("x", int, 0)]),
        false => b.add_fwd("inner", false),
    };
    let to_inner = b.add_ptr(inner);
    let to_outer = b.add_ptr(TypeId::VOID);
    let outer =
        b.add_struct("outer", 16, &[member("p", to_inner, 0), member("next", to_outer, 64)]);
    b.set_target(to_outer, outer);
    b.finish().unwrap()
}

#[test]
fn a_forward_declaration_becomes_the_struct_of_another_object() {
    for order in [[false, true], [true, false]] {
        let blobs = order.map(outer);
        let (merged, maps) = merge(&[&blobs[0], &blobs[1]]);
        let resolved = resolve_forwards(merged).unwrap();
        let named = |name: &str| resolved.btf.types().filter(|t| t.name() == name).count();
        assert_eq!((named("inner"), named("outer")), (1, 1));
        assert!(resolved.btf.find(Kind::Fwd, "inner").is_none());
        for (btf, map) in blobs.iter().zip(&maps) {
            let old = btf.find(Kind::Struct, "outer").unwrap().id();
            let new = resolved.id(map.get(old).unwrap());
            assert_eq!(resolved.btf.ty(new).name(), "outer");
        }
    }
}

#[test]
fn two_structs_of_one_name_leave_a_declaration_alone() {
    let mut b = BtfBuilder::new();
    let fwd = b.add_fwd("s", false);
    b.add_ptr(fwd);
    b.add_struct("s", 4, &[]);
    b.add_struct("s", 8, &[]);
    assert!(resolve_forwards(b).unwrap().ids.is_none());
}

#[test]
fn an_enumeration_without_values_is_a_declaration() {
    let mut b = BtfBuilder::new();
    let open = b.add_enum("e", 4, false, &[]);
    let typedef = b.add_typedef("t", open);
    b.add_enum("e", 4, false, &[("A", 1)]);
    let resolved = resolve_forwards(b).unwrap();
    assert_eq!(resolved.btf.ty(resolved.id(typedef)).target().vlen(), 1);
    assert_eq!(resolved.btf.types().filter(|t| t.kind() == Kind::Enum).count(), 1);
}

#[test]
fn what_is_merged_is_merged_for_good() {
    let (merged, _) = merge(&[&outer(false), &outer(true)]);
    let resolved = resolve_forwards(merged).unwrap().btf;
    for blobs in [&[&resolved][..], &[&resolved, &resolved]] {
        let again = merge(blobs).0.finish().unwrap();
        assert_eq!(resolved.to_bytes(), again.to_bytes());
    }
}
