//! Objects from a compiler: what is read from the fixtures of `cases/`, and that no damage to them
//! makes reading panic, hang or give something that contradicts itself.

// Tests fail by panicking; clippy.toml exempts only functions that are marked as tests.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use bpfweld_btf::Endian;
use bpfweld_insn::Insn;
use bpfweld_object::{
    DataKind, ExternKind, Function, KconfigType, Linkage, Object, ReadError, RelocTarget, SlotValue,
};
use proptest::prelude::*;

fn cases() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../cases")
}

fn open(name: &str) -> Object {
    let object = Object::open(cases().join("reader").join(name)).unwrap();
    object.check().unwrap();
    object
}

/// Opened, and everything read.
fn checked(name: &str, bytes: &[u8]) -> Result<Object, ReadError> {
    let object = Object::parse(name, bytes)?;
    object.check()?;
    Ok(object)
}

/// A reference, with names for ids.
fn show(object: &Object, target: RelocTarget) -> String {
    let function = |f: bpfweld_object::FuncId| &object.functions[f.index()].name;
    let external = |e: bpfweld_object::ExternId| &object.externs[e.index()].name;
    match target {
        RelocTarget::Call(f) => format!("call {}", function(f)),
        RelocTarget::CallExtern(e) => format!("call extern {}", external(e)),
        RelocTarget::FuncAddr(f) => format!("&{}", function(f)),
        RelocTarget::Map(m) => format!("map {}", object.maps[m.index()].name),
        RelocTarget::Data { data, offset } => {
            format!("{}+{offset}", object.data[data.index()].name)
        }
        RelocTarget::Arena { map, offset } => {
            let map = map.map_or("an arena", |map| &object.maps[map.index()].name);
            format!("{map}+{offset}")
        }
        RelocTarget::JumpTable { table } => format!("jump table {table}"),
        RelocTarget::ExternAddr { id, addend } => format!("extern {}+{addend}", external(id)),
    }
}

fn references(object: &Object, function: &Function) -> Vec<String> {
    function.relocs.iter().map(|r| show(object, r.target)).collect()
}

fn function<'a>(object: &'a Object, name: &str) -> &'a Function {
    object.functions.iter().find(|f| f.name == name).unwrap()
}

#[test]
fn functions_of_everything() {
    for (file, endian) in [("everything.o", Endian::Little), ("big.o", Endian::Big)] {
        let object = open(file);
        assert_eq!(object.endian, endian);
        let functions: Vec<_> = object
            .functions
            .iter()
            .map(|f| {
                let program = f.program.as_ref().map(|p| (p.prog_type.name(), p.frags, p.autoload));
                (f.name.as_str(), &*f.section, f.linkage, program)
            })
            .collect();
        let xdp = Some(("xdp", false, true));
        assert_eq!(
            functions,
            [
                ("global_function", ".text", Linkage::Global, None),
                ("hidden_function", ".text", Linkage::Hidden, None),
                ("weak_definition", ".text", Linkage::Weak, None),
                ("helper", ".text", Linkage::Static, None),
                ("callback", ".text", Linkage::Static, None),
                ("program", "xdp", Linkage::Global, xdp),
                ("neighbour", "xdp", Linkage::Static, None),
                ("frags", "xdp.frags", Linkage::Global, Some(("xdp", true, true))),
                ("not_loaded", "?tc", Linkage::Global, Some(("sched_cls", false, false))),
                ("old_name", "xdp_drop", Linkage::Global, xdp),
                ("unknown_name", "whatever", Linkage::Global, Some(("unspec", false, true))),
            ]
        );
        let btf = object.btf.as_ref().unwrap();
        for f in &object.functions {
            assert_eq!(btf.ty(f.btf_func.unwrap()).name(), f.name);
            let first = f.lines.iter().next().unwrap();
            assert_eq!(first.insn, 0, "{}", f.name);
            let source = btf.str_at(first.file_off);
            assert!(source.ends_with("cases/reader/everything.c"), "{source}");
        }
        assert_eq!(object.license.as_deref(), Some("Dual MIT/GPL"));
        assert_eq!(object.kernel_version, Some(0x60100));
    }
}

