//! Every group of opcodes, with its edge cases; faults; calls, tail calls, callbacks, budgets.

#![allow(clippy::unwrap_used, clippy::panic)] // That is how a test fails.

#[path = "../../kernel/tests/common/mod.rs"]
mod common;

use bpfweld_engine::{Engine, EngineOptions, Event, FaultKind, LoadError, Loaded};
use bpfweld_insn::{Insn, pseudo};
use bpfweld_link::{ImageTarget, MapSpec, SlotRef};
use common::*;
use proptest::prelude::*;

const PACKET: [u8; 64] = [0xab; 64];

fn options() -> EngineOptions {
    EngineOptions { instructions: 100_000, ..EngineOptions::default() }
}

fn loaded(set: SetBuilder) -> Loaded {
    Engine::load(&set.finish(), &options()).unwrap()
}

/// The verdict of the first program, or why there is none.
fn verdict(loaded: &Loaded) -> Result<u32, FaultKind> {
    let mut runner = loaded.programs()[0].runner();
    let outcome = runner.run(&PACKET, &Default::default()).unwrap();
    match outcome.fault {
        Some(fault) => {
            assert_eq!(outcome.verdict.code, 0, "a fault aborts");
            Err(fault.kind)
        }
        None => Ok(outcome.verdict.code),
    }
}

fn run(insns: Vec<Insn>) -> Result<u32, FaultKind> {
    let mut set = SetBuilder::new();
    set.image("f", insns, &[]);
    verdict(&loaded(set))
}

fn imm(reg: u8, value: u64) -> [Insn; 2] {
    [ins(0x18, reg, 0, 0, value as u32 as i32), ins(0, 0, 0, 0, (value >> 32) as i32)]
}

/// r0 of `op` with `a` in r0 and `b` in r1, all 64 bits of it.
fn eval(op: Insn, a: u64, b: u64) -> u64 {
    let half = |shift: i32| {
        let mut insns = [imm(0, a), imm(1, b)].concat();
        insns.extend([op, ins(0x77, 0, 0, 0, shift), exit()]);
        u64::from(run(insns).unwrap())
    };
    half(32) << 32 | half(0)
}

const MIN: u64 = 1 << 63;
const MIN32: u64 = 1 << 31;
const M1: u64 = u64::MAX;
const M1_32: u64 = 0xffff_ffff;

#[test]
fn arithmetic_of_64_bits() {
    // Opcode with a register operand, offset, operands, result.
    for (code, off, a, b, result) in [
        (0x0f, 0, M1, 2, 1),
        (0x1f, 0, 1, 2, M1),
        (0x2f, 0, 1 << 63, 3, 1 << 63),
        (0x3f, 0, 7, 0, 0),
        (0x3f, 0, M1, 2, M1 >> 1),
        (0x9f, 0, 7, 0, 7),
        (0x9f, 0, M1, 10, 5),
        (0x3f, 1, MIN, M1, MIN),
        (0x3f, 1, 7u64.wrapping_neg(), 2, 3u64.wrapping_neg()),
        (0x3f, 1, 7, 0, 0),
        (0x9f, 1, MIN, M1, 0),
        (0x9f, 1, 7u64.wrapping_neg(), 2, M1),
        (0x9f, 1, 7u64.wrapping_neg(), 0, 7u64.wrapping_neg()),
        (0x4f, 0, 0xf0, 0x0f, 0xff),
        (0x5f, 0, 0xf0, 0x3c, 0x30),
        (0xaf, 0, 0xff, 0x0f, 0xf0),
        (0x6f, 0, 1, 65, 2),
        (0x7f, 0, MIN, 64 + 63, 1),
        (0xcf, 0, MIN, 63, M1),
        (0x87, 0, 1, 0, M1),
        (0xbf, 0, 1, MIN | 5, MIN | 5),
    ] {
        let op = ins(code, 0, if code == 0x87 { 0 } else { 1 }, off, 0);
        assert_eq!(eval(op, a, b), result, "{code:#x} off {off}: {a:#x}, {b:#x}");
    }
    // Immediates are sign-extended.
    assert_eq!(eval(ins(0x07, 0, 0, 0, -1), 0, 0), M1);
    assert_eq!(eval(ins(0x57, 0, 0, 0, -16), M1, 0), M1 - 15);
    assert_eq!(eval(ins(0xb7, 0, 0, 0, -2), 0, 0), M1 - 1);
    assert_eq!(eval(ins(0x37, 0, 0, 0, -1), M1, 0), 1);
}

