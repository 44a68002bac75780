//! Functions with any flow of control, linked and fused, in the engine: circles with several ways in, tests of
//! constants and of what was tested before, pointers into the packet across helpers that move it. No verifier
//! sees them, so nothing has to be in its favour.
//!
//! BPFWELD_FLOWS says how many programs (default 400).

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // That is how a test fails.

#[path = "../../kernel/tests/common/mod.rs"]
mod common;
mod generator;

use std::cell::Cell;

use bpfweld_insn::{Insn, JA};
use bpfweld_link::fuse::{FuseOptions, Policy, fuse};
use bpfweld_link::read_back;
use common::*;
use generator::basic::{Basic, NUMBERS, again, basic, emit as emit_basic, number, pointer};
use generator::*;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

/// Visits of blocks that are jumped back to, until a function returns.
const FUEL: i32 = 9;
/// Where a function has what is left of them.
const FUEL_AT: i16 = -72;
/// A number in the caller's frame that each function is given the address of.
const SHARED_AT: i16 = -80;
/// Constants that blocks are tested for, so that many tests are decided.
const FEW: i32 = 3;

/// A step within a block.
#[derive(Clone, Debug)]
enum Step {
    Basic(Basic),
    /// A small constant.
    Constant(u8, i32),
    Copy(u8, u8),
    /// Calls another function, one of those behind this one.
    Call(u8),
    /// Cuts a byte off the packet's head, or gives it back.
    Move,
    /// Loads the packet's start once more.
    Again,
}

/// How a block ends.
#[derive(Clone, Debug)]
enum Test {
    /// Does not ask.
    None,
    /// Condition, registers, immediate, 64 bits?
    Number(u8, u8, Result<u8, i32>, bool),
    /// A register that was given a constant just now: is it this?
    Known(u8, i32, i32),
    /// So many bytes in the packet?
    Length(i32),
    /// A byte of the packet: is it this?
    Byte(i16, i32),
    /// Returns.
    Exit,
}

#[derive(Clone, Debug)]
struct Block {
    steps: Vec<Step>,
    test: Test,
    taken: Way,
    next: Way,
}

/// Where a block goes on: anywhere, or behind it.
#[derive(Clone, Debug)]
struct Way {
    anywhere: bool,
    to: prop::sample::Index,
}

impl Way {
    /// From this block of so many; the last one goes back if it has to.
    fn from(&self, id: usize, blocks: usize) -> usize {
        let behind = blocks - 1 - id;
        match self.anywhere || behind == 0 {
            true => self.to.index(blocks),
            false => id + 1 + self.to.index(behind),
        }
    }
}

fn way() -> impl Strategy<Value = Way> {
    let anywhere = prop::bool::weighted(0.35);
    (anywhere, any::<prop::sample::Index>()).prop_map(|(anywhere, to)| Way { anywhere, to })
}

fn block() -> impl Strategy<Value = Block> {
    let basic = basic().prop_filter("falls through", |b| !matches!(b, Basic::Jump(..)));
    let step = prop_oneof![
        6 => basic.prop_map(Step::Basic),
        6 => (any::<u8>(), 0..FEW).prop_map(|(d, c)| Step::Constant(d, c)),
        2 => (any::<u8>(), any::<u8>()).prop_map(|(d, s)| Step::Copy(d, s)),
        1 => any::<u8>().prop_map(Step::Call),
        1 => Just(Step::Move),
        2 => Just(Step::Again),
    ];
    let operand = prop_oneof![any::<u8>().prop_map(Ok), (0..FEW).prop_map(Err)];
    let test = prop_oneof![
        2 => Just(Test::None),
        6 => (0..11u8, any::<u8>(), operand, any::<bool>())
            .prop_map(|(op, d, s, wide)| Test::Number(op, d, s, wide)),
        6 => (any::<u8>(), 0..FEW, 0..FEW).prop_map(|(d, c, is)| Test::Known(d, c, is)),
        2 => prop::sample::select(vec![14, 34, 63, 64, 65]).prop_map(Test::Length),
        2 => (0..3i16, 0..FEW).prop_map(|(at, is)| Test::Byte(at, is)),
        1 => Just(Test::Exit),
    ];
    (prop::collection::vec(step, 0..3), test, way(), way())
        .prop_map(|(steps, test, taken, next)| Block { steps, test, taken, next })
}

