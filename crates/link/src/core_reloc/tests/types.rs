//! Records about whole types and about enumerators.

use super::*;
use CoreKind::*;

type Make = fn(&mut BtfBuilder) -> TypeId;

fn case(local: Make, target: Make) -> Case {
    Case::new(local, target)
}

fn exists(local: Make, target: Make) -> u64 {
    case(local, target).value(TypeExists, "0", 1).unwrap()
}

fn matches(local: Make, target: Make) -> u64 {
    case(local, target).value(TypeMatches, "0", 1).unwrap()
}

/// typedef T, of what a test says.
fn typedef(b: &mut BtfBuilder, of: TypeId) -> TypeId {
    b.add_typedef("T", of)
}

#[test]
fn existence_goes_by_name_and_kind() {
    let s: Make = |b| b.add_struct("x", 4, &[]);
    assert_eq!(exists(s, |b| b.add_struct("x", 400, &[])), 1);
    assert_eq!(exists(s, |b| b.add_struct("x___v2", 4, &[])), 1);
    assert_eq!(exists(s, |b| b.add_struct("y", 4, &[])), 0);
    assert_eq!(exists(s, |b| b.add_union("x", 4, &[])), 0);
    assert_eq!(exists(s, |b| b.add_fwd("x", false)), 0);
    assert_eq!(exists(s, |b| b.add_typedef("x", TypeId::VOID)), 0);
    let e: Make = |b| b.add_enum("e", 4, false, &[]);
    assert_eq!(exists(e, |b| b.add_enum64("e", 8, true, &[])), 1);
    let i: Make = u32_;
    assert_eq!(exists(i, u32_), 1);
    assert_eq!(exists(|b| b.add_fwd("x", false), |b| b.add_fwd("x", true)), 1);
}

#[test]
fn existence_of_a_typedef_looks_at_what_is_behind_it() {
    let of_int: Make = |b| {
        let t = int(b, 4, true);
        typedef(b, t)
    };
    let of_ptr: Make = |b| {
        let t = b.add_ptr(TypeId::VOID);
        typedef(b, t)
    };
    let of_int_ptr: Make = |b| {
        let t = int(b, 8, false);
        let t = b.add_const(t);
        let t = b.add_ptr(t);
        typedef(b, t)
    };
    let of_array: Make = |b| {
        let t = int(b, 8, false);
        let t = b.add_array(t, t, 7);
        typedef(b, t)
    };
    assert_eq!(exists(of_int, of_int), 1);
    assert_eq!(exists(of_int, of_ptr), 0);
    assert_eq!(exists(of_ptr, of_ptr), 1);
    assert_eq!(exists(of_ptr, of_int_ptr), 0);
    assert_eq!(exists(of_array, of_array), 1);
    assert_eq!(exists(of_array, of_int), 0);
}

#[test]
fn existence_of_a_prototype_looks_at_its_parameters() {
    fn proto(b: &mut BtfBuilder, params: &[TypeId], returns: TypeId) -> TypeId {
        let params: Vec<_> = params.iter().map(|&id| ("p", id)).collect();
        let proto = b.add_func_proto(returns, &params);
        typedef(b, proto)
    }
    let two: Make = |b| {
        let (t, p) = (u32_(b), b.add_ptr(TypeId::VOID));
        proto(b, &[t, p], t)
    };
    let two_other: Make = |b| {
        let (t, p) = (int(b, 8, true), b.add_ptr(TypeId::VOID));
        let t = b.add_typedef("alias", t);
        proto(b, &[t, p], t)
    };
    let one: Make = |b| {
        let t = u32_(b);
        proto(b, &[t], t)
    };
    let swapped: Make = |b| {
        let (t, p) = (u32_(b), b.add_ptr(TypeId::VOID));
        proto(b, &[p, t], t)
    };
    let no_result: Make = |b| {
        let (t, p) = (u32_(b), b.add_ptr(TypeId::VOID));
        proto(b, &[t, p], TypeId::VOID)
    };
    assert_eq!(exists(two, two_other), 1);
    assert_eq!(exists(two, one), 0);
    assert_eq!(exists(two, swapped), 0);
    assert_eq!(exists(two, no_result), 0);
}

#[test]
fn sizes_and_ids() {
    let s: Make = |b| b.add_struct("x", 12, &[]);
    let shifted: Make = |b| {
        u32_(b);
        b.add_struct("x", 24, &[])
    };
    assert_eq!(case(s, shifted).value(TypeSize, "0", 12), Ok(24));
    // An id in the instruction may be from before some linker renumbered types.
    assert_eq!(case(s, shifted).value(TypeIdTarget, "0", 99), Ok(2));
    assert_eq!(case(shifted, s).value(TypeIdLocal, "0", 99), Ok(2));
    // Of types that are not there.
    let other: Make = |b| b.add_struct("y", 12, &[]);
    assert_eq!(case(s, other).value(TypeSize, "0", 12), Ok(0));
    assert_eq!(case(s, other).value(TypeIdTarget, "0", 99), Ok(0));
    assert_eq!(case(s, other).value(TypeExists, "0", 1), Ok(0));
    assert_eq!(case(s, other).value(TypeMatches, "0", 1), Ok(0));
    // Only "0" is a type.
    for kind in [TypeIdLocal, TypeIdTarget, TypeExists, TypeSize, TypeMatches] {
        let refused = case(s, s).value(kind, "0:0", 0);
        assert!(matches!(refused, Err(CoreProblem::Access { .. })), "{refused:?}");
    }
}

