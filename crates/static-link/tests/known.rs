//! What need not be read in full is whole: whatever the reader of objects refuses, a link refuses as well,
//! though it has seen something alike before. And types gathered in passing are those that are imported.

#![allow(clippy::unwrap_used, clippy::panic)] // That is how a test fails.

use std::fs;
use std::path::Path;

use bpfweld_btf::{Btf, BtfBuilder, Endian, Gatherer, SourceMap};
use bpfweld_object::{FileParts, Object};
use bpfweld_static_link::Linker;
use proptest::prelude::*;

/// Objects under `cases/` that can be read, every `step`th.
fn objects(step: usize) -> Vec<(String, Vec<u8>)> {
    let cases = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../cases");
    let mut paths = Vec::new();
    for case in fs::read_dir(cases).unwrap().map(|e| e.unwrap().path()).filter(|p| p.is_dir()) {
        let files = fs::read_dir(case).unwrap().map(|e| e.unwrap().path());
        paths.extend(files.filter(|p| p.extension().is_some_and(|e| e == "o")));
    }
    paths.sort();
    let files =
        paths.into_iter().step_by(step).map(|p| (p.display().to_string(), fs::read(p).unwrap()));
    let found: Vec<_> = files.filter(|(name, bytes)| Object::parse(name, bytes).is_ok()).collect();
    assert!(found.len() * step > 100, "only {} objects", found.len());
    found
}

/// A section of a file, by its name.
fn section<'a>(bytes: &'a [u8], name: &str) -> Option<&'a [u8]> {
    let mut parts = FileParts::default();
    let file = parts.read("", bytes).unwrap();
    let section = file.sections().find(|s| s.name == name.as_bytes())?;
    Some(&bytes[section.start..section.start + section.data.len()])
}

/// Changes a byte: what the reader refuses, a link behind the whole object refuses as well.
fn find_damage(name: &str, whole: &[u8], at: usize, value: u8) {
    let mut bytes = whole.to_vec();
    bytes[at] = value;
    let mut linker = Linker::new();
    linker.add("whole", whole).unwrap();
    let read = Object::parse("damaged", &bytes).and_then(|o| o.check().map(|_| ()));
    let added = linker.add("damaged", &bytes).map(|_| ());
    if let Err(error) = read {
        assert!(added.is_err(), "{name}, byte {at:#x} is {value:#x}: {error}");
    }
}

/// Every type of section that there is a name for, and one more.
#[test]
fn sections_of_other_types_are_not_what_they_are_called() {
    for (name, whole) in objects(9) {
        let headers = whole.len() - 64 * usize::from(whole[60]);
        for at in (headers..whole.len()).step_by(64) {
            (0..20).for_each(|kind| find_damage(&name, &whole, at + 4, kind));
        }
    }
}

/// Declaration tags on what cannot have any.
#[test]
fn tags_are_on_what_can_have_them() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../cases/errors/objects.o");
    let whole = fs::read(path).unwrap();
    let target = 0x140;
    assert_eq!(whole[target - 4..target], 0x1100_0000_u32.to_le_bytes(), "the tag is elsewhere");
    (0..20).for_each(|on| find_damage("errors/objects.o", &whole, target, on));
}

/// Where fields of two bytes begin; in many maps, those of eight.
#[test]
fn damage_is_found_wherever_it_is() {
    for (name, step) in [("map-options/root.o", 2), ("ksyms/target.o", 2), ("limits/maps.o", 8)] {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../cases").join(name);
        let whole = fs::read(path).unwrap();
        for (at, &byte) in whole.iter().enumerate().step_by(step) {
            for value in [byte.wrapping_add(8), 5] {
                find_damage(name, &whole, at, value);
            }
        }
    }
}

#[test]
fn gathered_types_are_those_that_are_imported() {
    let objects = objects(1);
    let mut blobs: Vec<_> = objects.iter().filter_map(|o| section(&o.1, ".BTF")).collect();
    // Each again, behind something else and behind itself.
    blobs.extend(blobs.clone().into_iter().rev());
    let (mut gatherer, mut builder) = (Gatherer::new(), BtfBuilder::new());
    for blob in blobs {
        let btf = Btf::parse(blob).unwrap();
        let mut map = SourceMap::new(&btf);
        builder.import_all(&mut map, &btf).unwrap();
        let gathered = gatherer.add(blob).unwrap();
        assert_eq!(gathered.type_count(), btf.type_count());
        assert_eq!(gatherer.type_count(), builder.type_count());
    }
    let bytes = |builder: BtfBuilder| {
        let mut bytes = Vec::new();
        builder.write_to(&mut bytes, Endian::NATIVE).unwrap();
        bytes
    };
    assert!(bytes(gatherer.into_builder()) == bytes(builder));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn damage_is_found_behind_the_same_object_without(
        pick in any::<prop::sample::Index>(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 64),
    ) {
        let objects = objects(7);
        let (name, whole) = pick.get(&objects);
        for (at, value) in changes {
            find_damage(name, whole, at.index(whole.len()), value);
        }
    }
}
