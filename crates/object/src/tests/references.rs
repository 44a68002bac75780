//! References from code: calls and addresses, and relocations in the wrong place.

use super::*;

#[test]
fn calls() {
    // By global symbol, by section symbol, by local symbol, and without a relocation.
    let mut b = Builder::new();
    let xdp = b.code("xdp", &[call(-1), call(2), call(0), call(1), EXIT, EXIT]);
    b.func("prog", xdp, 0, 40);
    b.symbol("near", (LOCAL, FUNC), xdp, (40, 8));
    let text = b.code(".text", &[EXIT; 4]);
    let one = b.func("one", text, 8, 8);
    let two = b.symbol("two", (LOCAL, FUNC), text, (16, 8));
    b.symbol("three", (LOCAL, FUNC), text, (24, 8));
    let section = b.symbol("", (LOCAL, SECTION), text, (0, 0));
    b.rel(xdp, 0, one, R_CALL);
    b.rel(xdp, 8, section, R_CALL); // 3 slots into .text
    b.rel(xdp, 16, two, R_CALL); // one slot behind `two`
    let object = b.parse();
    let id = |name| {
        let at = object.functions.iter().position(|f| f.name == name).unwrap();
        RelocTarget::Call(FuncId(at as u32))
    };
    assert_eq!(targets(&object), [id("one"), id("three"), id("three"), id("near")]);
    let insns: Vec<_> = object.functions[0].relocs.iter().map(|r| r.insn).collect();
    assert_eq!(insns, [0, 1, 2, 3]);
}

#[test]
fn a_call_without_relocation_stays_in_its_section() {
    // `.text` has a function at the same offset.
    let mut b = Builder::new();
    let text = b.code(".text", &[EXIT, EXIT]);
    b.func("wrong", text, 8, 8);
    let xdp = b.code("xdp", &[call(1), EXIT, EXIT]);
    b.func("prog", xdp, 0, 16);
    b.symbol("right", (LOCAL, FUNC), xdp, (16, 8));
    let object = b.parse();
    assert_eq!(targets(&object), [RelocTarget::Call(FuncId(2))]);
    assert_eq!(object.functions[2].name, "right");
    // Into a gap, out of the section, and into the middle of a function.
    for distance in [0, 1, 100, -100, i32::MAX, i32::MIN] {
        let mut b = Builder::new();
        let xdp = b.code("xdp", &[EXIT, call(distance), EXIT, EXIT]);
        b.func("prog", xdp, 0, 24);
        let (offset, problem) = reloc_problem(b.fails());
        assert_eq!(offset, 8);
        assert!(matches!(problem, R::NoFunction { .. }), "{problem}");
    }
}

#[test]
fn calls_with_an_addend_of_their_own() {
    let mut b = program(&[call(77), EXIT]);
    let text = b.code(".text", &[EXIT, EXIT]);
    b.func("f", text, 8, 8);
    let section = b.symbol("", (LOCAL, SECTION), text, (0, 0));
    b.rela(1, 0, section, R_CALL, 8);
    assert_eq!(targets(&b.parse()), [RelocTarget::Call(FuncId(1))]);
}

#[test]
fn addresses_of_functions() {
    let code = [load(0, 0), load(0, 8), load(4, 2), [EXIT, EXIT]].concat();
    let mut b = Builder::new();
    let xdp = b.code("xdp", &code);
    b.func("prog", xdp, 0, 56);
    b.symbol("callback", (LOCAL, FUNC), xdp, (56, 8));
    let text = b.code(".text", &[EXIT, EXIT]);
    let one = b.func("one", text, 0, 8);
    b.func("two", text, 8, 8);
    let section = b.symbol("", (LOCAL, SECTION), text, (0, 0));
    b.rel(xdp, 0, one, R_64);
    b.rel(xdp, 16, section, R_64);
    assert_eq!(
        targets(&b.parse()),
        [
            RelocTarget::FuncAddr(FuncId(2)),
            RelocTarget::FuncAddr(FuncId(3)),
            RelocTarget::FuncAddr(FuncId(1)),
        ]
    );
}