#[test]
fn anonymous_types_cannot_be_searched_for() {
    let anonymous: Make = |b| b.add_struct("", 4, &[]);
    assert_eq!(case(anonymous, anonymous).value(TypeExists, "0", 1), Err(CoreProblem::Anonymous));
    assert_eq!(case(anonymous, anonymous).value(TypeIdLocal, "0", 1), Ok(1));
}

#[test]
fn a_match_has_all_members() {
    fn s(b: &mut BtfBuilder, members: &[(&str, TypeId)]) -> TypeId {
        let members: Vec<_> =
            (0..).zip(members).map(|(i, (name, id))| member(name, *id, i * 8)).collect();
        b.add_struct("s", 64, &members)
    }
    let local: Make = |b| {
        let t = u32_(b);
        s(b, &[("a", t), ("b", t)])
    };
    let more: Make = |b| {
        let t = u32_(b);
        s(b, &[("z", t), ("b", t), ("a", t)])
    };
    let fewer: Make = |b| {
        let t = u32_(b);
        s(b, &[("z", t), ("b", t), ("c", t)])
    };
    let signed: Make = |b| {
        let (t, i) = (u32_(b), int(b, 4, true));
        s(b, &[("a", t), ("b", i)])
    };
    let wider: Make = |b| {
        let (t, i) = (u32_(b), int(b, 8, false));
        s(b, &[("a", t), ("b", i)])
    };
    assert_eq!(matches(local, more), 1);
    assert_eq!(matches(more, local), 0);
    assert_eq!(matches(local, fewer), 0);
    assert_eq!(matches(local, signed), 0);
    // The name of an integer counts too.
    assert_eq!(matches(local, wider), 0);
}

#[test]
fn a_match_behind_a_pointer_is_by_name() {
    fn pointing(b: &mut BtfBuilder, to: TypeId) -> TypeId {
        let ptr = b.add_ptr(to);
        b.add_struct("s", 8, &[member("p", ptr, 0)])
    }
    let full: Make = |b| {
        let t = u32_(b);
        let to = b.add_struct("to", 4, &[member("x", t, 0)]);
        pointing(b, to)
    };
    let empty: Make = |b| {
        let to = b.add_struct("to", 0, &[]);
        pointing(b, to)
    };
    let declared: Make = |b| {
        let to = b.add_fwd("to", false);
        pointing(b, to)
    };
    let declared_union: Make = |b| {
        let to = b.add_fwd("to", true);
        pointing(b, to)
    };
    let other_name: Make = |b| {
        let to = b.add_struct("elsewhere", 0, &[]);
        pointing(b, to)
    };
    let union: Make = |b| {
        let to = b.add_union("to", 0, &[]);
        pointing(b, to)
    };
    assert_eq!(matches(full, empty), 1);
    assert_eq!(matches(full, declared), 1);
    assert_eq!(matches(declared, full), 1);
    assert_eq!(matches(declared, declared), 1);
    assert_eq!(matches(declared, declared_union), 0);
    assert_eq!(matches(full, declared_union), 0);
    assert_eq!(matches(union, declared_union), 1);
    assert_eq!(matches(declared_union, union), 1);
    assert_eq!(matches(full, union), 0);
    assert_eq!(matches(full, other_name), 0);
}

#[test]
fn a_match_of_enumerations_is_by_name_and_size() {
    let local: Make = |b| b.add_enum("e", 4, false, &[("A", 0), ("B", 1)]);
    assert_eq!(matches(local, |b| b.add_enum("e", 4, true, &[("B", 7), ("C", 8), ("A", 9)])), 1);
    assert_eq!(matches(local, |b| b.add_enum64("e", 4, false, &[("B___2", 7), ("A", 9)])), 1);
    assert_eq!(matches(local, |b| b.add_enum("e", 8, false, &[("A", 0), ("B", 1)])), 0);
    assert_eq!(matches(local, |b| b.add_enum("e", 4, false, &[("A", 0), ("X", 1)])), 0);
    assert_eq!(matches(local, |b| b.add_enum("e", 4, false, &[("A", 0)])), 0);
}