#[test]
fn arithmetic_of_32_bits_clears_the_upper_half() {
    let high = 0xdead_beef << 32;
    for (code, off, a, b, result) in [
        (0x0c, 0, high | M1_32, 2, 1),
        (0x1c, 0, high | 1, 2, M1_32),
        (0x2c, 0, high | MIN32, 3, MIN32),
        (0x3c, 0, high | 7, high, 0),
        (0x9c, 0, high | 7, high, 7),
        (0x3c, 1, MIN32, high | M1_32, MIN32),
        (0x9c, 1, MIN32, M1_32, 0),
        (0x3c, 1, M1_32 - 6, 2, M1_32 - 2),
        (0x4c, 0, high | 1, high | 2, 3),
        (0x5c, 0, M1, high | 5, 5),
        (0xac, 0, high | 3, 1, 2),
        (0x6c, 0, high | 1, 33, 2),
        (0x7c, 0, high | MIN32, 31, 1),
        (0xcc, 0, MIN32, 31, M1_32),
        (0x84, 0, high | 1, 0, M1_32),
        (0xbc, 0, 0, high | 5, 5),
    ] {
        let op = ins(code, 0, if code == 0x84 { 0 } else { 1 }, off, 0);
        assert_eq!(eval(op, a, b), result, "{code:#x} off {off}: {a:#x}, {b:#x}");
    }
    assert_eq!(eval(ins(0xb4, 0, 0, 0, -1), 0, 0), M1_32);
}

#[test]
fn moves_with_sign_and_byte_swaps() {
    let x = 0x1122_3344_8899_aabb;
    assert_eq!(eval(ins(0xbf, 0, 1, 8, 0), 0, x), M1 - 0x44);
    assert_eq!(eval(ins(0xbf, 0, 1, 16, 0), 0, x), 0xffff_ffff_ffff_aabb);
    assert_eq!(eval(ins(0xbf, 0, 1, 32, 0), 0, x), 0xffff_ffff_8899_aabb);
    assert_eq!(eval(ins(0xbc, 0, 1, 8, 0), 0, x), 0xffff_ffbb);
    assert_eq!(eval(ins(0xbc, 0, 1, 16, 0), 0, x), 0xffff_aabb);
    assert_eq!(eval(ins(0xbf, 0, 1, 8, 0), 0, 0x17f), 0x7f);
    for (code, width, result) in [
        (0xd7, 16, 0xbbaa),
        (0xd7, 32, 0xbbaa_9988),
        (0xd7, 64, 0xbbaa_9988_4433_2211),
        (0xdc, 16, u64::from(0xaabbu16.to_be())),
        (0xdc, 32, u64::from(0x8899_aabbu32.to_be())),
        (0xdc, 64, x.to_be()),
        (0xd4, 16, u64::from(0xaabbu16.to_le())),
        (0xd4, 32, u64::from(0x8899_aabbu32.to_le())),
        (0xd4, 64, x.to_le()),
    ] {
        assert_eq!(eval(ins(code, 0, 0, 0, width), x, 0), result, "{code:#x} {width}");
    }
}

#[test]
fn jumps_compare_in_their_width_and_sign() {
    // Condition, operands; taken with 64 bits, taken with 32.
    for (op, a, b, wide, narrow) in [
        (0x10, 1 << 32, 0, false, true),
        (0x50, 1 << 32, 0, true, false),
        (0x20, M1, 1, true, true),
        (0x20, 1 << 32, 1, true, false),
        (0x30, 5, 5, true, true),
        (0x40, 1 << 32, M1, true, false),
        (0x60, M1, 1, false, false),
        (0x60, M1_32, 1, true, false),
        (0x70, MIN, MIN, true, true),
        (0xa0, 0, M1, true, true),
        (0xb0, M1, M1_32, false, true),
        (0xc0, M1, 0, true, true),
        (0xc0, M1_32, 0, false, true),
        (0xd0, MIN32, 0, false, true),
    ] {
        for (class, taken) in [(5, wide), (6, narrow)] {
            let mut insns = [imm(2, a), imm(3, b)].concat();
            insns.extend([mov(0, 1), ins(class | op | 8, 2, 3, 1, 0), mov(0, 0), exit()]);
            assert_eq!(run(insns), Ok(taken.into()), "{op:#x} class {class}: {a:#x}, {b:#x}");
        }
    }
    // An immediate is sign-extended for 64 bits.
    let insns = [imm(2, M1).to_vec(), vec![mov(0, 1), ins(0x15, 2, 0, 1, -1), mov(0, 0), exit()]];
    assert_eq!(run(insns.concat()), Ok(1));
    // gotol.
    assert_eq!(run(vec![mov(0, 1), ins(0x06, 0, 0, 0, 1), mov(0, 0), exit()]), Ok(1));
}