#[test]
fn addresses_of_data() {
    let code = [load(0, 4), load(0, 12), load(0, -4), load(0, 0), [EXIT; 2]].concat();
    let mut b = program(&code);
    let data = b.data(".data", &[7; 16]);
    let bss = b.nobits(".bss.x", 8);
    let section = b.symbol("", (LOCAL, SECTION), data, (0, 0));
    let var = b.symbol("var", (GLOBAL, OBJECT), data, (4, 4));
    let zero = b.symbol("zero", (GLOBAL, OBJECT), bss, (8, 0));
    b.rel(1, 0, section, R_64);
    b.rel(1, 16, var, R_64); // 16: one past the end
    b.rel(1, 32, var, R_64);
    b.rel(1, 48, zero, R_64);
    let object = b.parse();
    let at = |data, offset| RelocTarget::Data { data: DataId(data), offset };
    assert_eq!(targets(&object), [at(0, 4), at(0, 16), at(0, 0), at(1, 8)]);
    let kinds: Vec<_> =
        object.data.iter().map(|d| (d.name.as_str(), d.kind, d.size, d.bytes.len())).collect();
    assert_eq!(kinds, [(".data", DataKind::Data, 16, 16), (".bss.x", DataKind::Bss, 8, 0)]);
    for imm in [17, -1, i32::MAX, i32::MIN] {
        let mut b = program(&[load(0, imm), [EXIT; 2]].concat());
        let data = b.data(".rodata.str1.1", &[7; 16]);
        let section = b.symbol("", (LOCAL, SECTION), data, (0, 0));
        b.rel(1, 0, section, R_64);
        let (_, problem) = reloc_problem(b.fails());
        let section = ".rodata.str1.1".to_owned();
        assert_eq!(problem, R::OutOfData { section, offset: imm.into(), size: 16 });
    }
}

#[test]
fn relocations_in_the_wrong_place() {
    let code = [&load(0, 0)[..], &[call(-1), EXIT]].concat();
    let with = |offset, kind| {
        let mut code = code.clone();
        if offset != 16 {
            code[2] = call(-3); // without a relocation it calls its own function
        }
        let mut b = program(&code);
        let text = b.code(".text", &[EXIT]);
        let f = b.func("f", text, 0, 8);
        b.rel(1, offset, f, kind);
        match checked(&b.finish()) {
            Ok(_) => None,
            Err(error) => Some(reloc_problem(*error.problem)),
        }
    };
    assert_eq!(with(0, R_64), None);
    assert_eq!(with(16, R_CALL), None);
    assert_eq!(with(8, R_64), Some((8, R::MiddleOfLoad)));
    assert_eq!(with(4, R_64), Some((4, R::Unaligned)));
    assert_eq!(with(32, R_64), Some((32, R::OutOfSection { size: 32 })));
    assert_eq!(with(28, R_64), Some((28, R::OutOfSection { size: 32 })));
    assert_eq!(with(u64::MAX, R_64), Some((u64::MAX, R::OutOfSection { size: 32 })));
    let wrong = |kind, code| R::WrongInstruction { kind, code };
    assert_eq!(with(16, R_64), Some((16, wrong(R_64, 0x85))));
    assert_eq!(with(0, R_CALL), Some((0, wrong(R_CALL, 0x18))));
    assert_eq!(with(24, R_CALL), Some((24, wrong(R_CALL, 0x95))));
    assert_eq!(with(0, R_ABS64), Some((0, wrong(R_ABS64, 0x18))));
    assert_eq!(with(0, 3), Some((0, wrong(3, 0x18))));
    assert_eq!(with(0, 4), Some((0, wrong(4, 0x18))));
    assert_eq!(with(0, 5), Some((0, R::UnknownType(5))));
    assert_eq!(with(0, 256), Some((0, R::UnknownType(256))));
}

