use super::*;
use crate::testing::{INT, UINT, everything, member};
use crate::{BtfBuilder, IntEncoding, Linkage, MemberSpec, SectionVar};

fn built(make: impl FnOnce(&mut BtfBuilder)) -> Btf {
    let mut b = BtfBuilder::new();
    make(&mut b);
    b.finish().unwrap()
}

fn problem_of(checked: Result<(), BtfError>) -> Option<Problem> {
    match checked {
        Ok(()) => None,
        Err(BtfError::Invalid { problem, .. }) => Some(problem),
        Err(other) => panic!("{other}"),
    }
}

fn problem(make: impl FnOnce(&mut BtfBuilder)) -> Option<Problem> {
    problem_of(built(make).validate())
}

fn kernel_problem(make: impl FnOnce(&mut BtfBuilder)) -> Option<Problem> {
    let btf = built(make);
    btf.validate().expect("the types make sense, only the kernel minds");
    problem_of(btf.check_for_kernel())
}

#[test]
fn one_of_every_kind_passes() {
    assert_eq!(everything(0).validate(), Ok(()));
    assert_eq!(everything(3).check_for_kernel(), Ok(()));
}

#[test]
fn the_kernel_s_own_types_pass() {
    let Ok(blob) = std::fs::read("/sys/kernel/btf/vmlinux") else {
        println!("skipped: /sys/kernel/btf/vmlinux is not there");
        return;
    };
    assert_eq!(Btf::parse(&blob).unwrap().validate(), Ok(()));
}

#[test]
fn nothing_contains_itself() {
    let cycle = Some(Problem::Cycle);
    assert_eq!(
        problem(|b| {
            let typedef = b.add_typedef("t", TypeId::VOID);
            b.set_target(typedef, typedef);
        }),
        cycle
    );
    assert_eq!(
        problem(|b| {
            let konst = b.add_const(TypeId::VOID);
            let array = b.add_array(konst, TypeId::VOID, 2);
            let st = b.add_struct("s", 8, &[member("a", array, 0)]);
            b.set_target(konst, st);
        }),
        cycle
    );
    // Through a pointer it may.
    assert_eq!(problem(|b| _ = crate::testing::list_head(b)), None);
}

#[test]
fn nesting_is_bounded() {
    let nest = |count| {
        problem(|b| {
            let mut last = b.add_int("int", 4, INT);
            for i in 0..count {
                last = match i % 3 {
                    0 => b.add_const(last),
                    1 => b.add_typedef("t", last),
                    _ => b.add_struct("s", 4, &[member("m", last, 0)]),
                };
            }
        })
    };
    assert_eq!(nest(127), None);
    assert_eq!(nest(128), Some(Problem::Depth));
    assert_eq!(nest(100_000), Some(Problem::Depth));
}

#[test]
fn references_are_to_types_of_the_right_kind() {
    let refers = |p: Option<Problem>| match p {
        Some(Problem::Refers { what, kind, .. }) => (what, kind),
        other => panic!("{other:?}"),
    };
    let p = problem(|b| {
        let int = b.add_int("int", 4, INT);
        b.add_func("f", int, Linkage::Global);
    });
    assert_eq!(refers(p), ("its prototype", Kind::Int));
    let func = |b: &mut BtfBuilder| {
        let proto = b.add_func_proto(TypeId::VOID, &[]);
        b.add_func("f", proto, Linkage::Global)
    };
    let p = problem(|b| {
        let func = func(b);
        b.add_ptr(func);
    });
    assert_eq!(refers(p), ("its target", Kind::Func));
    let p = problem(|b| {
        let func = func(b);
        b.add_struct("s", 8, &[member("f", func, 0)]);
    });
    assert_eq!(refers(p), ("a member", Kind::Func));
    let p = problem(|b| {
        let func = func(b);
        b.add_func_proto(TypeId::VOID, &[("a", func)]);
    });
    assert_eq!(refers(p), ("a parameter", Kind::Func));
    let p = problem(|b| {
        let int = b.add_int("int", 4, INT);
        b.add_datasec(".data", 4, &[SectionVar { type_id: int, offset: 0, size: 4 }]);
    });
    assert_eq!(refers(p), ("a variable", Kind::Int));
    let p = problem(|b| {
        let int = b.add_int("int", 4, INT);
        b.add_decl_tag("t", int, None);
    });
    assert_eq!(refers(p), ("what it is on", Kind::Int));
}

