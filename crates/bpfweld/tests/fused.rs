//! Generated chains, linked and fused, in the engine and, where permitted, in the kernel: verdicts, packet
//! bytes and map contents are the same.
//!
//! BPFWELD_CHAINS says how many chains (default 150).

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // That is how a test fails.

#[path = "../../kernel/tests/common/mod.rs"]
mod common;
mod generator;

use std::cell::Cell;

use bpfweld_insn::{Insn, JA32};
use bpfweld_kernel::Feature;
use bpfweld_link::fuse::{FuseOptions, Policy, Why, fuse};
use bpfweld_link::{ImageSet, read_back};
use common::*;
use generator::*;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

/// A member of a chain.
#[derive(Clone, Debug)]
struct Member {
    steps: Vec<Step>,
    verdict: Verdict,
    /// It cuts so much off the start of the packet before anything else. (What a packet grows by is not
    /// defined.)
    moves: Option<i8>,
    /// It calls another function in the end, which is the chain's and makes a number of a number.
    calls: bool,
    /// It wants the number from the root that comes in r2.
    takes: bool,
}

/// How a member comes to its verdict, from a number.
#[derive(Clone, Copy, Debug)]
enum Verdict {
    /// Some number.
    Any,
    /// One of four.
    Low,
    /// One of two constants.
    Either(i8, i8),
    /// Always 2.
    Pass,
}

/// What the root does with verdicts, and what it keeps for itself meanwhile.
#[derive(Clone, Copy, Debug)]
enum Root {
    /// Goes on after 2.
    Plain,
    /// Goes on after these verdicts (bit n: verdict n), others count as 0.
    Mask(u8),
    /// Adds verdicts up, in registers and on the stack, whatever they are.
    Sums,
    /// Goes on after 2, and hands each member a pointer to a number on its stack.
    Shares,
}

fn member() -> impl Strategy<Value = Member> {
    let verdict = prop_oneof![
        1 => Just(Verdict::Any),
        2 => Just(Verdict::Low),
        4 => (0..4i8, 0..4i8).prop_map(|(a, b)| Verdict::Either(a, b)),
        2 => Just(Verdict::Pass),
    ];
    let moves = prop_oneof![5 => Just(None), 1 => (0..24i8).prop_map(Some)];
    let steps = prop::collection::vec(step(), 0..10);
    (steps, verdict, moves, any::<bool>(), any::<bool>()).prop_map(
        |(steps, verdict, moves, calls, takes)| Member { steps, verdict, moves, calls, takes },
    )
}

fn root() -> impl Strategy<Value = Root> {
    prop_oneof![
        Just(Root::Plain),
        any::<u8>().prop_map(Root::Mask),
        Just(Root::Sums),
        Just(Root::Shares)
    ]
}

/// `if w0 != 2 goto out`, `out` to be patched: marked by its offset.
const OUT: i16 = i16::MAX;

/// The functions of a chain, the root first; all code is in one object, as each member is.
fn chain(root: Root, members: &[Member]) -> ImageSet {
    let mut set = SetBuilder::new();
    let maps = maps(&mut set);
    let leaf = members.len() + 1;
    let mut code: Vec<Code> = vec![(root_code(root, members), vec![])];
    for member in members {
        let (body, relocs) = function(&member.steps, maps);
        let mut insns = vec![];
        if member.takes && matches!(root, Root::Shares) {
            // The root's number comes along, doubled.
            insns.extend([ins(0x79, 3, 2, 0, 0), ins(0x0f, 3, 3, 0, 0), ins(0x7b, 2, 3, 0, 0)]);
        }
        if let Some(by) = member.moves {
            insns.extend([mov_reg(6, 1), mov(2, by.into()), call_helper(44), mov_reg(1, 6)]);
        }
        let at = insns.len() as u32;
        insns.extend(body);
        if member.calls {
            insns.extend([mov_reg(2, 0), mov_reg(1, 6), call(leaf)]);
        }
        insns.extend(match member.verdict {
            Verdict::Any => vec![],
            Verdict::Low => vec![ins(0x57, 0, 0, 0, 3)],
            Verdict::Either(a, b) => vec![
                ins(0x57, 0, 0, 0, 1),
                mov_reg(1, 0),
                ins(0xb4, 0, 0, 0, a.into()),
                ins(0x15, 1, 0, 1, 0),
                ins(0xb4, 0, 0, 0, b.into()),
            ],
            Verdict::Pass => vec![mov(0, 2)],
        });
        insns.push(exit());
        code.push((insns, relocs.into_iter().map(|(insn, to)| (at + insn, to)).collect()));
    }
    code.push((leaf_code(), vec![]));
    // Nothing calls the last one where no member does.
    if !members.iter().any(|m| m.calls) {
        code.pop();
    }
    assemble(set, code)
}

