//! What happens to the instruction: every class that takes a value, and every one that does not.

use super::*;
use CoreKind::*;

type Make = fn(&mut BtfBuilder) -> TypeId;

/// struct { T a; } at byte 4 here, at byte `at` in the kernel.
fn field(local: Make, target: Make, at: u32) -> Case {
    let with = |b: &mut BtfBuilder, make: Make, at| {
        let ty = make(b);
        b.add_struct("s", 1 << 20, &[member("a", ty, at)])
    };
    Case::new(|b| with(b, local, 4), |b| with(b, target, at))
}

fn same(at: u32) -> Case {
    field(u32_, u32_, at)
}

#[test]
fn immediates() {
    // mov, add and mov32, each with an immediate; the registers stay.
    for code in [0xb7, 0x07, 0xb4] {
        let mut insns = [Insn { code, ..mov(4) }, mov(4)];
        let done = same(70_000).apply(FieldByteOffset, "0:0", &mut insns);
        assert_eq!(done, Ok(Applied::Patched { old: 4, new: 70_000 }));
        assert_eq!(insns, [Insn { code, ..mov(70_000) }, mov(4)]);
    }
}

#[test]
fn an_unexpected_old_value_is_refused_and_nothing_changes() {
    for insn in [mov(5), load(LDX_W, 5)] {
        let mut insns = [insn];
        let refused = same(8).apply(FieldByteOffset, "0:0", &mut insns);
        assert_eq!(refused, Err(CoreProblem::OldValue { found: 5, expected: 4, new: 8 }));
        assert_eq!(insns, [insn]);
    }
    let mut insns = load_imm64(1 << 32 | 4);
    let refused = same(8).apply(FieldByteOffset, "0:0", &mut insns);
    assert!(matches!(refused, Err(CoreProblem::OldValue { .. })));
    assert_eq!(insns, load_imm64(1 << 32 | 4));
}

#[test]
fn loads_and_stores() {
    // ldx w, st w, stx w, ldx sign-extending w, atomic w: the width stays.
    for code in [LDX_W, 0x62, 0x63, 0x81, 0xc3] {
        let mut insns = [Insn { imm: 3, ..load(code, 4) }];
        same(32_767).apply(FieldByteOffset, "0:0", &mut insns).unwrap();
        assert_eq!(insns, [Insn { imm: 3, ..load(code, 32_767) }]);
        let refused = same(32_768).apply(FieldByteOffset, "0:0", &mut [load(code, 4)]);
        assert_eq!(refused, Err(CoreProblem::Range { value: 32_768, room: "offset" }));
    }
}

#[test]
fn loads_change_their_width_with_unsigned_integers() {
    let case = field(u32_, |b| int(b, 8, false), 16);
    let mut insns = [load(LDX_W, 4)];
    let done = case.apply(FieldByteOffset, "0:0", &mut insns);
    assert_eq!(done, Ok(Applied::Patched { old: 4, new: 16 }));
    assert_eq!(insns, [load(LDX_DW, 16)]);
    for (size, code) in [(1, LDX_B), (2, LDX_H)] {
        let narrow: Make = if size == 1 { |b| int(b, 1, false) } else { |b| int(b, 2, false) };
        let mut insns = [load(LDX_W, 4)];
        field(u32_, narrow, 16).apply(FieldByteOffset, "0:0", &mut insns).unwrap();
        assert_eq!(insns, [load(code, 16)]);
    }
    // Elsewhere the width does not matter.
    assert_eq!(case.value(FieldByteOffset, "0:0", 4), Ok(16));
    // A load of another width than the field's is none that can be changed.
    let refused = case.apply(FieldByteOffset, "0:0", &mut [load(LDX_H, 4)]);
    assert_eq!(refused, Err(CoreProblem::AccessWidth { found: 2, expected: 4 }));
    // No load takes 16 bytes.
    let refused = field(u32_, |b| int(b, 16, false), 16);
    let refused = refused.apply(FieldByteOffset, "0:0", &mut [load(LDX_W, 4)]);
    assert_eq!(refused, Err(CoreProblem::TargetWidth(16)));
}

#[test]
fn pointers_of_a_32_bit_kernel() {
    let case = field(
        |b| b.add_ptr(TypeId::VOID),
        |b| {
            let encoding = IntEncoding {
                signed: false,
                is_char: false,
                is_bool: false,
                bit_offset: 0,
                bits: 32,
            };
            b.add_int("long unsigned int", 4, encoding);
            b.add_ptr(TypeId::VOID)
        },
        16,
    );
    assert_eq!(case.value(FieldByteSize, "0:0", 8), Ok(4));
    let mut insns = [load(LDX_DW, 4)];
    case.apply(FieldByteOffset, "0:0", &mut insns).unwrap();
    assert_eq!(insns, [load(LDX_W, 16)]);
}

#[test]
fn loads_that_cannot_change_their_width_are_poisoned() {
    let pairs: [(Make, Make); 4] = [
        (|b| int(b, 4, true), |b| int(b, 8, true)),
        (u32_, |b| int(b, 8, true)),
        (|b| b.add_enum("e", 4, false, &[]), |b| b.add_enum("e", 8, false, &[])),
        (|b| b.add_float("x", 4), |b| b.add_float("x", 8)),
    ];
    for (local, target) in pairs {
        let case = field(local, target, 16);
        let mut insns = [load(LDX_W, 4), mov(1)];
        let done = case.apply(FieldByteOffset, "0:0", &mut insns);
        assert_eq!(done, Ok(Applied::Poisoned(PoisonReason::Width)));
        let call = Insn { code: 0x85, imm: POISON_HELPER, ..Insn::default() };
        assert_eq!(insns, [call, mov(1)]);
        // An offset too large is refused before that.
        let case = field(local, target, 40_000);
        let refused = case.apply(FieldByteOffset, "0:0", &mut [load(LDX_W, 4)]);
        assert!(matches!(refused, Err(CoreProblem::Range { .. })), "{refused:?}");
        // The address alone is fine.
        assert_eq!(case.value(FieldByteOffset, "0:0", 4), Ok(40_000));
    }
}

