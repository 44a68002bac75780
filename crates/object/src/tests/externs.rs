//! Externs and their kinds.

use super::*;

#[test]
fn externs_without_btf_are_told_apart_by_use() {
    let mut b = program(&[&[call(-1)][..], &load(0, 4), &load(0, 0), &[EXIT]].concat());
    let function = b.undefined("function");
    let variable = b.undefined("variable");
    b.symbol("unused", (WEAK, NOTYPE), UNDEF, (0, 0));
    b.rel(1, 0, function, R_CALL);
    b.rel(1, 8, variable, R_64);
    b.rel(1, 24, function, R_64);
    let object = b.parse();
    let kinds: Vec<_> = object.externs.iter().map(|e| (e.name.as_str(), e.kind, e.weak)).collect();
    assert_eq!(
        kinds,
        [
            ("function", ExternKind::Function, false),
            ("variable", ExternKind::Variable, false),
            ("unused", ExternKind::Variable, true),
        ]
    );
    let address = |id, addend| RelocTarget::ExternAddr { id: ExternId(id), addend };
    assert_eq!(
        targets(&object),
        [RelocTarget::CallExtern(ExternId(0)), address(1, 4), address(0, 0)]
    );
}

/// The kind of an extern VAR `x` of the type that `make` makes, listed in `section`.
fn extern_kind(
    section: &str,
    make: impl Fn(&mut BtfBuilder) -> TypeId,
) -> Result<ExternKind, ReadProblem> {
    let mut types = BtfBuilder::new();
    let type_id = make(&mut types);
    let type_id = types.add_var("x", type_id, BtfLinkage::Extern);
    if !section.is_empty() {
        types.add_datasec(section, 0, &[SectionVar { type_id, offset: 0, size: 0 }]);
    }
    let mut b = program(&[EXIT]);
    b.undefined("x");
    b.btf(&types.finish().unwrap());
    match checked(&b.finish()) {
        Ok(object) => Ok(object.externs[0].kind),
        Err(error) => Err(*error.problem),
    }
}

#[test]
fn kinds_of_extern_variables() {
    use ExternKind as K;
    let kind = |section, make: fn(&mut BtfBuilder) -> TypeId| extern_kind(section, make).unwrap();
    let u32_ = |b: &mut BtfBuilder| int(b, "unsigned int", 4, false);
    let proto = |b: &mut BtfBuilder| b.add_func_proto(TypeId::VOID, &[]);
    assert_eq!(kind("", u32_), K::Variable);
    assert_eq!(kind(".data", u32_), K::Variable);
    assert_eq!(kind(".maps", |b| b.add_struct("", 8, &[])), K::Map);
    assert_eq!(kind(".ksyms", u32_), K::TypedKsym);
    assert_eq!(kind(".ksyms", |b| b.add_const(TypeId::VOID)), K::TypelessKsym);
    // The encoding of 2019.
    assert_eq!(kind(".extern", proto), K::Function);
    assert_eq!(kind("", proto), K::Function);
    assert_eq!(kind(".ksyms", proto), K::KernelFunction);
    assert_eq!(kind(".extern", u32_), K::Kconfig(KconfigType::Int { size: 4, signed: false }));
}

#[test]
fn kconfig_types() {
    let kind = |make: fn(&mut BtfBuilder) -> TypeId| match extern_kind(".kconfig", make) {
        Ok(ExternKind::Kconfig(kind)) => Ok(kind),
        Ok(other) => panic!("{other:?}"),
        Err(P::Extern { name, problem: ExternProblem::KconfigType(c) }) if name == "x" => Err(c),
        Err(other) => panic!("{other}"),
    };
    let bool_ = |b: &mut BtfBuilder| {
        let encoding = bpfweld_btf::IntEncoding {
            signed: false,
            is_char: false,
            is_bool: true,
            bit_offset: 0,
            bits: 8,
        };
        let id = b.add_int("_Bool", 1, encoding);
        let id = b.add_typedef("bool", id);
        let id = b.add_const(id);
        b.add_typedef("flag", id)
    };
    assert_eq!(kind(bool_), Ok(KconfigType::Bool));
    let tristate = |b: &mut BtfBuilder| {
        let id = b.add_enum("libbpf_tristate", 4, false, &[("TRI_NO", 0)]);
        b.add_volatile(id)
    };
    assert_eq!(kind(tristate), Ok(KconfigType::Tristate));
    assert_eq!(kind(|b| int(b, "char", 1, true)), Ok(KconfigType::Char { signed: true }));
    assert_eq!(
        kind(|b| int(b, "unsigned char", 1, false)),
        Ok(KconfigType::Int { size: 1, signed: false })
    );
    assert_eq!(
        kind(|b| int(b, "long long", 8, true)),
        Ok(KconfigType::Int { size: 8, signed: true })
    );
    let string = |b: &mut BtfBuilder| {
        let char_ = int(b, "char", 1, true);
        let char_ = b.add_const(char_);
        b.add_array(char_, char_, 16)
    };
    assert_eq!(kind(string), Ok(KconfigType::CharArray { len: 16 }));
    assert_eq!(kind(|b| b.add_enum("other", 4, false, &[])), Err("enum other".to_owned()));
    assert_eq!(kind(|b| int(b, "__int128", 16, true)), Err("__int128".to_owned()));
    assert_eq!(kind(|b| b.add_struct("s", 4, &[])), Err("struct s".to_owned()));
    let ints = |b: &mut BtfBuilder| {
        let int = int(b, "int", 4, true);
        b.add_array(int, int, 3)
    };
    assert!(kind(ints).is_err());
    let none = |b: &mut BtfBuilder| {
        let char_ = int(b, "char", 1, true);
        b.add_array(char_, char_, 0)
    };
    assert!(kind(none).is_err());
}
