//! Data sections, variables and the small sections.

use super::*;

#[test]
fn data_sections() {
    let mut b = program(&[EXIT]);
    for name in [".data", ".data.x", ".rodata", ".rodata.cst16", ".bss"] {
        b.data(name, &[1, 2, 3]);
    }
    b.nobits(".bss.y", 3);
    b.data(".database", &[1]);
    b.section(".rodata.debug", PROGBITS, 0, &[1]);
    b.data(".data.empty", &[]);
    let object = b.parse();
    let kinds: Vec<_> = object.data.iter().map(|d| (d.name.as_str(), d.kind)).collect();
    assert_eq!(
        kinds,
        [
            (".data", DataKind::Data),
            (".data.x", DataKind::Data),
            (".rodata", DataKind::Rodata),
            (".rodata.cst16", DataKind::Rodata),
            (".bss", DataKind::Data), // it has contents
            (".bss.y", DataKind::Bss),
        ]
    );
    assert_eq!(object.notes, ["section .database: 1 bytes that programs cannot use, passed over"]);
}

#[test]
fn a_huge_bss_is_refused() {
    for size in [(1 << 30) + 1, u64::MAX] {
        let mut b = program(&[EXIT]);
        b.nobits(".bss", size);
        assert!(matches!(b.fails(), P::Section { section, .. } if section == ".bss"));
    }
    let mut b = program(&[EXIT]);
    b.nobits(".bss", 1 << 30);
    assert_eq!(b.parse().data[0].size, 1 << 30);
}

#[test]
fn common_symbols_are_refused_by_name() {
    let mut b = program(&[EXIT]);
    b.symbol("counter", (GLOBAL, OBJECT), 0xfff2, (4, 4));
    match b.fails() {
        P::Variable { variable, problem, .. } => {
            assert_eq!((variable.as_str(), problem), ("counter", VariableProblem::Common));
        }
        other => panic!("{other}"),
    }
}

#[test]
fn licence_and_version_of_odd_forms() {
    let mut b = program(&[EXIT]);
    b.section("license", PROGBITS, DATA, b"Dual MIT/GPL");
    assert_eq!(b.parse().license.as_deref(), Some("Dual MIT/GPL"));
    let mut b = program(&[EXIT]);
    b.section("license", PROGBITS, DATA, b"\xff\0");
    assert!(b.fails().to_string().contains("section license"));
    let mut b = program(&[EXIT]);
    b.section("version", PROGBITS, DATA, &[1, 2]);
    assert!(b.fails().to_string().contains("2 bytes, not the 4"));
}

/// A file whose `.data` of 16 bytes holds these variables: (name, linkage, offset in BTF, size) and
/// symbols (name, binding, value).
fn data_file(vars: &[(&str, BtfLinkage, u32, u32)], symbols: &[(&str, u8, u64)]) -> Builder {
    let mut types = BtfBuilder::new();
    let u32_ = int(&mut types, "unsigned int", 4, false);
    let entries: Vec<_> = vars
        .iter()
        .map(|&(name, linkage, offset, size)| SectionVar {
            type_id: types.add_var(name, u32_, linkage),
            offset,
            size,
        })
        .collect();
    types.add_datasec(".data", 0, &entries);
    let mut b = program(&[EXIT]);
    let data = b.data(".data", &[0; 16]);
    for &(name, bind, value) in symbols {
        b.symbol(name, (bind, OBJECT), data, (value, 4));
    }
    b.btf(&types.finish().unwrap());
    b
}

#[test]
fn offsets_of_variables_come_from_symbols() {
    use BtfLinkage::{Extern, Global, Static};
    let vars = [
        ("global", Global, 0, 4),
        ("twin", Static, 4, 4), // two of a name: offsets in place
        ("twin", Static, 8, 4),
        ("local", Static, 0, 4),
        ("elsewhere", Extern, 0, 0),
        ("nothing", Global, 0, 0),
    ];
    let symbols =
        [("global", GLOBAL, 12), ("twin", LOCAL, 4), ("twin", LOCAL, 8), ("local", LOCAL, 0)];
    let object = data_file(&vars, &symbols).parse();
    let btf = object.btf.as_ref().unwrap();
    let data = &object.data[0];
    assert!(data.datasec.is_some());
    let found: Vec<_> =
        data.vars.iter().map(|v| (btf.ty(v.type_id).name(), v.offset, v.size)).collect();
    assert_eq!(found, [("local", 0, 4), ("twin", 4, 4), ("twin", 8, 4), ("global", 12, 4)]);
}

#[test]
fn variables_outside_their_section() {
    use BtfLinkage::Global;
    for (value, size) in [(13, 4), (16, 1), (u64::MAX, 4), (0, 17), (0, u32::MAX)] {
        let b = data_file(&[("v", Global, 0, size)], &[("v", GLOBAL, value)]);
        let problem = b.fails();
        assert!(matches!(problem, P::Variable { .. }), "{problem}");
        assert!(problem.to_string().starts_with("section .data, variable v: "));
    }
    let object =
        data_file(&[("a", Global, 0, 4), ("b", Global, 0, 4)], &[("a", GLOBAL, 0)]).parse();
    assert_eq!(object.data[0].vars.len(), 1);
    assert!(object.notes[0].contains("variable b shares its place"));
}

#[test]
fn hidden_variables() {
    let mut b =
        data_file(&[("seen", BtfLinkage::Global, 0, 4), ("inner", BtfLinkage::Global, 0, 4)], &[]);
    b.symbol("seen", (GLOBAL, OBJECT), 2, (0, 4));
    let inner = b.symbol("inner", (GLOBAL, OBJECT), 2, (4, 4));
    b.visibility(inner, 2);
    let hidden: Vec<_> = b.parse().data[0].vars.iter().map(|v| (v.offset, v.hidden)).collect();
    assert_eq!(hidden, [(0, false), (4, true)]);
}