#[test]
fn memory_of_all_sizes() {
    let x = 0x8182_8384_8586_8788;
    for (size, bits) in [(0x10, 8), (0x08, 16), (0x00, 32), (0x18, 64)] {
        for signed in [false, true] {
            if signed && bits == 64 {
                continue;
            }
            let mode = if signed { 0x80 } else { 0x60 };
            let half = |shift| {
                let mut insns = imm(1, x).to_vec();
                insns.extend([
                    ins(0x7a, 10, 0, -8, 0),
                    ins(3 | 0x60 | size, 10, 1, -8, 0),
                    ins(1 | mode | size, 0, 10, -8, 0),
                    ins(0x77, 0, 0, 0, shift),
                    exit(),
                ]);
                u64::from(run(insns).unwrap())
            };
            let low = x << (64 - bits) >> (64 - bits);
            let wanted = match signed {
                true => ((x << (64 - bits)).cast_signed() >> (64 - bits)).cast_unsigned(),
                false => low,
            };
            assert_eq!(half(32) << 32 | half(0), wanted, "{bits} bits, signed: {signed}");
        }
    }
    // st with an immediate extends its sign; load-acquire and store-release are plain here.
    let insns = vec![ins(0x7a, 10, 0, -8, -1), ins(0x61, 0, 10, -4, 0), exit()];
    assert_eq!(run(insns), Ok(u32::MAX));
    let insns = vec![mov(1, 7), ins(0xdb, 10, 1, -8, 0x110), ins(0xdb, 0, 10, -8, 0x100), exit()];
    assert_eq!(run(insns), Ok(7));
}

#[test]
fn atomics() {
    // Operation, memory before, operand, r0; memory, operand register and r0 after.
    for (kind, old, operand, r0, memory, register, r0_after) in [
        (0x00, 5, 3, 9, 8, 3, 9),
        (0x01, 5, 3, 9, 8, 5, 9),
        (0x41, 5, 2, 9, 7, 5, 9),
        (0x51, 5, 4, 9, 4, 5, 9),
        (0xa1, 5, 1, 9, 4, 5, 9),
        (0xe1, 5, 3, 9, 3, 5, 9),
        (0xf1, 5, 3, 5, 3, 3, 5),
        (0xf1, 5, 3, 6, 5, 3, 5),
    ] {
        for wide in [false, true] {
            let size = if wide { 0x18 } else { 0 };
            for (what, wanted) in [(0, memory), (1, register), (2, r0_after)] {
                let mut insns = vec![
                    ins(0x7a, 10, 0, -8, old),
                    mov(2, operand),
                    mov(0, r0),
                    ins(0xc3 | size, 10, 2, -8, kind),
                ];
                insns.push(match what {
                    0 => ins(0x79, 0, 10, -8, 0),
                    1 => mov_reg(0, 2),
                    _ => mov_reg(0, 0),
                });
                insns.push(exit());
                assert_eq!(run(insns), Ok(wanted), "{kind:#x} wide {wide} part {what}");
            }
        }
    }
    // With 32 bits, what is fetched is zero-extended, and only the low half of r0 is compared.
    let mut insns = imm(0, 5 << 32 | 5).to_vec();
    insns.extend([
        ins(0x7a, 10, 0, -8, 5),
        mov(2, 3),
        ins(0xc3, 10, 2, -8, 0xf1),
        ins(0x77, 0, 0, 0, 32),
        ins(0x79, 1, 10, -8, 0),
        ins(0x0f, 0, 1, 0, 0),
        exit(),
    ]);
    assert_eq!(run(insns), Ok(3));
}