#[test]
fn references_of_everything() {
    for file in ["everything.o", "big.o"] {
        let object = open(file);
        let of = |name| references(&object, function(&object, name));
        assert_eq!(of("helper"), [".data+16", ".bss+0"]);
        assert_eq!(of("global_function"), [".data+0"]);
        assert_eq!(of("hidden_function"), [".rodata+0"]);
        assert_eq!(of("neighbour"), ["call helper", ".bss+0"]);
        assert_eq!(of("frags"), ["map first_inner", ".data+8"]);
        let program = of("program");
        for wanted in [
            "map table",
            "&callback",
            "call neighbour",
            "call global_function",
            "call hidden_function",
            "call weak_definition",
            "extern CONFIG_BOOL+0",
            "extern CONFIG_STRING+0",
            "extern kernel_symbol+0",
            "call extern kernel_function",
            "call extern other_function",
            "extern other_variable+0",
            ".data.named+0",
            "extern weak_function+0",
            "call extern weak_function",
            "map outer",
            "map ring",
            "map jumps",
        ] {
            assert!(program.iter().any(|r| r == wanted), "{wanted} in {program:?}");
        }
    }
}

#[test]
fn maps_and_data_of_everything() {
    for file in ["everything.o", "big.o"] {
        let object = open(file);
        let map = |name: &str| object.maps.iter().find(|m| m.name == name).unwrap();
        let id = |name: &str| object.maps.iter().position(|m| m.name == name).unwrap() as u32;
        let table = map("table");
        assert_eq!((table.map_type, table.key_size, table.value_size), (1, 4, 16));
        assert_eq!((table.max_entries, table.map_flags, table.pin_by_name), (100, 1, true));
        let slot = |name| SlotValue::Map(bpfweld_object::MapId(id(name)));
        assert_eq!(map("outer").values, [(1, slot("first_inner")), (3, slot("second_inner"))]);
        let inner = map("outer").inner.as_ref().unwrap();
        assert_eq!((inner.name.as_str(), inner.map_type, inner.max_entries), ("outer.inner", 2, 4));
        let programs: Vec<_> = map("jumps")
            .values
            .iter()
            .map(|(slot, value)| match value {
                SlotValue::Program(f) => (*slot, object.functions[f.index()].name.as_str()),
                SlotValue::Map(_) => panic!(),
            })
            .collect();
        assert_eq!(programs, [(0, "program"), (2, "frags")]);
        assert_eq!(map("ring").numa_node, Some(0));

        let btf = object.btf.as_ref().unwrap();
        let data: Vec<_> = object
            .data
            .iter()
            .map(|d| {
                let vars = d.vars.iter();
                let vars: Vec<_> =
                    vars.map(|v| (btf.ty(v.type_id).name(), v.offset, v.size)).collect();
                (d.name.as_str(), d.kind, d.size, vars)
            })
            .collect();
        let (data_vars, named) =
            (vec![("global", 0, 4), ("pointer", 8, 8), ("local", 16, 4)], vec![("named", 0, 4)]);
        assert!(data.contains(&(".data", DataKind::Data, 20, data_vars)), "{data:?}");
        assert!(data.contains(&(".data.named", DataKind::Data, 4, named)), "{data:?}");
        assert!(data.contains(&(".bss", DataKind::Bss, 4, vec![("zero", 0, 4)])), "{data:?}");
        assert!(data.iter().any(|d| d.0 == ".rodata.str1.1" && d.3.is_empty()), "{data:?}");
    }
    let arena = &open("enum64.o").maps[0];
    assert_eq!(arena.map_extra, 0x1234_5678_9abc);
}

#[test]
fn externs_of_everything() {
    use ExternKind as E;
    use KconfigType as K;
    for file in ["everything.o", "big.o"] {
        let object = open(file);
        let mut externs: Vec<_> =
            object.externs.iter().map(|e| (e.name.as_str(), e.kind, e.weak)).collect();
        externs.sort_by_key(|e| e.0);
        assert_eq!(
            externs,
            [
                ("CONFIG_BOOL", E::Kconfig(K::Bool), true),
                ("CONFIG_CHAR", E::Kconfig(K::Char { signed: true }), false),
                ("CONFIG_S64", E::Kconfig(K::Int { size: 8, signed: true }), false),
                ("CONFIG_STRING", E::Kconfig(K::CharArray { len: 20 }), false),
                ("CONFIG_TRISTATE", E::Kconfig(K::Tristate), false),
                ("CONFIG_U8", E::Kconfig(K::Int { size: 1, signed: false }), false),
                ("kernel_function", E::KernelFunction, false),
                ("kernel_symbol", E::TypelessKsym, false),
                ("kernel_variable", E::TypedKsym, true),
                ("other_function", E::Function, false),
                ("other_variable", E::Variable, false),
                ("weak_function", E::Function, true),
            ]
        );
        assert!(object.externs.iter().all(|e| e.btf.is_some() && e.type_id.is_some()));
    }
}