/// Registers and stack hold numbers; r6 the context, r7 the packet. Functions other than the first get the
/// address of a number in r2 and change it.
fn begin(first: bool) -> Vec<Insn> {
    let mut code = vec![mov_reg(6, 1), load_u32(7, 6, 0)];
    if !first {
        code.extend([ins(0x79, 0, 2, 0, 0), add(0, 3), ins(0x7b, 2, 0, 0, 0)]);
    }
    for (i, &reg) in NUMBERS.iter().enumerate() {
        code.push(match i % 2 {
            0 => mov(reg, i as i32 % FEW),
            _ => ins(0x71, reg, 7, i as i16, 0),
        });
        code.push(ins(0x7b, 10, reg, -8 * (i as i16 + 1), 0));
    }
    code.extend([ins(0x7a, 10, 0, FUEL_AT, FUEL), ins(0x7a, 10, 0, SHARED_AT, 1)]);
    code
}

/// The verdict tells of registers and stack, the packet of the rest.
fn end() -> Vec<Insn> {
    let sum = [1, 2, 3, 4, 5, 8, 9].map(|r| ins(0x0f, 0, r, 0, 0));
    let seen =
        [ins(0x79, 1, 10, SHARED_AT, 0), ins(0x0f, 0, 1, 0, 0), ins(0x7b, 7, 0, 8, 0), exit()];
    sum.into_iter().chain(seen).collect()
}

fn emit(step: &Step, index: usize, functions: usize) -> Vec<Insn> {
    match *step {
        Step::Basic(ref basic) => emit_basic(basic),
        Step::Constant(d, c) => vec![mov(number(d), c)],
        Step::Copy(d, s) => vec![mov_reg(number(d), number(s))],
        Step::Call(pick) => {
            let behind = functions - 1 - index;
            if behind == 0 {
                return vec![];
            }
            let to = index + 1 + usize::from(pick) % behind;
            let mut code = vec![mov_reg(1, 6)];
            code.extend(pointer(2, SHARED_AT.into()));
            code.push(call(to));
            code.extend(again());
            // It may have moved the packet.
            code.push(load_u32(7, 6, 0));
            code
        }
        Step::Move => {
            // By one where it has 64 bytes, by minus one where it has 63.
            let mut code = vec![load_u32(3, 6, 0), load_u32(2, 6, 4), ins(0x1f, 2, 3, 0, 0)];
            code.extend([add(2, -63), ins(0x67, 2, 0, 0, 1), add(2, -1)]);
            code.extend([mov_reg(1, 6), call_helper(44), load_u32(7, 6, 0)]);
            code.extend(again());
            code
        }
        Step::Again => vec![load_u32(7, 6, 0)],
    }
}

/// Where a jump goes.
#[derive(Clone, Copy)]
enum To {
    Block(usize),
    Out,
}

