//! Field records: which member is found, and what is computed of it.

use super::*;
use CoreKind::*;

/// A local struct { u32 a; u32 b; } and some kernel's.
fn two_fields<T>(target: impl FnOnce(&mut BtfBuilder) -> T) -> Case {
    let local = |b: &mut BtfBuilder| {
        let t = u32_(b);
        b.add_struct("s", 8, &[member("a", t, 0), member("b", t, 4)])
    };
    Case::new(local, target)
}

#[test]
fn a_member_is_found_by_name() {
    let case = two_fields(|b| {
        let t = u32_(b);
        b.add_struct("s", 24, &[member("b", t, 12), member("z", t, 16), member("a", t, 20)]);
    });
    assert_eq!(case.value(FieldByteOffset, "0:0", 0), Ok(20));
    assert_eq!(case.value(FieldByteOffset, "0:1", 4), Ok(12));
    assert_eq!(case.value(FieldByteSize, "0:1", 4), Ok(4));
    assert_eq!(case.value(FieldExists, "0:1", 1), Ok(1));
    assert_eq!(case.value(FieldSigned, "0:1", 0), Ok(0));
}

#[test]
fn a_first_index_counts_whole_structs() {
    let case = two_fields(|b| {
        let t = u32_(b);
        b.add_struct("s", 100, &[member("b", t, 12)]);
    });
    assert_eq!(case.value(FieldByteOffset, "2:1", 20), Ok(212));
    assert_eq!(case.value(FieldByteOffset, "2", 16), Ok(200));
}

#[test]
fn anonymous_members_are_looked_through_on_both_sides() {
    let case = Case::new(
        |b| {
            let t = u32_(b);
            let inner = b.add_union("", 8, &[member("w", t, 0), member("a", t, 4)]);
            b.add_struct("s", 12, &[member("pad", t, 0), member("", inner, 4)])
        },
        |b| {
            let t = u32_(b);
            let deep = b.add_struct("", 8, &[member("v", t, 0), member("a", t, 4)]);
            let middle = b.add_union("", 8, &[member("w", t, 0), member("", deep, 0)]);
            let constant = b.add_const(middle);
            b.add_struct("s", 40, &[member("", t, 0), member("", constant, 32)]);
        },
    );
    assert_eq!(case.value(FieldByteOffset, "0:1:1", 8), Ok(36));
    assert_eq!(case.value(FieldByteOffset, "0:1:0", 4), Ok(32));
    // "0:1" alone names the anonymous union itself: nothing in C can, and only its offset counts.
    assert_eq!(case.value(FieldExists, "0:1", 1), Ok(1));
}

#[test]
fn a_missing_member_exists_not_and_poisons_the_rest() {
    let case = two_fields(|b| {
        let t = u32_(b);
        b.add_struct("s", 4, &[member("a", t, 0)]);
    });
    assert_eq!(case.value(FieldExists, "0:1", 1), Ok(0));
    for kind in [FieldByteOffset, FieldByteSize, FieldSigned, FieldLshiftU64, FieldRshiftU64] {
        assert!(case.poisoned(kind, "0:1"), "{kind}");
    }
}

#[test]
fn a_member_of_another_sort_is_no_match() {
    type Make = fn(&mut BtfBuilder) -> TypeId;
    let sorts: [Make; 9] = [
        |b| int(b, 8, true),
        |b| b.add_ptr(TypeId::VOID),
        |b| b.add_struct("x", 4, &[]),
        |b| b.add_enum("e", 4, false, &[]),
        |b| b.add_enum("other", 4, false, &[]),
        |b| b.add_float("double", 8),
        |b| b.add_fwd("x", false),
        |b| {
            let t = u32_(b);
            b.add_array(t, t, 1)
        },
        |b| b.add_func_proto(TypeId::VOID, &[]),
    ];
    for (i, local) in sorts.iter().enumerate() {
        for (j, target) in sorts.iter().enumerate() {
            let with = |b: &mut BtfBuilder, make: Make| {
                let ty = make(b);
                b.add_struct("s", 8, &[member("a", ty, 0)])
            };
            let case = Case::new(|b| with(b, *local), |b| with(b, *target));
            let expected = u64::from(i == j && i != 8);
            assert_eq!(case.value(FieldExists, "0:0", 1), Ok(expected), "{i} {j}");
        }
    }
}

