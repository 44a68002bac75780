//! Types of any object survive being merged with those of any other: printed as C they are what they were.

#![allow(clippy::unwrap_used, clippy::panic)] // That is how a test fails.

use std::fs;
use std::path::Path;
use std::sync::{Arc, LazyLock};

use bpfweld_btf::{Btf, BtfBuilder, Kind, SourceMap, TypeId, resolve_forwards};
use bpfweld_object::Object;
use proptest::prelude::*;

/// The types of all objects under `cases/`.
static TYPES: LazyLock<Vec<Arc<Btf>>> = LazyLock::new(|| {
    let cases = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../cases");
    let mut found = Vec::new();
    for case in fs::read_dir(cases).unwrap().map(|e| e.unwrap().path()).filter(|p| p.is_dir()) {
        for file in fs::read_dir(case).unwrap().map(|e| e.unwrap().path()) {
            if file.extension().is_some_and(|e| e == "o")
                && let Ok(object) = Object::parse("", &fs::read(&file).unwrap())
            {
                found.extend(object.btf);
            }
        }
    }
    assert!(found.len() > 100);
    found
});

/// Merges blobs, and gives the new id of every type of each.
fn merge(blobs: &[Arc<Btf>]) -> (Btf, Vec<Vec<TypeId>>) {
    let mut builder = BtfBuilder::new();
    let mut maps = Vec::new();
    for btf in blobs {
        let mut map = SourceMap::new(btf);
        builder.import_all(&mut map, btf).unwrap();
        maps.push(map);
    }
    let resolved = resolve_forwards(builder).unwrap();
    let ids = blobs.iter().zip(maps).map(|(btf, map)| {
        let new = |id| map.get(TypeId(id)).map_or(TypeId::VOID, |new| resolved.id(new));
        (0..btf.type_count()).map(new).collect()
    });
    let ids = ids.collect();
    (resolved.btf, ids)
}

/// A type as C; of what has a body, with it.
fn text(btf: &Btf, id: TypeId) -> String {
    match btf.ty(id).kind() {
        Kind::Struct | Kind::Union | Kind::Enum | Kind::Enum64 | Kind::Typedef => {
            btf.c_definition(id)
        }
        _ => btf.c_declaration(id, "x"),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn types_survive_a_merge(picks in proptest::collection::vec(any::<prop::sample::Index>(), 1..6)) {
        let blobs: Vec<_> = picks.iter().map(|pick| pick.get(&TYPES).clone()).collect();
        let (merged, ids) = merge(&blobs);
        for (btf, ids) in blobs.iter().zip(&ids) {
            for ty in btf.types() {
                let kind = ty.kind();
                // These are the linker's to put together. A declaration may have found its definition.
                let left_out =
                    matches!(kind, Kind::Func | Kind::Var | Kind::Datasec | Kind::DeclTag | Kind::Fwd);
                let new = ids[ty.id().0 as usize];
                // Prototypes that only functions with code have, got names for all parameters.
                let named = kind == Kind::FuncProto && new == TypeId::VOID;
                if !left_out && !named {
                    prop_assert_eq!(text(btf, ty.id()), text(&merged, new));
                }
            }
        }
        // There is nothing left to merge, and nothing changes when it is tried.
        let merged = Arc::new(merged);
        let (again, _) = merge(std::slice::from_ref(&merged));
        prop_assert_eq!(merged.to_bytes(), again.to_bytes());
        let (twice, _) = merge(&[merged.clone(), blobs[0].clone(), merged.clone()]);
        prop_assert_eq!(merged.to_bytes(), twice.to_bytes());
    }
}