fn function(blocks: &[Block], index: usize, functions: usize) -> Code {
    let ways = |id: usize| [&blocks[id].taken, &blocks[id].next].map(|w| w.from(id, blocks.len()));
    let back = |to: usize| (to..blocks.len()).any(|from| ways(from).contains(&to));
    let mut code = begin(index == 0);
    let mut jumps: Vec<(usize, To)> = Vec::new();
    let mut starts = Vec::new();
    for (id, block) in blocks.iter().enumerate() {
        starts.push(code.len());
        if back(id) {
            code.extend([ins(0x79, 5, 10, FUEL_AT, 0), add(5, -1), ins(0x7b, 10, 5, FUEL_AT, 0)]);
            jumps.push((code.len(), To::Out));
            code.push(ins(0x15, 5, 0, 0, 0));
        }
        code.extend(block.steps.iter().flat_map(|step| emit(step, index, functions)));
        let mut jump = |code: &mut Vec<Insn>, insn: Insn, to: To| {
            jumps.push((code.len(), to));
            code.push(insn);
        };
        let [taken, next] = ways(id).map(To::Block);
        match block.test {
            Test::None => {}
            Test::Number(op, d, s, wide) => {
                const OPS: [u8; 11] =
                    [0x10, 0x20, 0x30, 0x40, 0x50, 0x60, 0x70, 0xa0, 0xb0, 0xc0, 0xd0];
                let code_of = if wide { 5 } else { 6 } | OPS[usize::from(op)];
                let test = match s {
                    Ok(s) => ins(code_of | 8, number(d), number(s), 0, 0),
                    Err(imm) => ins(code_of, number(d), 0, 0, imm),
                };
                jump(&mut code, test, taken);
            }
            Test::Known(d, c, is) => {
                code.push(mov(number(d), c));
                jump(&mut code, ins(0x55, number(d), 0, 0, is), taken);
            }
            Test::Length(length) => {
                code.extend([mov_reg(1, 7), add(1, length), load_u32(2, 6, 4)]);
                // No address stays in a register, on either side.
                code.extend([ins(0xbd, 1, 2, 3, 0), mov(1, 0), mov(2, 1)]);
                jump(&mut code, ins(JA, 0, 0, 0, 0), taken);
                code.extend([mov(1, 1), mov(2, 0)]);
            }
            Test::Byte(at, is) => {
                code.extend([ins(0x71, 3, 7, at, 0), ins(0x57, 3, 0, 0, 7)]);
                jump(&mut code, ins(0x15, 3, 0, 0, is), taken);
            }
            Test::Exit => {
                jump(&mut code, ins(JA, 0, 0, 0, 0), To::Out);
                continue;
            }
        }
        jump(&mut code, ins(JA, 0, 0, 0, 0), next);
    }
    let out = code.len();
    code.extend(end());
    for (at, to) in jumps {
        let to = match to {
            To::Block(id) => starts[id],
            To::Out => out,
        };
        code[at].off = (to as i64 - at as i64 - 1) as i16;
    }
    (code, vec![])
}

#[test]
fn any_flow_of_control_does_the_same_fused() {
    let wanted = std::env::var("BPFWELD_FLOWS").ok().and_then(|n| n.parse().ok());
    let wanted: u32 = wanted.unwrap_or(400);
    let inline = Cell::new(0);
    let config = Config { cases: wanted, failure_persistence: None, ..Config::default() };
    let functions = prop::collection::vec(prop::collection::vec(block(), 2..8), 2..4);
    let packets = prop::collection::vec(prop::array::uniform32(0..4u8), 4);
    let result = TestRunner::new(config).run(&(functions, packets), |(functions, halves)| {
        let code = functions.iter().enumerate().map(|(i, f)| function(f, i, functions.len()));
        let linked = assemble(SetBuilder::new(), code.collect());
        let options = FuseOptions { policy: Policy::Always, ..FuseOptions::default() };
        let (fused, report) = fuse(&linked, &options);
        prop_assert_eq!(read_back::check(&fused), Ok(()));
        inline.set(inline.get() + report.images[0].fused.len());
        let packets: Vec<[u8; 64]> =
            halves.chunks(2).map(|pair| [pair[0], pair[1]].concat().try_into().unwrap()).collect();
        prop_assert_eq!(in_engine(&linked, &packets), in_engine(&fused, &packets));
        Ok(())
    });
    if let Err(error) = result {
        panic!("{error}");
    }
    println!("{wanted} programs, {} calls fused", inline.get());
    assert!(inline.get() > wanted as usize / 4, "{} calls fused", inline.get());
}