#[test]
fn what_a_program_may_not_touch() {
    let faults = |insns: Vec<Insn>| matches!(run(insns), Err(FaultKind::Access { .. }));
    assert!(faults(vec![mov(1, 0), load_u32(0, 1, 0), exit()]), "NULL");
    assert!(faults(vec![load_u32(0, 10, 0), exit()]), "above the stack");
    assert!(faults(vec![load_u32(0, 10, -516), exit()]), "below the stack");
    assert!(faults(vec![load_u32(0, 10, -514), exit()]), "across its end");
    assert!(faults(vec![ins(0x62, 1, 0, 0, 1), exit()]), "a field of the context");
    assert!(faults(vec![load_u32(0, 1, 24), exit()]), "behind the context");
    assert!(faults(vec![load_u32(2, 1, 0), load_u32(0, 2, 61), exit()]), "behind the packet");
    assert!(faults(vec![load_u32(2, 1, 0), load_u32(0, 2, -1), exit()]), "before the packet");
    assert!(faults([imm(1, 0x1234_5678_9abc).to_vec(), vec![load_u32(0, 1, 0), exit()]].concat()));
    assert!(faults([imm(1, u64::MAX).to_vec(), vec![load_u32(0, 1, 0), exit()]].concat()));
    assert_eq!(run(vec![load_u32(2, 1, 0), load_u32(0, 2, 60), exit()]), Ok(0xabab_abab));
    assert_eq!(run(vec![mov(0, 1)]), Err(FaultKind::LeftProgram));
}

#[test]
fn a_fault_says_where() {
    let mut set = SetBuilder::new();
    set.functions(
        "main",
        vec![call_function(1), exit(), mov(1, 0), load_u32(0, 1, 4), exit()],
        &[],
        &[("main", 0, 2), ("deep", 2, 3)],
    );
    let loaded = loaded(set);
    let mut runner = loaded.programs()[0].runner();
    let fault = runner.run(&PACKET, &Default::default()).unwrap().fault.unwrap();
    assert_eq!((fault.program.as_str(), fault.function.as_str()), ("main", "deep"));
    assert_eq!(fault.insn, 3);
    let line = fault.line.clone().unwrap();
    assert_eq!((line.file.as_str(), line.line, line.text.as_str()), ("unit.c", 3, "deep"));
    assert_eq!(
        fault.to_string(),
        "unit.c:3, `deep`, instruction 3: cannot read 4 bytes at 0x4, which points nowhere (E0601)"
    );
}

#[test]
fn calls_keep_registers_and_have_frames() {
    // The callee overwrites r6 and its own stack; the caller's are as they were.
    let insns = vec![
        mov(6, 40),
        ins(0x7a, 10, 0, -8, 2),
        call_function(3),
        ins(0x79, 1, 10, -8, 0),
        ins(0x0f, 0, 6, 0, 0),
        ins(0x05, 0, 0, 3, 0),
        mov(6, 1),
        ins(0x7a, 10, 0, -8, 77),
        ins(0x05, 0, 0, 2, 0),
        ins(0x0f, 0, 1, 0, 0),
        exit(),
        mov(0, 100),
        exit(),
    ];
    let mut set = SetBuilder::new();
    set.functions("main", insns, &[], &[("main", 0, 6), ("callee", 6, 7)]);
    assert_eq!(verdict(&loaded(set)), Ok(142));
    // A function that calls itself runs out of frames, no further.
    let mut set = SetBuilder::new();
    set.image("main", vec![call_function(-1), exit()], &[]);
    assert_eq!(verdict(&loaded(set)), Err(FaultKind::Frames));
}

#[test]
fn budgets_end_every_loop() {
    let limit = options().instructions;
    assert_eq!(run(vec![ins(0x05, 0, 0, -1, 0)]), Err(FaultKind::Instructions { limit }));
    // may_goto leaves by itself, within its own bound.
    let mut set = SetBuilder::new();
    let may_goto = ins(0xe5, 0, 0, 1, 0);
    set.image("f", vec![mov(0, 3), may_goto, ins(0x05, 0, 0, -2, 0), exit()], &[]);
    let options = EngineOptions::default();
    let loaded = Engine::load(&set.finish(), &options).unwrap();
    assert_eq!(verdict(&loaded), Ok(3));
    assert!(loaded.instructions() > 2 * (8 << 20));
    let options = EngineOptions { calls: 10, ..EngineOptions::default() };
    let mut set = SetBuilder::new();
    set.image("f", vec![call_helper(7), ins(0x05, 0, 0, -2, 0)], &[]);
    let loaded = Engine::load(&set.finish(), &options).unwrap();
    assert_eq!(verdict(&loaded), Err(FaultKind::Calls { limit: 10 }));
}