#[test]
fn a_sign_extending_load_keeps_its_width_or_is_poisoned() {
    let ldxsx_w = 0x81;
    let mut insns = [load(ldxsx_w, 4)];
    let done = field(u32_, |b| int(b, 8, false), 16).apply(FieldByteOffset, "0:0", &mut insns);
    assert_eq!(done, Ok(Applied::Poisoned(PoisonReason::Width)));
}

#[test]
fn arrays_are_loaded_by_element() {
    let of: [Make; 2] = [
        |b| {
            let t = int(b, 4, true);
            let row = b.add_array(t, t, 2);
            b.add_array(row, t, 2)
        },
        |b| {
            let t = int(b, 4, true);
            b.add_array(t, t, 9)
        },
    ];
    let case = field(of[0], of[1], 16);
    assert!(case.poisoned(FieldByteOffset, "0:0"));
    // What counts is the element of all dimensions, not the row.
    let case = field(of[0], of[0], 16);
    let done = case.apply(FieldByteOffset, "0:0", &mut [load(LDX_W, 4)]);
    assert_eq!(done, Ok(Applied::Patched { old: 4, new: 16 }));
}

#[test]
fn immediates_of_64_bits() {
    let mut insns = load_imm64(4);
    let done = same(8).apply(FieldByteOffset, "0:0", &mut insns);
    assert_eq!(done, Ok(Applied::Patched { old: 4, new: 8 }));
    assert_eq!(insns, load_imm64(8));
    // Cut short, a map reference, a second half that is none.
    let [low, high] = load_imm64(4);
    let bad: [&[Insn]; 4] =
        [&[low], &[low.with_src(1), high], &[low, Insn { off: 1, ..high }], &[low, mov(0)]];
    for insns in bad {
        let mut insns = insns.to_vec();
        let refused = same(8).apply(FieldByteOffset, "0:0", &mut insns);
        assert_eq!(refused, Err(CoreProblem::LdImm64));
    }
    // Legacy packet access is of the same class.
    let refused = same(8).apply(FieldByteOffset, "0:0", &mut [load(0x20, 0), mov(0)]);
    assert_eq!(refused, Err(CoreProblem::LdImm64));
}

#[test]
fn both_halves_of_a_64_bit_immediate_are_poisoned() {
    let case = Case::new(
        |b| b.add_enum("e", 4, false, &[("A", 4)]),
        |b| b.add_enum("e", 4, false, &[("B", 4)]),
    );
    let [low, high] = load_imm64(4);
    let mut insns = [low, high, mov(0)];
    let done = case.apply(EnumvalValue, "0", &mut insns);
    assert_eq!(done, Ok(Applied::Poisoned(PoisonReason::NoMatch)));
    let call = Insn { code: 0x85, imm: POISON_HELPER + 11, ..Insn::default() };
    assert_eq!(insns, [call, call, mov(0)]);
    assert_eq!(poisoned_kind(insns[0].imm), Some(EnumvalValue));
}

#[test]
fn instructions_that_take_no_value() {
    // exit, call, a jump, mov of a register.
    for code in [0x95, 0x85, 0x15, 0xbf] {
        let refused = same(8).apply(FieldByteOffset, "0:0", &mut [Insn { code, ..mov(4) }]);
        assert_eq!(refused, Err(CoreProblem::Opcode(code)));
    }
    let refused = same(8).apply(FieldByteOffset, "0:0", &mut []);
    assert_eq!(refused, Err(CoreProblem::OutOfFunction(0)));
}

#[test]
fn a_value_that_no_immediate_holds() {
    let case = Case::new(
        |b| b.add_enum64("e", 8, false, &[("A", 4)]),
        |b| b.add_enum64("e", 8, false, &[("A", 1 << 32)]),
    );
    let refused = case.value(EnumvalValue, "0", 4);
    assert_eq!(refused, Err(CoreProblem::Range { value: 1 << 32, room: "immediate" }));
}

#[test]
fn local_type_ids_are_marked_and_can_be_renumbered() {
    let case = Case::new(|b| b.add_struct("s", 4, &[]), |_| {});
    let mut insns = load_imm64(0);
    let mut local_only = Relocator::new("prog.o", &case.local, None);
    let done = local_only.apply("f", &case.reloc(TypeIdLocal, "0"), &mut insns);
    assert_eq!(done.unwrap(), Applied::LocalTypeId(TypeId(1)));
    assert_eq!(insns, load_imm64(1));
    set_immediate(&mut insns, 0, 77).unwrap();
    assert_eq!(insns, load_imm64(77));
    let err = local_only.apply("f", &case.reloc(TypeIdTarget, "0"), &mut insns).unwrap_err();
    assert_eq!(*err.problem, CoreProblem::NoTargets);
}

#[test]
fn an_unknown_kind() {
    let case = same(8);
    let reloc = CoreReloc { kind: 13, ..case.reloc(FieldByteOffset, "0:0") };
    let err = case.relocator().apply("f", &reloc, &mut [mov(4)]).unwrap_err();
    assert_eq!(*err.problem, CoreProblem::Kind(13));
    assert_eq!(err.core_kind(), None);
}