#[test]
fn both_byte_orders_give_the_same_instructions() {
    let (little, big) = (open("everything.o"), open("big.o"));
    // But for the numbers that the compiler makes of a string's bytes.
    let shape = |f: &Function| -> Vec<Insn> {
        let mut previous = 0;
        let mut clear = |i: &Insn| {
            let number = i.is_ld_imm64() || previous == bpfweld_insn::LD_IMM64 || i.code == 0xb4;
            previous = i.code;
            Insn { imm: if number { 0 } else { i.imm }, ..*i }
        };
        f.insns.iter().map(&mut clear).collect()
    };
    assert_eq!(little.functions.len(), big.functions.len());
    for (a, b) in little.functions.iter().zip(&big.functions) {
        assert!(shape(a) == shape(b), "{}", a.name);
        assert_eq!(a.relocs, b.relocs);
        assert_eq!(a.lines.len(), b.lines.len());
    }
    assert_eq!(little.maps, big.maps);
    assert_eq!(little.externs, big.externs);
}

/// Every object of `cases/`, with its path.
fn fixtures() -> Vec<(String, Vec<u8>)> {
    let mut found = Vec::new();
    for case in std::fs::read_dir(cases()).unwrap() {
        let case = case.unwrap().path();
        for file in case.is_dir().then(|| std::fs::read_dir(case).unwrap()).into_iter().flatten() {
            let path = file.unwrap().path();
            if path.extension().is_some_and(|e| e == "o") {
                found.push((path.display().to_string(), std::fs::read(&path).unwrap()));
            }
        }
    }
    found.sort();
    found
}

#[test]
fn every_fixture_is_read_or_refused() {
    let mut read = 0;
    for (name, bytes) in fixtures() {
        match checked(&name, &bytes) {
            Ok(object) => {
                check(&object);
                read += 1;
            }
            // Objects that are meant to be wrong are for cases of their own.
            Err(error) => {
                let meant = ["/bad-", "/errors/"].iter().any(|dir| name.contains(dir));
                assert!(meant, "{error}");
            }
        }
    }
    assert!(read > 20, "only {read} fixtures");
}

#[test]
fn kept_bytes_and_copied_ones_say_the_same() {
    for (name, bytes) in fixtures() {
        let copied = checked(&name, &bytes);
        let shared = Object::parse_shared(&name, bytes.into()).and_then(|object| {
            object.check()?;
            Ok(object)
        });
        // What is not in the derived text is what neither knows of the other.
        assert_eq!(format!("{copied:?}"), format!("{shared:?}"), "{name}");
    }
}

/// What the rest of bpfweld relies on, whatever the file.
fn check(object: &Object) {
    let functions = object.functions.len();
    let btf = object.btf.as_deref();
    let known = |id| btf.is_some_and(|btf| btf.contains(id));
    for f in &object.functions {
        assert!(!f.insns.is_empty());
        let second = |slot: u32| slot > 0 && f.insns[slot as usize - 1].is_ld_imm64();
        assert!(f.relocs.is_sorted_by(|a, b| a.insn < b.insn));
        assert!(f.lines.iter().is_sorted_by(|a, b| a.insn < b.insn));
        assert!(f.core_relocs.is_sorted_by(|a, b| a.insn <= b.insn));
        let slots = f.relocs.iter().map(|r| r.insn).chain(f.lines.iter().map(|l| l.insn));
        for slot in slots.chain(f.core_relocs.iter().map(|c| c.insn)) {
            assert!((slot as usize) < f.insns.len() && !second(slot), "{}", f.name);
        }
        for reloc in &f.relocs {
            let insn = f.insns[reloc.insn as usize];
            match reloc.target {
                RelocTarget::Call(id) => assert!(!insn.is_ld_imm64() && id.index() < functions),
                RelocTarget::CallExtern(id) => {
                    assert!(!insn.is_ld_imm64());
                    let kind = object.externs[id.index()].kind;
                    assert!(matches!(kind, ExternKind::Function | ExternKind::KernelFunction));
                }
                target => {
                    assert!(insn.is_ld_imm64());
                    check_address(object, target);
                }
            }
        }
        // What refers to something outside is in the list.
        let listed = |slot: usize| f.relocs.iter().any(|r| r.insn as usize == slot);
        for (slot, insn) in f.insns.iter().enumerate() {
            let refers = insn.is_bpf_call() || insn.is_ld_imm64() && insn.src() != 0;
            assert!(!refers || listed(slot), "{} at {slot}", f.name);
        }
        assert!(f.insns.last().is_some_and(|last: &Insn| !last.is_ld_imm64()));
        assert!(f.btf_func.is_none_or(known));
    }
    for map in &object.maps {
        assert!(map.key_type.is_none_or(known) && map.value_type.is_none_or(known));
        for (_, value) in &map.values {
            match value {
                SlotValue::Map(id) => assert!(id.index() < object.maps.len()),
                SlotValue::Program(id) => assert!(object.functions[id.index()].program.is_some()),
            }
        }
    }
    for data in &object.data {
        assert!(data.bytes.len() == data.size as usize || data.kind == DataKind::Bss);
        let mut end = 0;
        for var in &data.vars {
            assert!(known(var.type_id) && var.size > 0 && var.offset >= end);
            end = var.offset + var.size;
        }
        assert!(end <= data.size);
    }
    assert!(object.externs.iter().all(|e| e.type_id.is_none_or(known)));
}