#[test]
fn tail_calls_count_to_33_and_return_to_the_caller() {
    let mut set = SetBuilder::new();
    let spec = MapSpec { map_type: 3, values: vec![(0, SlotRef::Image(0))], ..array(2) };
    let progs = set.defined("progs", spec);
    let counter = set.data(".data", bpfweld_object::DataKind::Data, &[0]);
    let mut insns = vec![mov_reg(6, 1)];
    insns.extend(imm64(2));
    insns.extend([
        ins(0x79, 3, 2, 0, 0),
        ins(0x61, 3, 2, 0, 0),
        add(3, 1),
        store_u32(2, 0, 3),
        mov_reg(1, 6),
    ]);
    insns.remove(3);
    let at = insns.len() as u32;
    insns.extend(imm64(2));
    insns.extend([mov(3, 0), call_helper(12)]);
    let value = insns.len() as u32;
    insns.extend(imm64(2));
    insns.extend([load_u32(0, 2, 0), exit()]);
    let relocs = [
        (1, ImageTarget::MapValue { map: counter, offset: 0 }),
        (at, ImageTarget::Map(progs)),
        (value, ImageTarget::MapValue { map: counter, offset: 0 }),
    ];
    set.image("again", insns, &relocs);
    // The first run and 33 tail calls.
    assert_eq!(verdict(&loaded(set)), Ok(34));

    // In a function: the target's verdict is what the function returns, and its caller goes on.
    let mut set = SetBuilder::new();
    let spec = MapSpec { map_type: 3, values: vec![(1, SlotRef::Image(1))], ..array(2) };
    let progs = set.defined("progs", spec);
    let mut insns = vec![mov(7, 5), call_function(2), ins(0x0f, 0, 7, 0, 0), exit()];
    insns.extend(imm64(2));
    insns.extend([mov(3, 1), call_helper(12), mov(0, 1000), exit()]);
    let relocs = [(4, ImageTarget::Map(progs))];
    set.functions("main", insns, &relocs, &[("main", 0, 4), ("jumps", 4, 6)]);
    set.image("target", vec![mov(7, 9), mov(0, 20), exit()], &[]);
    assert_eq!(verdict(&loaded(set)), Ok(25));
}

#[test]
fn callbacks() {
    // bpf_loop: adds the index to what r3 points to, and stops behind index 4.
    let mut insns = vec![
        ins(0x7a, 10, 0, -8, 0),
        mov(1, 100),
        ins(0x18, 2, pseudo::FUNC, 0, 8),
        ins(0, 0, 0, 0, 0),
        mov_reg(3, 10),
        add(3, -8),
        mov(4, 0),
        call_helper(181),
        ins(0x79, 1, 10, -8, 0),
        ins(0x0f, 0, 1, 0, 0),
        exit(),
    ];
    let start = insns.len() as u32;
    insns.extend([
        ins(0x79, 3, 2, 0, 0),
        ins(0x0f, 3, 1, 0, 0),
        ins(0x7b, 2, 3, 0, 0),
        mov(0, 0),
        ins(0x55, 1, 0, 1, 4),
        mov(0, 1),
        exit(),
    ]);
    let mut set = SetBuilder::new();
    set.functions("main", insns, &[], &[("main", 0, start), ("step", start, 7)]);
    // 0 + 1 + 2 + 3 + 4, and five rounds.
    assert_eq!(verdict(&loaded(set)), Ok(15));
}

#[test]
fn helpers_that_are_not_there_are_named() {
    let missing = |number| match run(vec![call_helper(number), exit()]) {
        Err(FaultKind::Helper { name }) => name,
        Err(FaultKind::Argument { helper, problem }) => format!("{helper}: {problem}"),
        other => panic!("{other:?}"),
    };
    assert_eq!(missing(14), "bpf_get_current_pid_tgid");
    assert_eq!(missing(9999), "number 9999");
    assert!(missing(169).starts_with("bpf_timer_init: the engine has no timers"));
    let mut set = SetBuilder::new();
    set.image("f", vec![call_helper(14), exit()], &[]);
    assert!(loaded(set).warnings()[0].contains("bpf_get_current_pid_tgid"));
}

#[test]
fn printed_lines_are_collected() {
    let mut set = SetBuilder::new();
    let text = u32::from_ne_bytes(*b"%d \0");
    let format = set.data(".rodata", bpfweld_object::DataKind::Rodata, &[text]);
    let mut insns = imm64(1).to_vec();
    insns.extend([mov(2, 4), mov(3, -7), call_helper(6), exit()]);
    set.image("f", insns, &[(0, ImageTarget::MapValue { map: format, offset: 0 })]);
    let loaded = loaded(set);
    assert_eq!(verdict(&loaded), Ok(3));
    assert_eq!(loaded.take_events(), (vec![Event::Trace("-7 ".into())], 0));
}