#[test]
fn a_match_of_arrays_and_prototypes() {
    let array: Make = |b| {
        let t = u32_(b);
        let t = b.add_array(t, t, 3);
        typedef(b, t)
    };
    let longer: Make = |b| {
        let t = u32_(b);
        let t = b.add_array(t, t, 4);
        typedef(b, t)
    };
    let proto: Make = |b| {
        let t = u32_(b);
        let t = b.add_func_proto(t, &[("x", t)]);
        typedef(b, t)
    };
    let proto_void: Make = |b| {
        let t = u32_(b);
        let t = b.add_func_proto(TypeId::VOID, &[("x", t)]);
        typedef(b, t)
    };
    let proto_two: Make = |b| {
        let t = u32_(b);
        let t = b.add_func_proto(t, &[("x", t), ("y", t)]);
        typedef(b, t)
    };
    let proto_signed: Make = |b| {
        let (t, i) = (u32_(b), int(b, 4, true));
        let t = b.add_func_proto(t, &[("x", i)]);
        typedef(b, t)
    };
    assert_eq!(matches(array, array), 1);
    assert_eq!(matches(array, longer), 0);
    assert_eq!(matches(proto, proto), 1);
    assert_eq!(matches(proto, proto_void), 0);
    assert_eq!(matches(proto, proto_two), 0);
    assert_eq!(matches(proto, proto_signed), 0);
    assert_eq!(matches(proto, array), 0);
}

#[test]
fn nothing_is_known_of_floats() {
    // libbpf gives the same answer.
    let float: Make = |b| b.add_float("double", 8);
    assert_eq!(exists(float, float), 0);
    assert_eq!(matches(float, float), 0);
}

fn enumerators(target: &[(&str, i64)]) -> Case {
    Case::new(
        |b| b.add_enum("e", 4, true, &[("A", 1), ("B___local", -2)]),
        |b| b.add_enum("e", 4, true, target),
    )
}

#[test]
fn enumerators_are_found_by_name() {
    let case = enumerators(&[("X", 0), ("B", -7), ("A___x", 9)]);
    assert_eq!(case.value(EnumvalExists, "0", 1), Ok(1));
    assert_eq!(case.value(EnumvalValue, "0", 1), Ok(9));
    assert_eq!(case.value(EnumvalValue, "1", -2), Ok(-7i64 as u64));
    let case = enumerators(&[("X", 0)]);
    assert_eq!(case.value(EnumvalExists, "0", 1), Ok(0));
    assert!(case.poisoned(EnumvalValue, "0"));
    for access in ["2", "0:0"] {
        let refused = case.value(EnumvalValue, access, 0);
        assert!(matches!(refused, Err(CoreProblem::Access { .. })), "{refused:?}");
    }
}

#[test]
fn enumerators_of_what_is_no_enumeration() {
    let case = Case::new(|b| b.add_struct("e", 4, &[]), |_| {});
    let refused = case.value(EnumvalExists, "0", 1);
    assert!(matches!(refused, Err(CoreProblem::Access { .. })), "{refused:?}");
    // Behind typedefs of one name: here an enumeration, there an integer.
    let case = Case::new(
        |b| {
            let e = b.add_enum("e", 4, false, &[("A", 0)]);
            b.add_typedef("T", e)
        },
        |b| {
            let t = u32_(b);
            b.add_typedef("T", t);
        },
    );
    assert_eq!(case.value(EnumvalExists, "0", 1), Ok(0));
}

#[test]
fn enumerators_of_64_bits() {
    let case = Case::new(
        |b| b.add_enum64("e", 8, false, &[("A", 1 << 40), ("B", -1)]),
        |b| b.add_enum64("e", 8, false, &[("A", (1 << 50) + 1), ("B", -2)]),
    );
    let mut insns = load_imm64(1 << 40);
    let done = case.apply(EnumvalValue, "0", &mut insns);
    assert_eq!(done, Ok(Applied::Patched { old: 1 << 40, new: (1 << 50) + 1 }));
    assert_eq!(insns, load_imm64((1 << 50) + 1));
    let mut insns = load_imm64(u64::MAX);
    case.apply(EnumvalValue, "1", &mut insns).unwrap();
    assert_eq!(insns, load_imm64(u64::MAX - 1));
}

#[test]
fn enumerators_without_a_sign_flag_are_as_the_compiler_took_them() {
    let with = |b: &mut BtfBuilder, value| b.add_enum("e", 4, false, &[("A", value)]);
    let case = Case::new(|b| with(b, 0xffff_fffe), |b| with(b, 0xffff_fffd));
    // Unsigned, and signed by a compiler from before the flag.
    for (old, new) in [(0xffff_fffe, 0xffff_fffd), (-2i64 as u64, -3i64 as u64)] {
        let mut insns = load_imm64(old);
        case.apply(EnumvalValue, "0", &mut insns).unwrap();
        assert_eq!(insns, load_imm64(new));
    }
    let refused = case.apply(EnumvalValue, "0", &mut load_imm64(0xfffe));
    assert!(matches!(refused, Err(CoreProblem::OldValue { .. })), "{refused:?}");
}
