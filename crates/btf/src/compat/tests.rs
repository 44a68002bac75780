use super::*;
use crate::testing::{BOOL, INT, UINT, member};
use crate::{BtfBuilder, IntEncoding, Linkage};

type Make = fn(&mut BtfBuilder) -> TypeId;

fn int(b: &mut BtfBuilder) -> TypeId {
    b.add_int("int", 4, INT)
}

fn uint(b: &mut BtfBuilder) -> TypeId {
    b.add_int("unsigned int", 4, UINT)
}

fn ptr(b: &mut BtfBuilder, target: Make) -> TypeId {
    let target = target(b);
    b.add_ptr(target)
}

fn struct_ptr(b: &mut BtfBuilder, name: &str, size: u32) -> TypeId {
    let st = b.add_struct(name, size, &[]);
    b.add_ptr(st)
}

/// `int f(PARAM)`.
fn with_param(filler: bool, param: Make) -> (Btf, TypeId) {
    let mut b = BtfBuilder::new();
    if filler {
        b.add_float("filler", 4);
    }
    let int = int(&mut b);
    let param = param(&mut b);
    let proto = b.add_func_proto(int, &[("p", param)]);
    let func = b.add_func("f", proto, Linkage::Global);
    (b.finish().unwrap(), func)
}

fn compare(a: Make, b: Make) -> Result<(), String> {
    let (a, b) = (with_param(false, a), with_param(true, b));
    let there = check_prototype((&a.0, a.1), (&b.0, b.1));
    let back = check_prototype((&b.0, b.1), (&a.0, a.1));
    assert_eq!(there.is_ok(), back.is_ok(), "the order does not matter");
    there.map_err(|e| e.to_string())
}

#[test]
fn what_agrees() {
    let pairs: &[(Make, Make)] = &[
        (int, int),
        (uint, |b| {
            let uint = uint(b);
            let volatile = b.add_volatile(uint);
            b.add_typedef("__u32", volatile)
        }),
        // long and long long
        (
            |b| b.add_int("long", 8, IntEncoding { bits: 64, ..INT }),
            |b| b.add_int("long long", 8, IntEncoding { bits: 64, ..INT }),
        ),
        // bool and u8
        (|b| b.add_int("_Bool", 1, BOOL), |b| b.add_int("u8", 1, IntEncoding { bits: 8, ..UINT })),
        (int, |b| b.add_enum("xdp_action", 4, false, &[("XDP_DROP", 1)])),
        (|b| b.add_enum("e", 4, true, &[]), |b| b.add_enum("e___v2", 4, false, &[("A", 0)])),
        (|b| b.add_float("double", 8), |b| b.add_float("long double", 8)),
        (
            |b| b.add_ptr(TypeId::VOID),
            |b| {
                let konst = b.add_const(TypeId::VOID);
                let ptr = b.add_ptr(konst);
                b.add_restrict(ptr)
            },
        ),
        // By name, whatever the size, the flavour, and whether it is known.
        (|b| struct_ptr(b, "task", 8), |b| struct_ptr(b, "task", 16)),
        (|b| struct_ptr(b, "task___old", 8), |b| struct_ptr(b, "task", 16)),
        (|b| struct_ptr(b, "task", 8), |b| ptr(b, |b| b.add_fwd("task", false))),
        (|b| ptr(b, |b| b.add_union("u", 8, &[])), |b| ptr(b, |b| b.add_fwd("u", true))),
        // A qualifier behind a pointer.
        (
            |b| struct_ptr(b, "task", 8),
            |b| {
                let st = b.add_struct("task", 8, &[]);
                let tag = b.add_type_tag("rcu", st);
                let konst = b.add_const(tag);
                b.add_ptr(konst)
            },
        ),
        (anonymous, |b| {
            let anonymous = anonymous(b);
            b.add_typedef("pair_t", anonymous)
        }),
        (|b| ptr(b, callback), |b| ptr(b, callback)),
        (|b| ptr(b, ring), |b| ptr(b, ring)),
    ];
    for (i, &(a, b)) in pairs.iter().enumerate() {
        assert_eq!(compare(a, b), Ok(()), "pair {i}");
    }
}

/// `struct { int a; int b[4]; }`
fn anonymous(b: &mut BtfBuilder) -> TypeId {
    let int = int(b);
    let array = b.add_array(int, int, 4);
    b.add_struct("", 20, &[member("a", int, 0), member("b", array, 4)])
}

fn callback(b: &mut BtfBuilder) -> TypeId {
    let int = int(b);
    let ptr = b.add_ptr(int);
    b.add_func_proto(int, &[("x", ptr), ("", TypeId::VOID)])
}

/// An anonymous struct that points to itself: only a forger makes one.
fn ring(b: &mut BtfBuilder) -> TypeId {
    let ptr = b.add_ptr(TypeId::VOID);
    let st = b.add_struct("", 8, &[member("next", ptr, 0)]);
    b.set_target(ptr, st);
    st
}

