//! The engine against the kernel: generated programs run in both, and verdict, packet and map
//! contents agree. Needs root (or CAP_BPF and CAP_NET_ADMIN); what cannot run here says `SKIPPED`.
//!
//! BPFWELD_PROGRAMS says how many programs (default 200); `generate` makes them.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // That is how a test fails.

#[path = "../../kernel/tests/common/mod.rs"]
mod common;
mod generate;

use std::sync::atomic::{AtomicU32, Ordering};

use bpfweld_engine::{Engine, EngineOptions};
use bpfweld_link::ImageSet;
use common::*;
use generate::{KEYED, PER_CPU, plan, program};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

/// Verdict, packet, entries of each map in order.
type Seen = (u32, Vec<u8>, Vec<Vec<(Vec<u8>, Vec<u8>)>>);

/// Entries of a map with keys: of values per CPU that of the first one.
fn entries(
    index: usize,
    keys: Vec<Vec<u8>>,
    lookup: impl Fn(&[u8]) -> Option<Vec<u8>>,
) -> Vec<(Vec<u8>, Vec<u8>)> {
    let entry = |key: Vec<u8>| {
        let mut value = lookup(&key)?;
        if index >= PER_CPU {
            value.truncate(8);
        }
        Some((key, value))
    };
    let mut all: Vec<_> = keys.into_iter().filter_map(entry).collect();
    all.sort();
    all
}

fn in_engine(set: &ImageSet, packets: &[[u8; 64]]) -> Vec<Seen> {
    let loaded = Engine::load(set, &EngineOptions::default()).unwrap();
    let mut runner = loaded.entries()[0].runner();
    let mut seen = Vec::new();
    for packet in packets {
        let outcome = runner.run(packet, &Default::default()).unwrap();
        assert_eq!(outcome.fault, None);
        let maps = loaded.maps().iter().take(KEYED.into()).enumerate().map(|(index, map)| {
            entries(index, map.keys().unwrap(), |key| map.lookup(key).unwrap())
        });
        seen.push((outcome.verdict.code, outcome.packet.to_vec(), maps.collect()));
    }
    seen
}

fn in_kernel(loaded: &bpfweld_kernel::Loaded, packets: &[[u8; 64]]) -> Vec<Seen> {
    let mut runner = loaded.entries()[0].runner();
    let mut seen = Vec::new();
    for packet in packets {
        let outcome = runner.run(packet, &Default::default()).unwrap();
        let maps = loaded.maps().iter().take(KEYED.into()).enumerate().map(|(index, map)| {
            entries(index, map.keys().unwrap(), |key| map.lookup(key).unwrap())
        });
        seen.push((outcome.verdict.code, outcome.packet.to_vec(), maps.collect()));
    }
    seen
}

/// What differs first, in few words.
fn difference(engine: &[Seen], kernel: &[Seen]) -> Option<String> {
    engine.iter().zip(kernel).enumerate().find_map(|(at, (engine, kernel))| {
        let what = if engine.0 != kernel.0 {
            format!("verdict {:#x}, {:#x}", engine.0, kernel.0)
        } else if engine.1 != kernel.1 {
            format!("packet\n{:x?}\n{:x?}", engine.1, kernel.1)
        } else {
            let map = (0..engine.2.len()).find(|&map| engine.2[map] != kernel.2[map])?;
            format!("map {map}\n{:x?}\n{:x?}", engine.2[map], kernel.2[map])
        };
        Some(format!("packet {at}: engine, kernel: {what}"))
    })
}

/// Keeps this thread on the first CPU: values per CPU are that one's.
fn stay_on_one_cpu() -> bool {
    let Ok(thread) = std::fs::read_link("/proc/thread-self") else { return false };
    let id = thread.file_name().unwrap_or_default().to_owned();
    let taskset = std::process::Command::new("taskset").args(["-pc", "0"]).arg(id).output();
    taskset.is_ok_and(|output| output.status.success())
}

