//! Jump tables follow the functions that jump through them, wherever these go.

#![allow(clippy::unwrap_used, clippy::panic)] // That is how a test fails.

use std::fs;
use std::path::Path;

use bpfweld_object::{FileParts, FileSymbol, RelocKind};
use bpfweld_static_link::{Linker, Options};

fn case(name: &str) -> Vec<u8> {
    let cases = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../cases/jump-tables");
    fs::read(cases.join(name)).unwrap()
}

fn link(objects: &[(&str, &[u8])], options: &Options) -> Vec<u8> {
    let mut linker = Linker::new();
    for (name, bytes) in objects {
        linker.add(name, bytes).unwrap();
    }
    linker.link(options).unwrap().bytes
}

/// What each table leads to, by the name of the function that uses it: the constants that the
/// instructions there put into r0.
fn targets(bytes: &[u8]) -> Vec<(String, Vec<i32>)> {
    let mut parts = FileParts::default();
    let file = parts.read("output", bytes).unwrap();
    let mut found = Vec::new();
    let (sections, symbols): (Vec<_>, Vec<_>) =
        (file.sections().collect(), file.symbols().collect());
    for (index, section) in sections.iter().enumerate().filter(|(_, s)| s.has_code()) {
        for reloc in file.relocs(section).iter().filter(|r| r.kind == RelocKind::LoadImm64) {
            let table = &symbols[reloc.symbol as usize];
            let home = &sections[table.section.unwrap() as usize];
            assert_eq!((home.name, table.name), (&b".jumptables"[..], &b"BPF.JT.0.0"[..]));
            let range = table.value as usize..(table.value + table.size) as usize;
            let to = home.data[range].chunks_exact(8).map(|entry| {
                let at = u64::from_le_bytes(entry.try_into().unwrap()) as usize;
                let insn = &section.data[at..at + 8];
                assert_eq!(insn[..2], [0xb7, 0], "r0 = … is not at {at}");
                i32::from_le_bytes(insn[4..].try_into().unwrap())
            });
            let within = |s: &&FileSymbol<'_>| {
                s.section == Some(index as u32)
                    && s.size > 0
                    && (s.value..s.value + s.size).contains(&reloc.offset)
            };
            let function = symbols.iter().find(within).unwrap();
            let function = String::from_utf8(function.name.to_owned()).unwrap();
            found.push((function, to.collect()));
        }
    }
    found.sort();
    found
}

#[test]
fn tables_lead_to_the_same_instructions_in_every_order() {
    let (first, second) = (case("first.o"), case("second.o"));
    let wanted = [("first", [5, 17, 3]), ("second", [5, 17, 3])];
    let wanted = wanted.map(|(name, to)| (name.to_owned(), to.to_vec()));
    for pair in [[("a", &first), ("b", &second)], [("b", &second), ("a", &first)]] {
        let pair = pair.map(|(name, bytes)| (name, bytes.as_slice()));
        let linked = link(&pair, &Options::default());
        assert_eq!(targets(&linked), wanted);
        assert_eq!(link(&[("again", &linked)], &Options::default()), linked);
        let strip = Options { strip_unreachable: true, ..Options::default() };
        assert_eq!(targets(&link(&pair, &strip)), wanted);
    }
}

#[test]
fn a_table_that_leads_out_of_its_function_is_refused() {
    let mut bytes = case("first.o");
    let entry = bytes.windows(8).position(|w| w == 0x40u64.to_le_bytes()).unwrap();
    bytes[entry..entry + 8].copy_from_slice(&0x4000u64.to_le_bytes());
    let mut linker = Linker::new();
    let error = linker.add("broken", &bytes).unwrap_err().to_string();
    assert!(error.contains("leads out of the function"), "{error}");
}