#[test]
fn packets_move_within_the_limits_of_the_kernel() {
    let adjust = |helper, by| {
        let insns = vec![mov(2, by), call_helper(helper), exit()];
        let mut set = SetBuilder::new();
        set.image("f", insns, &[]);
        let loaded = loaded(set);
        let mut runner = loaded.programs()[0].runner();
        let outcome = runner.run(&PACKET, &Default::default()).unwrap();
        (outcome.verdict.code as i32, outcome.packet.len())
    };
    assert_eq!(adjust(44, -216), (0, 280));
    assert_eq!(adjust(44, -217), (-22, 64));
    assert_eq!(adjust(44, 50), (0, 14));
    assert_eq!(adjust(44, 51), (-22, 64));
    assert_eq!(adjust(65, -50), (0, 14));
    assert_eq!(adjust(65, -51), (-22, 64));
    assert_eq!(adjust(65, 3456), (0, 3520));
    assert_eq!(adjust(65, 3457), (-22, 64));
    assert_eq!(adjust(54, -4), (0, 68));
    assert_eq!(adjust(54, -3), (-13, 64));
    assert_eq!(adjust(54, 4), (-22, 64));
}

/// Any instruction, most of them with registers and codes that there are.
fn anything() -> impl Strategy<Value = Insn> {
    let imm = prop_oneof![any::<i32>(), -8..210i32];
    let fields = (any::<u8>(), 0..12u8, 0..12u8, prop_oneof![any::<i16>(), -12..12i16], imm);
    let any_insn = fields.prop_map(|(code, dst, src, off, imm)| ins(code, dst, src, off, imm));
    let helper = (1..215i32).prop_map(call_helper);
    let register = (1..6u8, prop::sample::select(vec![1, 6, 7, 8, 9, 10]))
        .prop_map(|(dst, src)| mov_reg(dst, src));
    let near = (1..6u8, -80..8i32).prop_map(|(reg, by)| add(reg, by));
    prop_oneof![4 => any_insn, 3 => helper, 3 => register, 2 => near, 1 => Just(exit())]
}

proptest! {
    /// Whatever a program does, the run ends, and with a verdict or a fault.
    #[test]
    fn nothing_breaks_out(
        insns in prop::collection::vec(anything(), 1..40),
        kind in prop::sample::select(vec![1, 3, 6, 8]),
    ) {
        let mut set = SetBuilder::new();
        let kinds = [1, 2, 5, 6, 9, 10, 14, 16, 17, 25];
        for (i, map_type) in kinds.into_iter().enumerate() {
            set.defined(&format!("m{i}"), MapSpec { map_type, ..array(4) });
        }
        let maps: Vec<_> = (0..10u32).map(bpfweld_link::MapIndex).collect();
        // r6 context, r7 packet, r8 and r9 maps or what is in them.
        let mut all = vec![mov_reg(6, 1), load_u32(7, 6, if kind == 6 { 0 } else { 76 })];
        if kind == 1 {
            all[1] = mov(7, 0);
        }
        let pick = insns.len() % 10;
        all.extend(imm64(8));
        all.extend(imm64(9));
        all.extend([ins(0x7a, 10, 0, -8, 1), mov_reg(1, 8), mov_reg(2, 10), add(2, -8)]);
        all.push(mov(0, 0));
        all.extend(insns);
        all.push(exit());
        let relocs = [
            (2, ImageTarget::Map(maps[pick])),
            (4, ImageTarget::Map(maps[(pick * 7 + 1) % 10])),
        ];
        set.image("wild", all, &relocs);
        let mut set = set.finish();
        set.images[0].program.prog_type = bpfweld_object::ProgramType(kind);
        let options = EngineOptions { instructions: 5000, ..EngineOptions::default() };
        // What is no instruction makes way for one that is, until the rest can run.
        let mut tries = 0;
        let loaded = loop {
            tries += 1;
            prop_assert!(tries < 100);
            match Engine::load(&set, &options) {
                Ok(loaded) => break loaded,
                Err(LoadError::Instruction { insn, .. }) => set.images[0].insns[insn] = mov(0, 0),
                Err(other) => return Err(TestCaseError::fail(other.to_string())),
            }
        };
        let mut runner = loaded.programs()[0].runner();
        for packet in [&PACKET[..], &PACKET[..14]] {
            let outcome = runner.run(packet, &Default::default()).unwrap();
            prop_assert!(outcome.instructions <= 5000);
        }
    }
}