#[test]
fn relocations_against_the_wrong_symbol() {
    let with = |insn: &[Insn], kind, make: fn(&mut Builder) -> u32| {
        let mut b = program(&[insn, &[EXIT; 2]].concat());
        let symbol = make(&mut b);
        b.rel(1, 0, symbol, kind);
        reloc_problem(b.fails()).1
    };
    let code = &[call(-1)][..];
    let address = &load(0, 0)[..];
    assert_eq!(with(code, R_CALL, |_| 99), R::SymbolIndex { index: 99, count: 2 });
    assert_eq!(with(code, R_CALL, |_| 0), R::NoSymbol);
    assert_eq!(with(address, R_64, |_| 0), R::NoSymbol);
    let absolute = |b: &mut Builder| b.symbol("abs", (GLOBAL, NOTYPE), 0xfff1, (4, 0));
    assert_eq!(with(address, R_64, absolute), R::NoSection);
    let odd = |b: &mut Builder| {
        let section = b.data("odd", &[0; 8]);
        b.symbol("odd", (GLOBAL, OBJECT), section, (0, 8))
    };
    assert_eq!(with(address, R_64, odd), R::WrongSection("odd".to_owned()));
    assert_eq!(with(code, R_CALL, odd), R::CallOfData("odd".to_owned()));
    let far = |b: &mut Builder| b.symbol("far", (GLOBAL, FUNC), 1, (u64::MAX - 7, 0));
    let mut b = program(&[call(-1), EXIT]);
    far(&mut b);
    assert!(matches!(function_problem(b.fails()), F::OutOfSection { .. }));
    let twice = {
        let mut b = program(&[call(-1), EXIT]);
        b.rel(1, 0, 1, R_CALL);
        b.rel(1, 0, 1, R_CALL);
        reloc_problem(b.fails())
    };
    assert_eq!(twice, (0, R::Twice));
    let mut b = program(&[call(4), EXIT]);
    let other = b.undefined("other");
    b.rel(1, 0, other, R_CALL);
    assert_eq!(reloc_problem(b.fails()).1, R::ExternOffset(5));
}

#[test]
fn the_error_names_section_offset_and_symbol() {
    let mut b = program(&[EXIT, call(3), EXIT]);
    let text = b.code(".text", &[EXIT]);
    let f = b.func("f", text, 0, 8);
    b.rel(1, 8, f, R_CALL);
    let problem = b.fails();
    assert_eq!(
        problem.to_string(),
        "section xdp, offset 0x8, symbol f: it leads to 0x20 in section .text, where no function \
         begins"
    );
}

/// A function of five slots, at 8 in its section, that jumps through this table.
fn jumps_through(table: &[u8]) -> Builder {
    let jump = Insn { code: bpfweld_insn::flow::JAX, ..Insn::default() };
    let mut b = Builder::new();
    let xdp = b.code("xdp", &[&[EXIT][..], &load(0, 0), &[jump, EXIT, EXIT]].concat());
    b.func("before", xdp, 0, 8);
    b.func("jumps", xdp, 8, 40);
    let tables = b.data(".jumptables", table);
    let symbol = b.symbol("BPF.JT.0.0", (LOCAL, OBJECT), tables, (0, table.len() as u64));
    b.rel(xdp, 8, symbol, R_64);
    b
}

#[test]
fn jump_tables() {
    let table = |to: &[u64]| to.iter().flat_map(|at| at.to_le_bytes()).collect::<Vec<u8>>();
    let object = jumps_through(&table(&[40, 8, 32])).parse();
    let function = &object.functions[1];
    assert_eq!(function.relocs[0].target, RelocTarget::JumpTable { table: 0 });
    assert_eq!(function.jump_tables, [[4, 0, 3]]);
    // Another function, the second half of a load, no slot, behind the end.
    for to in [0, 16, 33, 48, u64::MAX] {
        let (offset, problem) = reloc_problem(jumps_through(&table(&[32, to])).fails());
        assert_eq!((offset, problem), (8, R::JumpTable("leads out of the function")), "{to}");
    }
    for len in [4, 12] {
        let (_, problem) = reloc_problem(jumps_through(&table(&[32, 32])[..len]).fails());
        assert_eq!(problem, R::JumpTable("is not made of entries of eight bytes"));
    }
}