#[test]
fn sorts_that_go_together() {
    type Make = fn(&mut BtfBuilder) -> TypeId;
    let pairs: [(Make, Make, u64); 9] = [
        // Structs and unions.
        (|b| b.add_struct("x", 4, &[]), |b| b.add_union("y", 4, &[]), 1),
        // Enumerations of either width, by their names up to the flavour.
        (|b| b.add_enum("e___1", 4, false, &[]), |b| b.add_enum64("e", 8, false, &[]), 1),
        (|b| b.add_enum("", 4, false, &[]), |b| b.add_enum("e", 4, false, &[]), 1),
        // Declarations by name.
        (|b| b.add_fwd("x", false), |b| b.add_fwd("y", false), 0),
        // Arrays by their elements, whatever their number; typedefs and qualifiers do not count.
        (
            |b| {
                let t = u32_(b);
                let t = b.add_typedef("t", t);
                b.add_array(t, t, 2)
            },
            |b| {
                let t = int(b, 8, true);
                let t = b.add_volatile(t);
                b.add_array(t, t, 9)
            },
            1,
        ),
        (
            |b| {
                let t = u32_(b);
                b.add_array(t, t, 2)
            },
            |b| {
                let t = b.add_ptr(TypeId::VOID);
                b.add_array(t, t, 2)
            },
            0,
        ),
        // Pointers to anything.
        (
            |b| b.add_ptr(TypeId::VOID),
            |b| {
                let proto = b.add_func_proto(TypeId::VOID, &[]);
                b.add_ptr(proto)
            },
            1,
        ),
        (|b| b.add_float("float", 4), |b| b.add_float("double", 8), 1),
        // Integers that start in the middle of their storage are of a past age.
        (
            u32_,
            |b| {
                let (signed, is_char, is_bool) = (false, false, false);
                let odd = IntEncoding { signed, is_char, is_bool, bit_offset: 3, bits: 8 };
                b.add_int("odd", 4, odd)
            },
            0,
        ),
    ];
    for (i, (local, target, expected)) in pairs.into_iter().enumerate() {
        let with = |b: &mut BtfBuilder, make: Make| {
            let ty = make(b);
            b.add_struct("s", 8, &[member("a", ty, 0)])
        };
        let case = Case::new(|b| with(b, local), |b| with(b, target));
        assert_eq!(case.value(FieldExists, "0:0", 1), Ok(expected), "pair {i}");
    }
}

/// struct { u32 n; u16 a[len]; }, the array last or not.
fn with_array(b: &mut BtfBuilder, len: u32, at: u32, last: bool) -> TypeId {
    let t = u32_(b);
    let element = int(b, 2, false);
    let array = b.add_array(element, t, len);
    let mut members = vec![member("n", t, 0), member("a", array, at)];
    if !last {
        members.push(member("z", t, at + len * 2));
    }
    b.add_struct("s", 40, &members)
}

#[test]
fn array_elements() {
    let case = Case::new(|b| with_array(b, 4, 4, true), |b| with_array(b, 4, 10, true));
    assert_eq!(case.value(FieldByteOffset, "0:1:2", 8), Ok(14));
    assert_eq!(case.value(FieldByteSize, "0:1:2", 2), Ok(2));
    assert_eq!(case.value(FieldByteSize, "0:1", 8), Ok(8));
    assert_eq!(case.value(FieldExists, "0:1:2", 1), Ok(1));
    for kind in [FieldSigned, FieldLshiftU64, FieldRshiftU64] {
        assert_eq!(case.value(kind, "0:1:2", 0), Err(CoreProblem::ArrayElement));
    }
}

#[test]
fn array_bounds() {
    let exists = |local: (u32, bool), target: (u32, bool), access| {
        let case = Case::new(
            |b| with_array(b, local.0, 4, local.1),
            |b| with_array(b, target.0, 4, target.1),
        );
        case.value(FieldExists, access, 1)
    };
    assert_eq!(exists((4, true), (2, true), "0:1:1"), Ok(1));
    assert_eq!(exists((4, true), (2, true), "0:1:2"), Ok(0));
    // A flexible array takes any index, but only as the last member.
    assert_eq!(exists((0, true), (0, true), "0:1:5"), Ok(1));
    assert_eq!(exists((0, true), (2, true), "0:1:5"), Ok(0));
    assert_eq!(exists((0, true), (0, false), "0:1:5"), Ok(0));
    let refused = exists((4, true), (4, true), "0:1:5");
    assert!(matches!(refused, Err(CoreProblem::Access { .. })), "{refused:?}");
    let refused = exists((0, false), (0, true), "0:1:5");
    assert!(matches!(refused, Err(CoreProblem::Access { .. })), "{refused:?}");
}