#[test]
fn generated_programs_do_the_same_in_kernel_and_engine() {
    let Some(features) = real_kernel() else { return };
    if !stay_on_one_cpu() {
        return skip("needs taskset, for maps with values per CPU");
    }
    let wanted = std::env::var("BPFWELD_PROGRAMS").ok().and_then(|n| n.parse().ok());
    let wanted: u32 = wanted.unwrap_or(200);
    let refused = AtomicU32::new(0);
    let reason = std::sync::Mutex::new(String::new());
    let config = Config { cases: wanted, failure_persistence: None, ..Config::default() };
    let packets = prop::collection::vec(prop::array::uniform32(any::<u8>()), 6);
    let input = (plan(), packets);
    let result = TestRunner::new(config).run(&input, |(plan, halves)| {
        let set = program(&plan);
        let packets: Vec<[u8; 64]> =
            halves.chunks(2).map(|pair| [pair[0], pair[1]].concat().try_into().unwrap()).collect();
        match load(&set, &features) {
            Ok(loaded) => {
                let (engine, kernel) = (in_engine(&set, &packets), in_kernel(&loaded, &packets));
                if let Some(difference) = difference(&engine, &kernel) {
                    // In one line each, which the runner's own report is not.
                    return Err(TestCaseError::fail(format!(
                        "{difference}\n{plan:?}\n{packets:02x?}"
                    )));
                }
            }
            Err(error) => {
                refused.fetch_add(1, Ordering::Relaxed);
                if let bpfweld_kernel::LoadError::Rejected(rejected) = &error {
                    *reason.lock().unwrap() =
                        rejected.log.text().lines().rev().take(6).collect::<Vec<_>>().join("\n");
                }
            }
        }
        Ok(())
    });
    if let Err(error) = result {
        panic!("{error}");
    }
    let refused = refused.into_inner();
    let reason = reason.into_inner().unwrap();
    println!("{wanted} programs, {refused} of them refused by the verifier\n{reason}");
    assert!(refused * 20 <= wanted, "{refused} of {wanted} programs were refused: {reason}");
}

/// What the helpers that move packets answer, over their limits on both sides.
#[test]
fn packets_move_alike() {
    let Some(features) = real_kernel() else { return };
    let packet: Vec<u8> = (0..64).collect();
    let cases = [
        (44, [-217, -216, -4, 0, 4, 50, 51, i32::MIN]),
        (65, [-51, -50, -1, 0, 1, 3456, 3457, i32::MAX]),
        (54, [-216, -252, -256, -32, -3, 0, 4, i32::MAX]),
    ];
    for (helper, by) in cases {
        for by in by {
            let mut set = SetBuilder::new();
            set.image("move", vec![mov(2, by), call_helper(helper), exit()], &[]);
            let set = set.finish();
            let kernel = load(&set, &features).unwrap();
            let engine = Engine::load(&set, &EngineOptions::default()).unwrap();
            let (mut kernel, mut engine) =
                (kernel.entries()[0].runner(), engine.entries()[0].runner());
            let kernel = kernel.run(&packet, &Default::default()).unwrap();
            let engine = engine.run(&packet, &Default::default()).unwrap();
            assert_eq!(kernel.verdict, engine.verdict, "helper {helper} by {by}");
            if helper != 54 {
                assert_eq!(kernel.packet, engine.packet, "helper {helper} by {by}");
            }
        }
    }
}

/// Behind a 32-bit `cmpxchg` that succeeds: what is in the upper half of r0. The instruction of x86
/// leaves it alone; the verifier adds a zero extension only where it sees a reader of all 64 bits on the
/// way from there. It does not where it stops, because a state that covers this one came by before: then
/// the upper half stays as it was.
fn behind_cmpxchg(pruned: bool) -> ImageSet {
    let mut insns = vec![
        // The receive queue: 0, but not to the verifier.
        load_u32(7, 1, 16),
        ins(0x7a, 10, 0, -8, 5),
        mov(2, 9),
        // Two jumps and eight instructions make it keep a state at the next one.
        ins(0x55, 7, 0, 0, 1),
        ins(0x55, 7, 0, 0, 2),
        mov_reg(3, 7),
        mov_reg(3, 7),
        mov_reg(3, 7),
    ];
    if pruned {
        // Falls through first: any number in r0.
        insns.extend([
            ins(0x15, 7, 0, 5, 0),
            mov_reg(0, 7),
            ins(0x27, 0, 0, 0, i32::MAX),
            ins(0x2f, 0, 0, 0, 0),
            mov(3, 0),
            ins(0x05, 0, 0, 5, 0),
        ]);
    }
    insns.extend([
        ins(0x18, 0, 0, 0, 5),
        ins(0, 0, 0, 0, 1),
        ins(0xc3, 10, 2, -8, 0xf1),
        mov(3, 0),
        ins(0x05, 0, 0, 0, 0),
        mov(2, 0),
        ins(0x7a, 10, 0, -8, 0),
        ins(0x77, 0, 0, 0, 32),
        exit(),
    ]);
    let mut set = SetBuilder::new();
    set.image("upper", insns, &[]);
    set.finish()
}

#[test]
fn the_upper_half_behind_cmpxchg() {
    let Some(features) = real_kernel() else { return };
    for pruned in [false, true] {
        let set = behind_cmpxchg(pruned);
        let kernel = load(&set, &features).unwrap();
        let kernel =
            kernel.entries()[0].runner().run(&[0; 64], &Default::default()).unwrap().verdict;
        let engine = Engine::load(&set, &EngineOptions::default()).unwrap();
        let engine =
            engine.entries()[0].runner().run(&[0; 64], &Default::default()).unwrap().verdict;
        assert_eq!(engine.code, 0, "RFC 9669, 5.3: cleared");
        match pruned {
            false => assert_eq!(kernel.code, 0),
            // 1 on Linux 6.18 (x86-64).
            true => assert!(kernel.code <= 1, "{kernel:?}"),
        }
    }
}