#[test]
fn sizes_add_up() {
    let array = |first: u32, second: u32| {
        problem(|b| {
            let int = b.add_int("int", 4, INT);
            let inner = b.add_array(int, int, first);
            b.add_array(inner, int, second);
        })
    };
    assert_eq!(array(1 << 15, (1 << 15) - 1), None);
    assert_eq!(array(1 << 15, 1 << 15), Some(Problem::Overflow));
    assert_eq!(array(u32::MAX, u32::MAX), Some(Problem::Overflow));
    let no_size = |part: &str| Some(Problem::NoSize { part: part.to_owned() });
    assert_eq!(
        problem(|b| {
            let fwd = b.add_fwd("f", false);
            b.add_struct("s", 8, &[member("later", fwd, 0)]);
        }),
        no_size("member `later`")
    );
    assert_eq!(
        problem(|b| {
            b.add_array(TypeId::VOID, TypeId::VOID, 1);
        }),
        no_size("its element")
    );
    let int = |size, bits| problem(|b| _ = b.add_int("i", size, IntEncoding { bits, ..INT }));
    assert_eq!(int(4, 33), Some(Problem::IntBits { bits: 33, offset: 0, size: 4 }));
    assert_eq!(int(32, 129), Some(Problem::IntBits { bits: 129, offset: 0, size: 32 }));
    assert_eq!(int(16, 128), None);
    let outside = |end| Some(Problem::Outside { part: "member `m`".to_owned(), end, bits: 32 });
    assert_eq!(
        problem(|b| {
            let int = b.add_int("int", 4, INT);
            b.add_struct("s", 4, &[member("m", int, 1)]);
        }),
        outside(40)
    );
    let bits = |bit_offset, bitfield_size| {
        problem(|b| {
            let type_id = b.add_int("int", 4, INT);
            let m = MemberSpec { name: "m", type_id, bit_offset, bitfield_size };
            b.add_struct("s", 4, &[m]);
        })
    };
    assert_eq!(bits(29, 3), None);
    assert_eq!(bits(30, 3), outside(33));
}

#[test]
fn tags_are_on_something_that_is_there() {
    let on = |component| {
        problem(|b| {
            let int = b.add_int("int", 4, INT);
            let st = b.add_struct("s", 4, &[member("m", int, 0)]);
            b.add_decl_tag("t", st, component);
        })
    };
    assert_eq!((on(None), on(Some(0))), (None, None));
    assert_eq!(on(Some(1)), Some(Problem::Component { component: 1, target: 2, count: 1 }));
}

