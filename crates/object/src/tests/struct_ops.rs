//! Tables of functions that the kernel calls.

use super::*;

/// A program `f` of section `struct_ops/f`, a table `t` of type `struct ops { int n; void (*call)(); }`
/// in section `name`, and a relocation at `at` to the symbol of `f`.
fn table(name: &str, at: u64, kind: u32) -> Builder {
    let mut b = Builder::new();
    let code = b.code("struct_ops/f", &[EXIT]);
    let f = b.func("f", code, 0, 8);
    let mut bytes = [0; 16];
    bytes[0] = 7;
    let ops = b.data(name, &bytes);
    b.symbol("t", (GLOBAL, OBJECT), ops, (0, 16));
    b.rel(ops, at, f, kind);
    let mut btf = BtfBuilder::new();
    let int = int(&mut btf, "int", 4, true);
    let proto = btf.add_func_proto(int, &[]);
    let pointer = btf.add_ptr(proto);
    let members = [member("n", int, 0), member("call", pointer, 1)];
    let ty = btf.add_struct("ops", 16, &members);
    let type_id = btf.add_var("t", ty, BtfLinkage::Global);
    btf.add_datasec(name, 16, &[SectionVar { type_id, offset: 0, size: 16 }]);
    b.btf(&btf.finish().unwrap());
    b
}

#[test]
fn functions_know_what_they_implement() {
    let object = table(".struct_ops", 8, R_ABS64).parse();
    let [ops] = &*object.struct_ops else { panic!("{:?}", object.struct_ops) };
    assert_eq!((&*ops.name, ops.bytes[0], ops.by_link, ops.autocreate), ("t", 7, false, true));
    assert_eq!(ops.functions, [(8, FuncId(0))]);
    assert_eq!(object.btf.as_ref().unwrap().ty(ops.type_id).name(), "ops");
    let program = object.functions[0].program.as_ref().unwrap();
    assert_eq!(program.attach_to.as_deref(), Some("ops.call"));

    let object = table("?.struct_ops.link", 8, R_64).parse();
    assert!(object.struct_ops[0].by_link && !object.struct_ops[0].autocreate);
}

#[test]
fn a_section_name_alone_says_nothing() {
    // The relocation is of a number: no member is called.
    let object = table(".struct_ops", 4, R_ABS64).parse();
    let program = object.functions[0].program.as_ref().unwrap();
    assert_eq!((program.prog_type, program.attach_to.as_deref()), (ProgramType::STRUCT_OPS, None));
}

#[test]
fn broken_relocations() {
    assert!(matches!(
        reloc_problem(table(".struct_ops", 12, R_ABS64).fails()),
        (12, R::OutOfSection { size: 16 })
    ));
    assert!(matches!(
        reloc_problem(table(".struct_ops", 8, R_CALL).fails()),
        (8, R::UnknownType(R_CALL))
    ));
    let mut b = table(".struct_ops", 8, R_ABS64);
    let nowhere = b.undefined("nowhere");
    b.rel(2, 0, nowhere, R_ABS64);
    // Another object may have it.
    let object = b.parse();
    assert!(object.notes.iter().any(|n| n.contains("`nowhere` is of another object")));
    assert!(object.struct_ops[0].functions.iter().all(|&(at, _)| at != 0));
}
