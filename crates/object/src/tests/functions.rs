//! Functions: their places, names, linkage; entry programs.

use super::*;

#[test]
fn one_program() {
    let mut b = program(&[EXIT]);
    b.section("license", PROGBITS, DATA, b"GPL\0");
    b.section("version", PROGBITS, DATA, &[1, 2, 3, 4]);
    let object = b.parse();
    assert_eq!(object.license.as_deref(), Some("GPL"));
    assert_eq!(object.kernel_version, Some(0x0403_0201));
    let [prog] = &object.functions[..] else { panic!() };
    assert_eq!((prog.name.as_str(), &*prog.section, prog.offset), ("prog", "xdp", 0));
    assert_eq!(*prog.insns, [EXIT]);
    assert_eq!(prog.linkage, Linkage::Global);
    assert_eq!(prog.program.as_ref().unwrap().prog_type, ProgramType::XDP);
    assert!(object.notes.is_empty() && object.btf.is_none());
}

#[test]
fn big_endian() {
    let mut b = Builder::big_endian();
    let xdp = b.code("xdp", &[load(0, 0x0102_0304), [call(-1), EXIT]].concat());
    b.func("prog", xdp, 0, 32);
    let other = b.undefined("other");
    b.rel(xdp, 16, other, R_CALL);
    b.section("version", PROGBITS, DATA, &[1, 2, 3, 4]);
    let object = b.parse();
    assert_eq!((object.endian, object.kernel_version), (Endian::Big, Some(0x0102_0304)));
    assert_eq!({ object.functions[0].insns[0].imm }, 0x0102_0304);
    assert_eq!(targets(&object), [RelocTarget::CallExtern(ExternId(0))]);
}

#[test]
fn several_functions_and_gaps() {
    let mut b = Builder::new();
    let text = b.code(".text", &[EXIT; 5]);
    b.func("last", text, 32, 8);
    let hidden = b.func("hidden", text, 8, 8);
    b.visibility(hidden, 2);
    b.symbol("weak", (WEAK, FUNC), text, (0, 8));
    let weak_hidden = b.symbol("weak_hidden", (WEAK, FUNC), text, (24, 8));
    b.visibility(weak_hidden, 1);
    b.symbol("LBB0_1", (LOCAL, NOTYPE), text, (0, 0));
    let object = b.parse();
    let found: Vec<_> =
        object.functions.iter().map(|f| (f.name.as_str(), f.offset, f.linkage)).collect();
    // The code at 16 has no symbol.
    assert_eq!(
        found,
        [
            ("weak", 0, Linkage::Weak),
            ("hidden", 8, Linkage::Hidden),
            ("weak_hidden", 24, Linkage::Hidden),
            ("last", 32, Linkage::Global),
        ]
    );
    assert!(object.functions.iter().all(|f| f.program.is_none()));
}

#[test]
fn functions_that_make_no_sense() {
    let with = |value, size| {
        let mut b = program(&[EXIT, EXIT]);
        b.func("bad", 1, value, size);
        function_problem(b.fails())
    };
    assert_eq!(with(8, 8), F::Overlap("prog".to_owned()));
    assert_eq!(with(0, 8), F::Overlap("prog".to_owned()));
    assert_eq!(with(12, 4), F::Unaligned { size: 4 });
    assert_eq!(with(16, 0), F::NoInstructions);
    assert_eq!(with(16, 8), F::OutOfSection { end: 24, section_end: 16 });
    let end = u64::MAX;
    assert_eq!(with(u64::MAX - 7, 64), F::OutOfSection { end, section_end: 16 });

    let problem = |insns: &[Insn]| match program(insns).fails() {
        P::Function { offset, problem, .. } => (offset, problem),
        other => panic!("{other}"),
    };
    assert_eq!(problem(&[EXIT, load(0, 0)[0]]), (8, F::CutLoad));
    assert_eq!(problem(&[load(0, 0)[0], EXIT]), (0, F::BadLoad));
    let mut b = Builder::new();
    let empty = b.code(".text", &[]);
    b.func("f", empty, 0, 0);
    assert_eq!(function_problem(b.fails()), F::NoInstructions);
}

#[test]
fn a_second_name_is_a_function_too() {
    let mut b = program(&[call(-1), EXIT]);
    let text = b.code(".text", &[EXIT]);
    b.func("one", text, 0, 8);
    let two = b.func("two", text, 0, 8);
    b.rel(1, 0, two, R_CALL);
    let object = b.parse();
    let names: Vec<_> = object.functions.iter().map(|f| f.name.as_str()).collect();
    assert_eq!(names, ["prog", "one", "two"]);
    assert_eq!(targets(&object), [RelocTarget::Call(FuncId(2))]);
}

