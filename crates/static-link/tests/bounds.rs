//! Files in which one number or name is wrong: told with the object and the place before anything is made of
//! them, or linked to what stays the same when it is linked again.

#![allow(clippy::unwrap_used, clippy::panic)] // That is how a test fails.

use std::path::Path;

use bpfweld_object::FileParts;
use bpfweld_static_link::{LinkErrors, Linker, Options};

const SYMBOL_SIZE: usize = 24;
/// Offsets in a symbol, a section header.
const ST_SIZE: usize = 16;
const SH_FLAGS: usize = 8;

fn case(name: &str) -> Vec<u8> {
    std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../cases").join(name)).unwrap()
}

fn link(objects: &[(&str, &[u8])]) -> Result<Vec<u8>, LinkErrors> {
    let mut linker = Linker::new();
    for (label, bytes) in objects {
        linker.add(label, bytes)?;
    }
    Ok(linker.link(&Options::default())?.bytes)
}

fn links_and_stays(objects: &[(&str, &[u8])]) -> Vec<u8> {
    let once = link(objects).unwrap_or_else(|e| panic!("{e}"));
    let again = link(&[("again", &once)]).unwrap_or_else(|e| panic!("{e}"));
    assert!(once == again, "linked again it differs");
    once
}

/// Where in the file a section is, and the end of it.
fn section(bytes: &[u8], name: &str) -> (usize, usize) {
    let mut parts = FileParts::default();
    let file = parts.read("test", bytes).unwrap();
    let section = file.sections().find(|s| s.name == name.as_bytes()).unwrap();
    let start = section.data.as_ptr() as usize - bytes.as_ptr() as usize;
    (start, start + section.data.len())
}

/// Where in the file a symbol is.
fn symbol(bytes: &[u8], name: &str) -> usize {
    let mut parts = FileParts::default();
    let file = parts.read("test", bytes).unwrap();
    let index = file.symbols().position(|s| s.name == name.as_bytes()).unwrap();
    section(bytes, ".symtab").0 + index * SYMBOL_SIZE
}

fn put(bytes: &mut [u8], at: usize, value: u32) {
    bytes[at..at + 4].copy_from_slice(&value.to_le_bytes());
}

#[test]
fn a_symbol_that_ends_behind_its_section_is_told() {
    let mut bytes = case("static-link/defines.o");
    let at = symbol(&bytes, "total");
    put(&mut bytes, at + ST_SIZE, 0x1000);
    let error = link(&[("first", &case("static-link/uses.o")), ("second", &bytes)]).unwrap_err();
    let error = error.to_string();
    for part in ["second", "section .bss", "symbol total", "4096 bytes"] {
        assert!(error.contains(part), "{error}");
    }
}

#[test]
fn a_variable_that_ends_behind_its_section_is_told() {
    let mut bytes = case("static-link/defines.o");
    let (start, _) = section(&bytes, ".BTF");
    let word = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap()) as usize;
    // Behind the last type come the strings: the last section's last variable ends there.
    let size = start + word(start + 4) + word(start + 8) + word(start + 12) - 4;
    put(&mut bytes, size, 0x1000);
    let error = link(&[("odd", &bytes)]).unwrap_err().to_string();
    for part in ["odd", "section license", "variable license_", "4096 bytes"] {
        assert!(error.contains(part), "{error}");
    }
}

#[test]
fn what_has_no_name_is_its_object_s_own() {
    for name in ["bump", "total"] {
        let mut bytes = case("static-link/defines.o");
        let at = symbol(&bytes, name);
        put(&mut bytes, at, 0);
        links_and_stays(&[("one", &bytes)]);
        links_and_stays(&[("one", &bytes), ("two", &case("static-link/uses.o"))]);
    }
}

#[test]
fn types_in_a_section_of_code_are_no_code() {
    let mut bytes = case("static-link/defines.o");
    let sound = link(&[("one", &bytes)]).unwrap();
    let mut parts = FileParts::default();
    let file = parts.read("test", &bytes).unwrap();
    let index = file.sections().position(|s| s.name == b".BTF").unwrap();
    let table = u64::from_le_bytes(bytes[40..48].try_into().unwrap()) as usize;
    put(&mut bytes, table + index * 64 + SH_FLAGS, 4);
    assert!(links_and_stays(&[("one", &bytes)]) == sound);
}

#[test]
fn functions_that_both_code_and_data_name_are_there_twice_and_no_more() {
    let mut bytes = case("same-section/target.o");
    // Under another name, what was information on functions is data that names the section.
    let names = section(&bytes, ".strtab");
    let found = bytes[names.0..names.1].windows(9).position(|w| w == b".BTF.ext\0").unwrap();
    bytes[names.0 + found + 3] = b'G';
    let linked = links_and_stays(&[("one", &bytes)]);
    let mut parts = FileParts::default();
    let file = parts.read("test", &linked).unwrap();
    for name in ["near", "near__subprog", "far", "far__subprog"] {
        let same = file.symbols().filter(|s| s.name == name.as_bytes());
        assert_eq!(same.count(), 1, "{name}");
    }
}