#[test]
fn references_by_number_are_refused() {
    // File descriptors and BTF ids mean nothing in a file.
    for src in [1, 2, 3, 5, 6, 9] {
        let (_, problem) = reloc_problem(program(&[&load(src, 3)[..], &[EXIT]].concat()).fails());
        assert!(matches!(problem, R::ByNumber(_)), "{src}: {problem}");
    }
    let kfunc = call(77).with_src(2);
    let (_, problem) = reloc_problem(program(&[kfunc, EXIT]).fails());
    assert_eq!(problem, R::ByNumber("a kernel function"));
    // A constant, a helper, an indirect call.
    let callx = Insn { code: 0x8d, ..Insn::default() };
    let helper = Insn { code: 0x85, imm: 5, ..Insn::default() };
    let object = program(&[&load(0, 3)[..], &[helper, callx, EXIT]].concat()).parse();
    assert!(targets(&object).is_empty());
}

#[test]
fn relocations_of_data_are_noted_and_checked() {
    let mut b = program(&[EXIT]);
    let data = b.data(".data", &[0; 16]);
    b.rel(data, 8, 1, R_ABS64);
    let object = b.parse();
    assert!(object.notes[0].starts_with("section .data: 1 initial value(s) are addresses"));
    let mut b = program(&[EXIT]);
    let data = b.data(".data", &[0; 16]);
    b.rel(data, 9, 1, R_ABS64);
    assert_eq!(reloc_problem(b.fails()), (9, R::OutOfSection { size: 16 }));
}

#[test]
fn sections_without_function_symbols_may_have_bad_relocations_too() {
    let mut b = program(&[EXIT]);
    let gap = b.code(".text", &[EXIT; 2]);
    b.rel(gap, 3, 1, R_CALL);
    assert_eq!(reloc_problem(b.fails()), (3, R::Unaligned));
}

/// Two variables, `second` 8 bytes into `.bss`; `in_place` are the immediates that lead there.
fn by_gcc(comment: &[u8], in_place: &[i32]) -> Object {
    let insns: Vec<Insn> = in_place.iter().flat_map(|&imm| load(0, imm)).chain([EXIT]).collect();
    let mut b = program(&insns);
    let bss = b.nobits(".bss", 24);
    let second = b.symbol("second", (GLOBAL, OBJECT), bss, (8, 16));
    for at in 0..in_place.len() as u64 {
        b.rel(1, at * 16, second, R_64);
    }
    b.section(".comment", PROGBITS, 0, comment);
    b.parse()
}

#[test]
fn offsets_that_binutils_counts_twice() {
    let offsets = |object: &Object| -> Vec<u32> {
        let offset = |t: &RelocTarget| match t {
            RelocTarget::Data { offset, .. } => *offset,
            other => panic!("{other:?}"),
        };
        targets(object).iter().map(offset).collect()
    };
    let old = by_gcc(b"clang\0", &[8]);
    assert_eq!(offsets(&old), [16], "only GCC's own objects are suspected");
    let old = by_gcc(b"\0GCC: (12.2.0) 12.2.0\0", &[8, 12]);
    assert_eq!(offsets(&old), [8, 12]);
    assert!(old.notes.iter().any(|n| n.contains("binutils")));
    // One reference that cannot be explained so, and all are what they seem.
    let new = by_gcc(b"\0GCC: (14.1.0) 14.1.0\0", &[8, 4]);
    assert_eq!(offsets(&new), [16, 12]);
    assert!(!new.notes.iter().any(|n| n.contains("binutils")));
}

#[test]
fn calls_that_binutils_counts_in_bytes() {
    // By a global symbol at 16, and by the section's, which was always counted in instructions.
    let mut b = program(&[call(15), call(2), EXIT]);
    let text = b.code(".text", &[EXIT; 4]);
    b.func("zero", text, 0, 16);
    let f = b.func("f", text, 16, 8);
    b.symbol("g", (LOCAL, FUNC), text, (24, 8));
    let section = b.symbol("", (LOCAL, SECTION), text, (0, 0));
    b.rel(1, 0, f, R_CALL);
    b.rel(1, 8, section, R_CALL);
    b.section(".comment", PROGBITS, 0, b"\0GCC: (12.2.0) 12.2.0\0");
    let object = b.parse();
    let named = |t: &RelocTarget| match t {
        RelocTarget::Call(id) => object.functions[id.index()].name.clone(),
        other => panic!("{other:?}"),
    };
    let names: Vec<_> = targets(&object).iter().map(named).collect();
    assert_eq!(names, ["f", "g"]);
}