#[test]
fn many_names_for_much_code_are_refused() {
    let mut b = Builder::new();
    let text = b.code(".text", &[EXIT]);
    for i in 0..65 {
        b.func(&format!("f{i}"), text, 0, 0);
    }
    assert_eq!(function_problem(b.fails()), F::TooMany);
    let mut b = Builder::new();
    let text = b.code(".text", &vec![EXIT; 1 << 17]);
    for i in 0..33 {
        b.func(&format!("f{i}"), text, 0, 8 << 17);
    }
    assert_eq!(function_problem(b.fails()), F::TooLong { limit: 1 << 22 });
}

#[test]
fn assembly_without_sizes_or_types() {
    let mut b = Builder::new();
    let text = b.code(".text", &[EXIT; 3]);
    b.symbol("one", (GLOBAL, NOTYPE), text, (0, 0));
    b.symbol("two", (GLOBAL, NOTYPE), text, (16, 0));
    b.symbol("label", (LOCAL, NOTYPE), text, (8, 0));
    let xdp = b.code("xdp", &[EXIT; 3]);
    b.func("typed", xdp, 0, 0);
    b.func("end", xdp, 8, 0);
    b.symbol("label", (GLOBAL, NOTYPE), xdp, (16, 0));
    let object = b.parse();
    let found: Vec<_> = object.functions.iter().map(|f| (f.name.as_str(), f.insns.len())).collect();
    assert_eq!(found, [("one", 2), ("two", 1), ("typed", 1), ("end", 2)]);
}

#[test]
fn entry_programs() {
    let mut b = Builder::new();
    let xdp = b.code("xdp", &[call(1), EXIT, EXIT, EXIT]);
    b.func("main", xdp, 0, 16);
    b.symbol("called", (LOCAL, FUNC), xdp, (16, 8));
    b.symbol("alone", (LOCAL, FUNC), xdp, (24, 8));
    let old = b.code("xdp_drop", &[EXIT]);
    b.func("old", old, 0, 8);
    let odd = b.code("odd", &[EXIT]);
    b.func("odd", odd, 0, 8);
    let text = b.code(".text.sub", &[EXIT]);
    b.func("sub", text, 0, 8);
    let object = b.parse();
    let types: Vec<_> = object
        .functions
        .iter()
        .map(|f| (f.name.as_str(), f.program.as_ref().map(|p| p.prog_type.name())))
        .collect();
    assert_eq!(
        types,
        [
            ("main", Some("xdp")),
            ("called", None),
            ("alone", Some("xdp")),
            ("old", Some("xdp")),
            ("odd", Some("unspec")),
            ("sub", None),
        ]
    );
    let notes = object.notes.join("\n");
    assert!(notes.contains("function alone is static and nothing calls it"), "{notes}");
    assert!(notes.contains("section xdp_drop: an old-style name, taken for xdp"), "{notes}");
    assert!(notes.contains("section odd: the name stands for no program type"), "{notes}");
    assert_eq!(object.notes.len(), 3);
}

#[test]
fn functions_find_their_types_by_name() {
    let mut types = BtfBuilder::new();
    let int = int(&mut types, "int", 4, true);
    let proto = types.add_func_proto(int, &[]);
    let global = types.add_func("prog", proto, BtfLinkage::Global);
    types.add_func("prog", proto, BtfLinkage::Static);
    types.add_func("prog", proto, BtfLinkage::Static);
    let mut b = program(&[EXIT]);
    b.btf(&types.finish().unwrap());
    assert_eq!(b.parse().functions[0].btf_func, Some(global));
}

#[test]
fn broken_btf_is_an_error() {
    let mut b = program(&[EXIT]);
    b.section(".BTF", PROGBITS, 0, &[1; 30]);
    assert!(matches!(b.fails(), P::Btf { section: ".BTF", .. }));
    let mut b = program(&[EXIT]);
    b.btf(&BtfBuilder::new().finish().unwrap());
    b.section(".BTF.ext", PROGBITS, 0, &[1; 30]);
    assert!(matches!(b.fails(), P::Btf { section: ".BTF.ext", .. }));
}

#[test]
fn what_functions_do_is_read_on_first_use() {
    let broken = program(&[call(7), EXIT]).finish();
    let object = Object::parse("test.o", &broken).unwrap();
    assert_eq!((object.functions[0].name.as_str(), object.functions[0].insns.len()), ("prog", 0));
    let error = object.check().unwrap_err();
    assert!(matches!(*error.problem, P::Reloc { offset: 0, .. }), "{error}");
    assert_eq!(object.check().unwrap_err(), error, "and again");
    // Which functions are entry programs cannot be told without it.
    let mut b = program(&[call(7), EXIT]);
    let other = b.code("tc", &[EXIT]);
    b.symbol("more", (LOCAL, FUNC), other, (0, 8));
    assert_eq!(*Object::parse("test.o", &b.finish()).unwrap_err().problem, *error.problem);

    let object = Object::parse("test.o", &program(&[EXIT]).finish()).unwrap();
    assert_eq!(object.check().unwrap(), [""; 0]);
    let mut changed = object.clone();
    changed.functions[0].insns.to_mut().push(EXIT);
    assert_eq!((object.functions[0].insns.len(), changed.functions[0].insns.len()), (1, 2));
}