fn root_code(root: Root, members: &[Member]) -> Vec<Insn> {
    let mut code = vec![mov_reg(6, 1)];
    match root {
        Root::Sums => code.extend([
            load_u32(7, 6, 12),
            load_u32(8, 6, 16),
            mov(9, 77),
            ins(0x7b, 10, 9, -16, 0),
        ]),
        Root::Shares => code.extend([mov(1, 3), ins(0x7b, 10, 1, -8, 0)]),
        Root::Plain | Root::Mask(_) => {}
    }
    for i in 0..members.len() {
        code.push(mov_reg(1, 6));
        match root {
            Root::Plain => code.extend([call(i + 1), ins(0x56, 0, 0, OUT, 2)]),
            Root::Mask(mask) => code.extend([
                call(i + 1),
                ins(0xb6, 0, 0, 1, 4), // if w0 <= 4
                ins(0xb4, 0, 0, 0, 0),
                ins(0xb4, 1, 0, 0, 1),
                ins(0x6c, 1, 0, 0, 0), // w1 <<= w0
                ins(0x54, 1, 0, 0, i32::from(mask)),
                ins(0x16, 1, 0, OUT, 0),
            ]),
            Root::Sums => code.extend([
                call(i + 1),
                ins(0x0f, 7, 0, 0, 0),
                ins(0xaf, 8, 7, 0, 0),
                ins(0x79, 1, 10, -16, 0),
                ins(0x0f, 1, 8, 0, 0),
                ins(0x7b, 10, 1, -16, 0),
                ins(0x07, 9, 0, 0, 3),
            ]),
            Root::Shares => {
                code.extend([mov_reg(2, 10), add(2, -8), call(i + 1), ins(0x56, 0, 0, OUT, 2)])
            }
        }
    }
    let out = match root {
        Root::Plain | Root::Mask(_) => {
            code.push(mov(0, 2));
            code.len()
        }
        Root::Sums => {
            code.extend([
                ins(0x79, 0, 10, -16, 0),
                ins(0xaf, 0, 7, 0, 0),
                ins(0xaf, 0, 8, 0, 0),
                ins(0xaf, 0, 9, 0, 0),
            ]);
            code.len()
        }
        Root::Shares => {
            let out = code.len();
            code.extend([ins(0x79, 1, 10, -8, 0), ins(0x0f, 0, 1, 0, 0)]);
            out
        }
    };
    code.push(exit());
    for (at, insn) in code.iter_mut().enumerate() {
        if insn.off == OUT {
            insn.off = (out - at - 1) as i16;
        }
    }
    code
}

/// Takes the context and a number, uses its frame and r6 to r9.
fn leaf_code() -> Vec<Insn> {
    vec![
        mov_reg(6, 1),
        mov_reg(7, 2),
        ins(0x7b, 10, 7, -24, 0),
        mov_reg(8, 10),
        add(8, -24),
        load_u32(9, 6, 12),
        ins(0x79, 0, 8, 0, 0),
        ins(0x0f, 0, 9, 0, 0),
        ins(0xaf, 0, 7, 0, 0),
        ins(0x2d, 0, 7, 1, 0),
        ins(0x07, 0, 0, 0, 5),
        exit(),
    ]
}

/// A member of so many slots, half of which it leaves out for some packets.
fn long_member(slots: usize, number: i32) -> Vec<Insn> {
    let half = slots / 2;
    let mut code = vec![load_u32(7, 1, 0), load_u32(8, 1, 4), mov_reg(0, 7), add(0, 8)];
    code.extend([ins(0xbd, 0, 8, 2, 0), mov(0, 1), exit()]);
    code.extend([ins(0x79, 0, 7, 0, 0), ins(0x15, 0, 0, half as i16, number)]);
    code.extend((0..half as i32).map(|i| ins(0xa7, 0, 0, 0, i * 7 + number)));
    // The lowest bit decides, once more by a jump over half of it.
    code.push(ins(0x45, 0, 0, half as i16, 1));
    code.extend((0..half as i32).map(|i| ins(0x07, 0, 0, 0, i + number)));
    code.extend([ins(0x7b, 7, 0, 0, 0), mov(0, 2), exit()]);
    code
}