fn rule(p: Option<Problem>) -> &'static str {
    match p {
        Some(Problem::Kernel(text)) => text,
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_kernel_s_rules_on_sections_and_variables() {
    let section = |size: u32, places: &[(u32, u32)]| {
        kernel_problem(|b| {
            let int = b.add_int("int", 4, INT);
            let mut vars = Vec::new();
            for &(offset, size) in places {
                let type_id = b.add_var("v", int, Linkage::Global);
                vars.push(SectionVar { type_id, offset, size });
            }
            b.add_datasec(".data.x", size, &vars);
        })
    };
    assert_eq!(section(8, &[(0, 4), (4, 4)]), None);
    assert_eq!(rule(section(0, &[])), "a section must not be empty");
    let sorted = "a section's variables must be sorted and apart";
    assert_eq!(rule(section(8, &[(4, 4), (0, 4)])), sorted);
    assert_eq!(rule(section(8, &[(0, 4), (2, 4)])), sorted);
    assert!(matches!(section(8, &[(0, 4), (8, 4)]), Some(Problem::Outside { end: 96, .. })));
    assert!(matches!(section(8, &[(0, 2)]), Some(Problem::Room { .. })));

    let var = |linkage| {
        kernel_problem(move |b| {
            let int = b.add_int("int", 4, INT);
            b.add_var("f.v", int, linkage);
        })
    };
    assert_eq!(var(Linkage::Static), None);
    assert_eq!(rule(var(Linkage::Extern)), "a variable must not be extern");
    let unsized_var = kernel_problem(|b| _ = b.add_var("v", TypeId::VOID, Linkage::Global));
    assert!(matches!(unsized_var, Some(Problem::NoSize { .. })));
}

#[test]
fn the_kernel_s_rules_on_functions() {
    let func = |linkage, param: &'static str, name: &'static str| {
        kernel_problem(move |b| {
            let int = b.add_int("int", 4, INT);
            let proto = b.add_func_proto(int, &[(param, int), ("", TypeId::VOID)]);
            b.add_func(name, proto, linkage);
        })
    };
    assert_eq!(func(Linkage::Global, "ctx", "f"), None);
    assert_eq!(rule(func(Linkage::Extern, "ctx", "f")), "a function must not be extern");
    assert!(rule(func(Linkage::Static, "", "f")).contains("must all have names"));
    assert!(matches!(func(Linkage::Static, "a b", "f"), Some(Problem::Name { .. })));
    assert!(matches!(func(Linkage::Static, "a", "f.1"), Some(Problem::Name { .. })));
    assert!(matches!(func(Linkage::Static, "a", ""), Some(Problem::Name { .. })));
}

#[test]
fn the_kernel_s_rules_on_other_types() {
    let members = kernel_problem(|b| {
        let int = b.add_int("unsigned int", 4, UINT);
        b.add_struct("s", 8, &[member("b", int, 4), member("a", int, 0)]);
    });
    assert_eq!(rule(members), "a struct's members must be sorted by offset");
    let wide = kernel_problem(|b| {
        let type_id = b.add_enum64("e", 8, false, &[]);
        let m = MemberSpec { name: "m", type_id, bit_offset: 0, bitfield_size: 33 };
        b.add_struct("s", 8, &[m]);
    });
    assert_eq!(rule(wide), "a bitfield of an enumeration has at most 32 bits");
    let enum_ = kernel_problem(|b| _ = b.add_enum("e", 3, false, &[]));
    assert!(rule(enum_).starts_with("an enumeration's size"));
    let float = kernel_problem(|b| _ = b.add_float("f", 3));
    assert!(rule(float).starts_with("a float's size"));
    let value = kernel_problem(|b| _ = b.add_enum("e", 4, false, &[("a-b", 1)]));
    assert!(matches!(value, Some(Problem::Name { what: "value", .. })));
}

#[test]
fn the_kernel_s_rules_on_chains() {
    let chain = |count| {
        kernel_problem(|b| {
            let mut last = b.add_int("int", 4, INT);
            for _ in 0..count {
                last = b.add_const(last);
            }
        })
    };
    assert_eq!(chain(32), None);
    assert_eq!(chain(33), Some(Problem::Depth));
    let tags = |before: bool| {
        kernel_problem(|b| {
            let int = b.add_int("int", 4, INT);
            let inner = if before { b.add_const(int) } else { b.add_type_tag("t", int) };
            if before {
                b.add_type_tag("t", inner)
            } else {
                b.add_const(inner)
            };
        })
    };
    assert_eq!(tags(true), None);
    assert_eq!(rule(tags(false)), "type tags stand before qualifiers");
    let ring = kernel_problem(|b| {
        let ptr = b.add_ptr(TypeId::VOID);
        let typedef = b.add_typedef("t", ptr);
        b.set_target(ptr, typedef);
    });
    assert_eq!(rule(ring), "pointers lead in a circle");
    assert_eq!(kernel_problem(|b| _ = crate::testing::list_head(b)), None);
}

#[test]
fn the_error_names_the_type() {
    let btf = built(|b| {
        let fwd = b.add_fwd("f", false);
        b.add_struct("holder", 8, &[member("later", fwd, 0)]);
    });
    let error = btf.validate().unwrap_err().to_string();
    assert_eq!(error, "BTF type [2] Struct \"holder\": member `later` has no size");
}