#[test]
fn what_does_not_agree_says_why() {
    let pairs: &[(Make, Make, &str)] = &[
        (
            int,
            uint,
            "`int p` is wanted, `unsigned int p` is given: one is signed, the other is not",
        ),
        (int, |b| b.add_int("short", 2, IntEncoding { bits: 16, ..INT }), "4 and 2 bytes"),
        (int, |b| b.add_float("float", 4), "`int` is not `float`"),
        (int, |b| struct_ptr(b, "s", 4), "`int` is not a pointer"),
        (int, |b| b.add_enum("small", 1, false, &[]), "4 and 1 bytes"),
        (
            |b| b.add_enum("a", 4, false, &[]),
            |b| b.add_enum("b", 4, false, &[]),
            "`enum a` is not `enum b`",
        ),
        (
            |b| struct_ptr(b, "xdp_md", 24),
            |b| struct_ptr(b, "__sk_buff", 192),
            "parameter 1: `struct xdp_md *p` is wanted, `struct __sk_buff *p` is given: \
             `struct xdp_md` is not `struct __sk_buff`",
        ),
        (|b| struct_ptr(b, "s", 8), |b| b.add_ptr(TypeId::VOID), "`void *` agrees with no other"),
        (|b| ptr(b, int), |b| ptr(b, uint), "one is signed"),
        (
            |b| struct_ptr(b, "s", 8),
            |b| ptr(b, |b| b.add_union("s", 8, &[])),
            "`struct s` is not `union s`",
        ),
        (
            |b| struct_ptr(b, "s", 8),
            |b| ptr(b, |b| b.add_fwd("s", true)),
            "`struct s` is not `union s`",
        ),
        // By value, the size counts.
        (|b| b.add_struct("s", 8, &[]), |b| b.add_struct("s", 16, &[]), "8 and 16 bytes"),
        (
            anonymous,
            |b| {
                let int = int(b);
                let array = b.add_array(int, int, 4);
                b.add_struct("", 20, &[member("a", int, 0), member("c", array, 4)])
            },
            "member `b` is not `c`",
        ),
        (
            anonymous,
            |b| {
                let (int, uint) = (int(b), uint(b));
                let array = b.add_array(uint, int, 4);
                b.add_struct("", 20, &[member("a", int, 0), member("b", array, 4)])
            },
            "member `b`: one is signed",
        ),
        (
            |b| ptr(b, callback),
            |b| {
                let int = int(b);
                let proto = b.add_func_proto(int, &[("x", int), ("", TypeId::VOID)]);
                b.add_ptr(proto)
            },
            "a pointer is not `int`",
        ),
        (
            |b| {
                let int = int(b);
                b.add_array(int, int, 4)
            },
            |b| {
                let int = int(b);
                b.add_array(int, int, 5)
            },
            "arrays of 4 and of 5 elements",
        ),
    ];
    for &(a, b, want) in pairs {
        let error = compare(a, b).expect_err(want);
        assert!(error.contains(want), "{error}");
    }
}

#[test]
fn arity_return_type_and_dots() {
    let make = |params: &[(&str, TypeId)], returns_void: bool| {
        let mut b = BtfBuilder::new();
        let int = int(&mut b);
        let returns = if returns_void { TypeId::VOID } else { int };
        let proto = b.add_func_proto(returns, params);
        let func = b.add_func("f", proto, Linkage::Extern);
        let var = b.add_var("f", proto, Linkage::Extern);
        (b.finish().unwrap(), func, proto, var)
    };
    let one = make(&[("a", TypeId(1))], false);
    let check = |other: &(Btf, TypeId, TypeId, TypeId)| {
        check_prototype((&one.0, one.1), (&other.0, other.1)).unwrap_err()
    };
    let two = make(&[("a", TypeId(1)), ("b", TypeId(1))], false);
    assert_eq!(check(&two), Mismatch::Arity { wanted: 1, given: 2 });
    let dots = make(&[("a", TypeId(1)), ("", TypeId::VOID)], false);
    assert_eq!(check(&dots), Mismatch::Variadic { wanted: false });
    assert_eq!(check(&dots).to_string(), "a function without `...` is wanted, one with is given");
    let void = make(&[("a", TypeId(1))], true);
    let text = check(&void).to_string();
    assert_eq!(text, "return type `int` is wanted, `void` is given: `int` is not `void`");
    // FUNC, FUNC_PROTO and VAR are all the same.
    for a in [one.1, one.2, one.3] {
        for b in [one.1, one.2, one.3] {
            assert_eq!(check_prototype((&one.0, a), (&one.0, b)), Ok(()));
        }
    }
    let none = check_prototype((&one.0, TypeId(1)), (&one.0, one.1)).unwrap_err();
    assert_eq!(none.to_string(), "`int` is no function");
}

#[test]
fn flavours_are_cut_off() {
    for (name, want) in [
        ("task_struct", "task_struct"),
        ("task_struct___v54", "task_struct"),
        ("a___b___c", "a___b"),
        ("___x", "___x"),
        ("x___", "x___"),
        ("__x", "__x"),
        ("a____b", "a____b"),
        ("", ""),
    ] {
        assert_eq!(essential_name(name.as_bytes()), want.as_bytes());
    }
}
