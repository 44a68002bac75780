//! Types that no compiler makes: cycles, exponential growth, damaged blobs. Every one must end, and
//! none may panic.

use super::*;
use CoreKind::*;

#[test]
fn anonymous_members_that_contain_themselves() {
    let case = Case::new(
        |b| {
            let t = u32_(b);
            b.add_struct("s", 4, &[member("a", t, 0)])
        },
        |b| {
            let s = b.add_struct("s", 8, &[member("", TypeId::VOID, 0)]);
            b.set_member_type(s, 0, s);
        },
    );
    assert_eq!(case.value(FieldExists, "0:0", 1), Err(CoreProblem::TooDeep(64)));
}

/// 40 structs, each with the next one twice, without names.
fn doubling(b: &mut BtfBuilder, last: &str) -> TypeId {
    let t = u32_(b);
    let mut inner = b.add_struct("", 4, &[member(last, t, 0)]);
    for _ in 0..40 {
        inner = b.add_struct("", 4, &[member("", inner, 0), member("", inner, 0)]);
    }
    b.add_struct("s", 4, &[member("", inner, 0)])
}

#[test]
fn anonymous_members_that_double_at_every_level() {
    let case = Case::new(
        |b| {
            let t = u32_(b);
            b.add_struct("s", 4, &[member("a", t, 0)])
        },
        |b| doubling(b, "b"),
    );
    assert_eq!(case.value(FieldExists, "0:0", 1), Err(CoreProblem::TooComplex));
    let case = Case::new(|b| doubling(b, "a"), |b| doubling(b, "b"));
    let refused = case.value(TypeMatches, "0", 1);
    assert_eq!(refused, Err(CoreProblem::TooDeep(32)));
}

#[test]
fn prototypes_that_double_at_every_level() {
    let make = |b: &mut BtfBuilder, end: TypeId| {
        let mut ty = end;
        for _ in 0..28 {
            let proto = b.add_func_proto(TypeId::VOID, &[("x", ty), ("y", ty)]);
            ty = b.add_ptr(proto);
        }
        b.add_typedef("T", ty)
    };
    let case = Case::new(|b| make(b, TypeId::VOID), |b| make(b, TypeId::VOID));
    for kind in [TypeExists, TypeMatches] {
        assert_eq!(case.value(kind, "0", 1), Err(CoreProblem::TooComplex), "{kind}");
    }
}

#[test]
fn pointers_without_end() {
    let make = |b: &mut BtfBuilder| {
        let ptr = b.add_ptr(TypeId::VOID);
        b.set_target(ptr, ptr);
        b.add_typedef("T", ptr)
    };
    let case = Case::new(make, |b| make(b));
    for kind in [TypeExists, TypeMatches] {
        assert_eq!(case.value(kind, "0", 1), Err(CoreProblem::TooDeep(32)), "{kind}");
    }
    let make = |b: &mut BtfBuilder| {
        let array = b.add_array(TypeId::VOID, TypeId::VOID, 2);
        b.set_target(array, array);
        b.add_struct("s", 4, &[member("a", array, 0)])
    };
    let case = Case::new(make, |b| make(b));
    assert_eq!(case.value(FieldExists, "0:0", 1), Ok(0));
    let refused = case.value(FieldByteSize, "0:0", 1);
    assert!(matches!(refused, Err(CoreProblem::NoSize { .. })), "{refused:?}");
}

#[test]
fn sizes_beyond_32_bits() {
    let make = |b: &mut BtfBuilder| {
        let t = u32_(b);
        let row = b.add_array(t, t, u32::MAX);
        let huge = b.add_array(row, t, u32::MAX);
        b.add_struct("s", u32::MAX, &[member("a", t, 0), member("b", huge, 4)])
    };
    let case = Case::new(make, |b| make(b));
    let refused = case.value(FieldByteSize, "0:1", 0);
    assert!(matches!(refused, Err(CoreProblem::NoSize { .. })), "{refused:?}");
    let refused = case.value(FieldByteOffset, "2:1", 0);
    assert!(matches!(refused, Err(CoreProblem::Range { .. })), "{refused:?}");
}

#[test]
fn bitfields_of_what_is_no_integer() {
    for size in [0, 3] {
        let make = |b: &mut BtfBuilder| {
            let t = int(b, size, false);
            b.add_struct("s", 8, &[bits("a", t, 0, 3)])
        };
        let case = Case::new(make, |b| make(b));
        let refused = case.value(FieldByteOffset, "0:0", 0);
        assert!(matches!(refused, Err(CoreProblem::NoSize { .. })), "{refused:?}");
    }
}

/// A little of everything.
fn rich(b: &mut BtfBuilder) -> TypeId {
    let t = u32_(b);
    let short = int(b, 2, true);
    let ptr = b.add_ptr(TypeId::VOID);
    let array = b.add_array(short, t, 3);
    let flags = b.add_enum("flags", 4, true, &[("ON", 1), ("OFF", -1)]);
    let inner = b.add_union("", 8, &[member("x", ptr, 0), bits("y", t, 3, 9)]);
    let proto = b.add_func_proto(t, &[("p", ptr), ("f", flags)]);
    let call = b.add_ptr(proto);
    let members = [
        member("a", array, 0),
        member("", inner, 8),
        member("f", flags, 16),
        member("call", call, 24),
    ];
    let root = b.add_struct("s", 32, &members);
    b.set_target(ptr, root);
    root
}

#[test]
fn damaged_blobs_never_panic() {
    let case = Case::new(rich, rich);
    let (local, target) = (case.local.to_bytes(), case.targets.kernel().to_bytes());
    // A fixed sequence (xorshift), so that a failure can be had again.
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut random = move |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state % below as u64) as usize
    };
    let mut parsed = 0;
    for round in 0..2000 {
        let mut blobs = [local.clone(), target.clone()];
        for _ in 0..1 + round % 4 {
            let blob = &mut blobs[round % 2];
            let at = 24 + random(blob.len() - 24);
            blob[at] = if round % 3 == 0 { random(32) as u8 } else { blob[at] ^ 1 << random(8) };
        }
        let [Ok(local), Ok(target)] = blobs.map(|blob| Btf::parse(&blob)) else { continue };
        parsed += 1;
        let targets = Targets::new(Arc::new(target), vec![]);
        let mut relocator = Relocator::new("damaged.o", &local, Some(&targets));
        for _ in 0..50 {
            let reloc = CoreReloc {
                insn: 0,
                type_id: TypeId(random(local.type_count() as usize + 1) as u32),
                access_off: case.accesses[random(case.accesses.len())].1,
                kind: random(13) as u32,
            };
            for mut insns in [vec![mov(1)], load_imm64(1).into(), vec![load(LDX_W, 0)]] {
                if let Err(err) = relocator.apply("f", &reloc, &mut insns) {
                    assert!(!err.to_string().is_empty());
                }
            }
        }
    }
    assert!(parsed > 200, "{parsed}");
}