fn check_address(object: &Object, target: RelocTarget) {
    match target {
        RelocTarget::FuncAddr(id) => assert!(id.index() < object.functions.len()),
        RelocTarget::Map(id) => assert!(id.index() < object.maps.len()),
        RelocTarget::Arena { map: Some(map), offset } => {
            assert!(offset as usize <= object.maps[map.index()].arena_data.len());
        }
        RelocTarget::Arena { map: None, .. } => {}
        RelocTarget::Data { data, offset } => assert!(offset <= object.data[data.index()].size),
        RelocTarget::JumpTable { .. } => {}
        RelocTarget::ExternAddr { id, .. } => assert!(id.index() < object.externs.len()),
        RelocTarget::Call(_) | RelocTarget::CallExtern(_) => unreachable!(),
    }
}

/// One piece of damage: where (as a fraction of the length), and what is put there.
#[derive(Debug, Clone)]
enum Damage {
    Byte(f64, u8),
    Word(f64, u32),
    Cut(f64),
    /// Bytes of one place are copied to another.
    Copy(f64, f64, usize),
}

fn damage() -> impl Strategy<Value = Damage> {
    let place = 0.0..1.0f64;
    let words = prop_oneof![Just(0), Just(u32::MAX), Just(0x7fff_ffff), Just(8), any::<u32>()];
    prop_oneof![
        6 => (place.clone(), any::<u8>()).prop_map(|(at, byte)| Damage::Byte(at, byte)),
        3 => (place.clone(), words).prop_map(|(at, word)| Damage::Word(at, word)),
        1 => place.clone().prop_map(Damage::Cut),
        1 => (place.clone(), place, 1..64usize).prop_map(|(a, b, n)| Damage::Copy(a, b, n)),
    ]
}

fn apply(bytes: &mut Vec<u8>, damage: &Damage) {
    let place = |fraction: f64| (bytes.len() as f64 * fraction) as usize;
    match *damage {
        Damage::Byte(at, byte) => {
            let at = place(at);
            bytes[at] = byte;
        }
        Damage::Word(at, word) => {
            let at = place(at) & !3;
            for (to, from) in bytes.iter_mut().skip(at).zip(word.to_le_bytes()) {
                *to = from;
            }
        }
        Damage::Cut(at) => {
            let at = place(at).max(1);
            bytes.truncate(at);
        }
        Damage::Copy(from, to, len) => {
            let (from, to) = (place(from), place(to));
            let piece: Vec<u8> = bytes.iter().skip(from).take(len).copied().collect();
            for (to, from) in bytes.iter_mut().skip(to).zip(piece) {
                *to = from;
            }
        }
    }
}

/// More with `PROPTEST_CASES=100000`.
fn config() -> ProptestConfig {
    let base = ProptestConfig::default();
    ProptestConfig { cases: base.cases.max(2000), failure_persistence: None, ..base }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn damage_never_panics_hangs_or_contradicts(
        which in 0.0..1.0f64,
        damages in prop::collection::vec(damage(), 1..6),
    ) {
        thread_local!(static FIXTURES: Vec<(String, Vec<u8>)> = fixtures());
        let (name, mut bytes) = FIXTURES.with(|all| all[(all.len() as f64 * which) as usize].clone());
        for one in &damages {
            apply(&mut bytes, one);
        }
        let start = Instant::now();
        let result = checked(&name, &bytes);
        prop_assert!(start.elapsed() < Duration::from_secs(5));
        match result {
            Ok(object) => check(&object),
            Err(error) => prop_assert!(!error.to_string().is_empty()),
        }
    }
}

#[test]
fn every_truncation_of_a_fixture_is_an_error() {
    let bytes = std::fs::read(cases().join("reader/everything.o")).unwrap();
    for len in (0..bytes.len()).step_by(7) {
        assert!(Object::parse("cut.o", &bytes[..len]).is_err(), "{len}");
    }
}