#[test]
fn fifty_long_members_are_one_program_by_long_jumps() {
    let members = (0..50).map(|i| (long_member(800, i), vec![]));
    let nothing =
        Member { steps: vec![], verdict: Verdict::Pass, moves: None, calls: false, takes: false };
    let root = (root_code(Root::Plain, &vec![nothing; 50]), vec![]);
    let linked = assemble(SetBuilder::new(), std::iter::once(root).chain(members).collect());
    let packets: Vec<[u8; 64]> =
        (0..6u8).map(|i| std::array::from_fn(|at| if at < 8 { i } else { 0 })).collect();
    let truth = in_engine(&linked, &packets);
    let kernel = real_kernel();
    for long_jumps in [false, true] {
        let how = FuseOptions { policy: Policy::Always, long_jumps, ..FuseOptions::default() };
        let (fused, report) = fuse(&linked, &how);
        assert_eq!(read_back::check(&fused), Ok(()));
        let (image, report) = (&fused.images[0], &report.images[0]);
        assert_eq!(image.functions.len() == 1, long_jumps, "{:?}", report.kept);
        assert_eq!(image.insns.iter().any(|i| i.code == JA32), long_jumps);
        assert!(report.kept.iter().all(|kept| kept.why == Why::Length));
        assert_eq!(truth, in_engine(&fused, &packets));
        let Some(features) = &kernel else { continue };
        if !long_jumps || features.get(Feature::IsaV4) {
            assert_eq!(truth, in_kernel(&load(&fused, features).unwrap(), &packets));
        }
    }
}

#[test]
fn generated_chains_do_the_same_fused() {
    let kernel = real_kernel();
    let wanted = std::env::var("BPFWELD_CHAINS").ok().and_then(|n| n.parse().ok());
    let wanted: u32 = wanted.unwrap_or(150);
    let (refused, unfused, inline, total) =
        (Cell::new(0), Cell::new(0), Cell::new(0), Cell::new(0));
    let config = Config { cases: wanted, failure_persistence: None, ..Config::default() };
    let packets = prop::collection::vec(prop::array::uniform32(any::<u8>()), 6);
    let input = (root(), prop::collection::vec(member(), 1..7), packets);
    let result = TestRunner::new(config).run(&input, |(root, members, halves)| {
        let linked = chain(root, &members);
        let options = FuseOptions { policy: Policy::Always, ..FuseOptions::default() };
        let (fused, report) = fuse(&linked, &options);
        prop_assert_eq!(read_back::check(&fused), Ok(()));
        total.set(total.get() + members.len());
        inline.set(inline.get() + report.images[0].fused.len());
        let packets: Vec<[u8; 64]> =
            halves.chunks(2).map(|pair| [pair[0], pair[1]].concat().try_into().unwrap()).collect();
        let Some(features) = &kernel else {
            prop_assert_eq!(in_engine(&linked, &packets), in_engine(&fused, &packets));
            return Ok(());
        };
        match (load(&linked, features), load(&fused, features)) {
            (Ok(linked_loaded), Ok(fused_loaded)) => {
                let truth = in_kernel(&linked_loaded, &packets);
                prop_assert_eq!(&truth, &in_kernel(&fused_loaded, &packets));
                prop_assert_eq!(&truth, &in_engine(&linked, &packets));
                prop_assert_eq!(&truth, &in_engine(&fused, &packets));
            }
            (Ok(_), Err(error)) => {
                println!("refused fused: {error}");
                unfused.set(unfused.get() + 1);
            }
            (Err(_), _) => refused.set(refused.get() + 1),
        }
        Ok(())
    });
    if let Err(error) = result {
        panic!("{error}");
    }
    println!(
        "{wanted} chains; refused by the verifier as linked {}, only when fused {}; {} members, {} \
         calls fused",
        refused.get(),
        unfused.get(),
        total.get(),
        inline.get()
    );
    assert!(refused.get() * 10 <= wanted, "{} of {wanted} chains were refused", refused.get());
    assert!(unfused.get() * 20 <= wanted, "{} of {wanted} are refused fused", unfused.get());
    assert!(inline.get() * 10 >= total.get() * 8, "{} calls fused", inline.get());
}