#[test]
fn signedness() {
    let signed = |make: fn(&mut BtfBuilder) -> TypeId| {
        let with = |b: &mut BtfBuilder| {
            let ty = make(b);
            b.add_struct("s", 8, &[member("a", ty, 0)])
        };
        let local = Case::new(with, |b| with(b));
        let found = [0, 1].map(|old| local.value(FieldSigned, "0:0", old).ok());
        found[0].or(found[1])
    };
    assert_eq!(signed(|b| int(b, 4, true)), Some(1));
    assert_eq!(signed(|b| int(b, 4, false)), Some(0));
    assert_eq!(signed(|b| b.add_enum("e", 4, true, &[])), Some(1));
    assert_eq!(signed(|b| b.add_enum64("e", 8, false, &[])), Some(0));
    assert_eq!(signed(|b| b.add_ptr(TypeId::VOID)), Some(0));
}

/// Offset, size, left and right shift of a local bitfield in a kernel that has it elsewhere.
fn bitfield(bit: u32, width: u32, storage: u32) -> Result<[u64; 4], CoreProblem> {
    let case = Case::new(
        |b| {
            let t = u32_(b);
            b.add_struct("s", 8, &[bits("a", t, 3, 5)])
        },
        |b| {
            let t = int(b, storage, false);
            b.add_struct("s", 64, &[bits("a", t, bit, width)]);
        },
    );
    // What the compiler put in does not count: it may choose another load than we do.
    Ok([
        case.value(FieldByteOffset, "0:0", 77)?,
        case.value(FieldByteSize, "0:0", 77)?,
        case.value(FieldLshiftU64, "0:0", 77)?,
        case.value(FieldRshiftU64, "0:0", 59)?,
    ])
}

#[test]
fn bitfields() {
    let [lshift_little, big] = [true, false].map(|little| cfg!(target_endian = "little") == little);
    let shifts = |little: u64, from_big: u64| if lshift_little { little } else { from_big };
    assert!(lshift_little != big);
    assert_eq!(bitfield(35, 5, 4), Ok([4, 4, shifts(64 - 8, 32 + 3), 59]));
    // Across the middle of its storage unit: the load doubles.
    assert_eq!(bitfield(30, 5, 4), Ok([0, 8, shifts(64 - 35, 30), 59]));
    assert_eq!(bitfield(12, 8, 1), Ok([0, 4, shifts(64 - 20, 32 + 12), 56]));
    // No aligned load of 8 bytes covers it.
    let refused = CoreProblem::Bitfield { bit_offset: 60, bits: 8 };
    assert_eq!(bitfield(60, 8, 8), Err(refused));
}

#[test]
fn a_bitfield_may_become_a_plain_field() {
    let case = Case::new(
        |b| {
            let t = u32_(b);
            b.add_struct("s", 8, &[bits("a", t, 3, 5)])
        },
        |b| {
            let t = int(b, 2, false);
            b.add_struct("s", 8, &[member("a", t, 6)]);
        },
    );
    assert_eq!(case.value(FieldByteOffset, "0:0", 0), Ok(6));
    assert_eq!(case.value(FieldByteSize, "0:0", 4), Ok(2));
    assert_eq!(case.value(FieldRshiftU64, "0:0", 59), Ok(48));
}

#[test]
fn shifts_of_what_no_register_holds() {
    let with = |b: &mut BtfBuilder| {
        let t = u32_(b);
        let big = b.add_struct("big", 12, &[member("x", t, 0)]);
        b.add_struct("s", 12, &[member("a", big, 0)])
    };
    let case = Case::new(with, |b| with(b));
    assert_eq!(case.value(FieldLshiftU64, "0:0", 0), Err(CoreProblem::TooWide(96)));
    assert_eq!(case.value(FieldRshiftU64, "0:0", 0), Err(CoreProblem::TooWide(96)));
}

#[test]
fn access_strings_that_lead_nowhere() {
    let case = two_fields(u32_);
    for access in ["0:2", "0:0:0", "0:x", ":0", "0:", "0:-1", "0:2147483648"] {
        let refused = case.value(FieldExists, access, 1);
        assert!(matches!(refused, Err(CoreProblem::Access { .. })), "{access}: {refused:?}");
    }
    // 64 indices are tried (and lead nowhere), 65 are not.
    for (n, problem) in [(64, "no members or elements"), (65, "more than 64")] {
        let access = vec!["0"; n].join(":");
        match case.value(FieldExists, &access, 1) {
            Err(CoreProblem::Access { problem: said, .. }) => assert!(said.contains(problem)),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_field_of_something_without_size() {
    let case = Case::new(|b| b.add_fwd("s", false), |_| {});
    let refused = case.value(FieldByteOffset, "0", 0);
    assert!(matches!(refused, Err(CoreProblem::NoSize { .. })), "{refused:?}");
}
