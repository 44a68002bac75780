//! Helpers in the engine and in the kernel: the same arguments give the same answers, packets and
//! contexts. Needs root; what cannot run here says `SKIPPED`.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // That is how a test fails.

#[path = "../../kernel/tests/common/mod.rs"]
mod common;

use std::sync::Arc;

use bpfweld_engine::{Engine, EngineOptions};
use bpfweld_insn::Insn;
use bpfweld_kernel::Features;
use bpfweld_link::{ImageSet, ImageTarget, MapSpec, SlotRef};
use bpfweld_object::{ProgramSpec, ProgramType};
use common::*;

/// An IPv4 packet of 64 bytes.
fn ipv4() -> Vec<u8> {
    let mut packet: Vec<u8> = (0..64).collect();
    packet[..6].fill(0);
    packet[12..14].copy_from_slice(&[0x08, 0x00]);
    packet[14] = 0x45;
    packet
}

fn tc(mut set: ImageSet) -> ImageSet {
    for image in &mut set.images {
        image.section = "tc".into();
        image.program = ProgramSpec { prog_type: ProgramType::SCHED_CLS, ..ProgramSpec::unknown() };
    }
    set
}

fn one(insns: Vec<Insn>) -> ImageSet {
    let mut set = SetBuilder::new();
    set.image("helpers", insns, &[]);
    set.finish()
}

/// Runs a set in both: verdict and packet.
#[track_caller]
fn alike(features: &Arc<Features>, set: &ImageSet, packet: &[u8], what: &str) -> u32 {
    let kernel = load(set, features).unwrap_or_else(|error| panic!("{what}: {error}"));
    let mut kernel = kernel.entries()[0].runner();
    let kernel = kernel.run(packet, &Default::default()).unwrap();
    let engine = Engine::load(set, &EngineOptions::default()).unwrap();
    let mut engine = engine.entries()[0].runner();
    let engine = engine.run(packet, &Default::default()).unwrap();
    assert_eq!(engine.fault, None, "{what}");
    let signed = |code: u32| code.cast_signed();
    assert_eq!(signed(engine.verdict.code), signed(kernel.verdict.code), "verdict: {what}");
    assert_eq!(engine.packet, kernel.packet, "packet: {what}");
    engine.verdict.code
}

/// `r1 = r6`, arguments from r2 on, the call; r6 is the context.
fn call(number: i32, args: &[i32]) -> Vec<Insn> {
    let mut out = vec![mov_reg(1, 6)];
    out.extend((2u8..).zip(args).map(|(reg, &arg)| mov(reg, arg)));
    out.push(call_helper(number));
    out
}

#[test]
fn vlan_tags() {
    let Some(features) = real_kernel() else { return };
    let mut tagged = ipv4();
    tagged.splice(12..12, [0x81, 0x00, 0x00, 0x07, 0x81, 0x00, 0x00, 0x09]);
    let push = |protocol: i32, tci: i32| call(18, &[protocol, tci]);
    let pop = || call(19, &[]);
    let sequences = [
        vec![push(0x0081, 5)],
        vec![push(0xa888, 5), push(0x0081, 6)],
        vec![push(0, 5), push(1, 6), push(2, 7)],
        vec![pop()],
        vec![pop(), pop()],
        vec![pop(), pop(), pop()],
        vec![push(0x0081, 5), pop()],
        vec![push(0x0081, 5), push(0x0081, 6), pop(), pop()],
        vec![pop(), push(0xa888, 3), push(0xa888, 4), pop()],
    ];
    for packet in [ipv4(), tagged] {
        for (at, sequence) in sequences.iter().enumerate() {
            let mut insns = vec![mov_reg(6, 1)];
            insns.extend(sequence.iter().flatten().copied());
            // What the context says of the tag: present, tag, ethertype; and of the packet.
            insns.push(mov_reg(7, 0));
            for field in [20, 24, 28, 16, 0] {
                insns.extend([
                    ins(0x27, 7, 0, 0, 31),
                    load_u32(1, 6, field),
                    ins(0x0f, 7, 1, 0, 0),
                ]);
            }
            insns.extend([mov_reg(0, 7), exit()]);
            alike(
                &features,
                &tc(one(insns)),
                &packet,
                &format!("sequence {at} of {}", packet.len()),
            );
        }
    }
}

#[test]
fn room_in_front() {
    let Some(features) = real_kernel() else { return };
    let mut arp = ipv4();
    arp[12..14].copy_from_slice(&[0x08, 0x06]);
    let mut ipv6 = ipv4();
    ipv6[12..14].copy_from_slice(&[0x86, 0xdd]);
    let sizes = [-4096, -51, -50, -31, -30, -20, -10, -4, 0, 1, 20, 28, 64, 4095, 4096];
    let flags = [0, 1, 2, 4, 6, 2 | 16, 2 | 8 | 16, 16, 0x40 | 2, 0x80, 0x100, 0x180, 0x20, 0x200];
    for (name, packet) in [("IPv4", ipv4()), ("IPv6", ipv6), ("ARP", arp)] {
        for mode in 0..3 {
            for by in sizes {
                // Every size without flags, some with them.
                let flags = if [-20, 28].contains(&by) { &flags[..] } else { &flags[..1] };
                for flag in flags {
                    let mut insns = vec![mov_reg(6, 1)];
                    insns.extend(call(50, &[by, mode, *flag]));
                    insns.extend([mov_reg(7, 0), load_u32(1, 6, 16), ins(0x67, 1, 0, 0, 13)]);
                    insns.extend([ins(0xaf, 7, 1, 0, 0), mov_reg(0, 7), exit()]);
                    let what = format!("{name} by {by}, mode {mode}, flags {flag:#x}");
                    alike(&features, &tc(one(insns)), &packet, &what);
                }
            }
        }
    }
}

#[test]
fn checksums_and_levels() {
    let Some(features) = real_kernel() else { return };
    for level in 0..5 {
        let mut insns = vec![mov_reg(6, 1)];
        insns.extend(call(135, &[level]));
        insns.push(exit());
        alike(&features, &tc(one(insns)), &ipv4(), &format!("level {level}"));
    }
    for (helper, flags) in
        [(10, [0, 2, 4, 3, 16, 1 << 8]), (11, [0, 2, 4 | 16, 2 | 32, 4 | 32 | 64, 1 << 8])]
    {
        for flags in flags {
            for (offset, from, to) in [
                (24, 0, 0x1234),
                (24, 0x1716, 0xffff),
                (25, 0, 1),
                (62, 1, 2),
                (63, 0, 1),
                (70_000, 0, 1),
            ] {
                let mut insns = vec![mov_reg(6, 1)];
                insns.extend(call(helper, &[offset, from, to, flags]));
                insns.push(exit());
                let what = format!("helper {helper} at {offset}: {from} to {to}, flags {flags}");
                alike(&features, &tc(one(insns)), &ipv4(), &what);
            }
        }
    }
    // A difference between two pieces of the stack, of unlike lengths, with and without a seed.
    for (from, to) in [(0, 0), (0, 16), (16, 0), (16, 16), (8, 24), (24, 8), (3, 4)] {
        for seed in [0, 1, -1, 0x1234_5678] {
            let mut insns = Vec::new();
            for slot in 0..8 {
                insns.push(ins(0x18, 1, 0, 0, 0x0102_0304 * (slot + 3)));
                insns.push(ins(0, 0, 0, 0, 0x7654_3210 ^ slot));
                insns.push(ins(0x7b, 10, 1, (-8 * (slot + 1)) as i16, 0));
            }
            insns.extend([mov_reg(1, 10), add(1, -32), mov(2, from), mov_reg(3, 10), add(3, -64)]);
            insns.extend([mov(4, to), mov(5, seed), call_helper(28), exit()]);
            alike(&features, &one(insns), &[0; 64], &format!("{from} and {to} bytes, seed {seed}"));
        }
    }
}

#[test]
fn mtus() {
    let Some(features) = real_kernel() else { return };
    for is_tc in [false, true] {
        for (ifindex, len, by, flags) in [
            (0, 0, 0, 0),
            (1, 0, 0, 0),
            (1, 65_536, 0, 0),
            (1, 65_537, 0, 0),
            (1, 65_536, 1, 0),
            (1, 0, -60, 0),
            (0, 0, 0, 1),
            (0, 5, 0, 1),
            (0, 0, 0, 2),
            (0x7fff_0000, 0, 0, 0),
        ] {
            let mut insns = vec![mov_reg(6, 1), ins(0x7a, 10, 0, -8, len)];
            insns.extend([mov_reg(1, 6), mov(2, ifindex), mov_reg(3, 10), add(3, -8), mov(4, by)]);
            insns.extend([mov(5, flags), call_helper(163), ins(0x27, 0, 0, 0, 7)]);
            insns.extend([load_u32(1, 10, -8), ins(0x0f, 0, 1, 0, 0), exit()]);
            let set = one(insns);
            let set = if is_tc { tc(set) } else { set };
            alike(&features, &set, &ipv4(), &format!("TC {is_tc}: {ifindex} {len} {by} {flags}"));
        }
    }
}

#[test]
fn redirects_of_tc() {
    let Some(features) = real_kernel() else { return };
    for (helper, args) in [
        (152, [1, 0, 0, 0]),
        (152, [1, 0, 0, 1]),
        (155, [1, 0, 0, 0]),
        (155, [1, 1, 0, 0]),
        (23, [1, 0, 0, 0]),
        (23, [1, 1, 0, 0]),
        (23, [1, 2, 0, 0]),
    ] {
        let mut insns: Vec<Insn> = (1u8..).zip(args).map(|(reg, arg)| mov(reg, arg)).collect();
        insns.extend([call_helper(helper), exit()]);
        alike(&features, &tc(one(insns)), &ipv4(), &format!("helper {helper} with {args:?}"));
    }
}

/// What `bpf_fib_lookup` refuses; what it finds is each machine's own (and the engine's table's).
#[test]
fn routes_that_are_not_looked_up() {
    let Some(features) = real_kernel() else { return };
    for (family, len, flags) in [(2, 63, 0), (2, 64, 64), (2, 64, 1 << 20), (7, 64, 0), (0, 64, 0)]
    {
        let mut insns = vec![mov_reg(6, 1)];
        for slot in 1..=8i16 {
            insns.push(ins(0x7a, 10, 0, -8 * slot, 0));
        }
        insns.extend([ins(0x72, 10, 0, -64, family), ins(0x62, 10, 0, -56, 1)]);
        insns.extend([mov_reg(1, 6), mov_reg(2, 10), add(2, -64), mov(3, len), mov(4, flags)]);
        insns.extend([call_helper(69), exit()]);
        let what = format!("family {family}, {len} bytes, flags {flags:#x}");
        for set in [one(insns.clone()), tc(one(insns))] {
            alike(&features, &set, &ipv4(), &what);
        }
    }
}

/// A prog array takes programs of one type, all with packets in several buffers or none.
#[test]
fn prog_arrays_are_of_one_kind() {
    let set = |frags: bool| {
        let mut set = SetBuilder::new();
        let values = vec![(0, SlotRef::Image(1))];
        let slots = set.defined("slots", MapSpec { map_type: 3, values, ..array(1) });
        let mut insns: Vec<Insn> = imm64(2).into();
        insns.extend([mov(3, 0), call_helper(12), mov(0, 1), exit()]);
        set.image("calls", insns, &[(0, ImageTarget::Map(slots))]);
        set.image("called", vec![mov(0, 2), exit()], &[]);
        let mut set = set.finish();
        set.images[1].program.frags = frags;
        set
    };
    if let Some(features) = real_kernel() {
        assert!(load(&set(false), &features).is_ok() && load(&set(true), &features).is_err());
    }
    let loaded = Engine::load(&set(false), &EngineOptions::default()).unwrap();
    let code = loaded.entries()[0].runner().run(&[0; 64], &Default::default()).unwrap().verdict;
    assert_eq!(code.code, 2);
    let error = Engine::load(&set(true), &EngineOptions::default()).unwrap_err().to_string();
    assert!(error.contains("slots") && error.contains("cannot share"), "{error}");
}

/// Text: the format and its arguments are in a data section.
#[test]
fn formatted_text() {
    let Some(features) = real_kernel() else { return };
    for (format, size) in [
        ("%d %u %x", 64),
        ("%llx|%ld|%hhd", 64),
        ("%5d %-5d| %05u", 64),
        ("%c%% %i", 64),
        ("%d %u %x", 7),
        ("plain", 64),
        ("%y", 64),
        ("%s", 64),
        ("%d", 0),
    ] {
        let mut set = SetBuilder::new();
        let mut text = format.as_bytes().to_vec();
        text.push(0);
        text.resize(text.len().next_multiple_of(4), 0);
        let words: Vec<u32> =
            text.chunks(4).map(|w| u32::from_ne_bytes(w.try_into().unwrap())).collect();
        let map = set.data(".rodata", bpfweld_object::DataKind::Rodata, &words);
        // 64 bytes of the stack for the text, three arguments below.
        let mut insns = Vec::new();
        for slot in 1..=8i16 {
            insns.push(ins(0x7a, 10, 0, -8 * slot, 0));
        }
        for (slot, argument) in [(9i16, -5), (10, 77), (11, 0x1f2f)] {
            insns.push(ins(0x7a, 10, 0, -8 * slot, argument));
        }
        insns.extend([mov_reg(1, 10), add(1, -64), mov(2, size)]);
        let at = insns.len() as u32;
        insns.extend(imm64(3));
        insns.extend([mov_reg(4, 10), add(4, -88), mov(5, 24), call_helper(165)]);
        // The answer, and all of the text.
        for slot in 1..=8i16 {
            insns.push(ins(0x27, 0, 0, 0, 33));
            insns.extend([ins(0x79, 1, 10, -8 * slot, 0), ins(0x0f, 0, 1, 0, 0)]);
        }
        insns.push(exit());
        set.image("text", insns, &[(at, ImageTarget::MapValue { map, offset: 0 })]);
        let set = set.finish();
        match load(&set, &features) {
            Ok(_) => drop(alike(&features, &set, &[0; 64], &format!("{format:?} into {size}"))),
            // What the verifier refuses of a format, the engine answers with an error.
            Err(_) => {
                let loaded = Engine::load(&set, &EngineOptions::default()).unwrap();
                let mut runner = loaded.entries()[0].runner();
                let outcome = runner.run(&[0; 64], &Default::default()).unwrap();
                assert_ne!(outcome.verdict.code, 0, "{format:?}");
            }
        }
    }
}

#[test]
fn dynptrs() {
    let Some(features) = real_kernel() else { return };
    let mut set = SetBuilder::new();
    let ring = MapSpec { map_type: 27, key_size: 0, value_size: 0, ..array(4096) };
    let ring = set.defined("ring", ring);
    let area = set.defined("area", MapSpec { value_size: 64, ..array(1) });
    let value = ImageTarget::MapValue { map: area, offset: 0 };
    let mut insns = Vec::new();
    let mut relocs = Vec::new();
    let sum = |insns: &mut Vec<Insn>| {
        insns.extend([ins(0x27, 7, 0, 0, 31), ins(0x0f, 7, 0, 0, 0)]);
    };
    insns.extend([mov(7, 0), ins(0x7a, 10, 0, -32, 0x1234), ins(0x7a, 10, 0, -24, 0x77)]);
    // From a map's value.
    relocs.push((insns.len() as u32, value.clone()));
    insns.extend(imm64(1));
    insns.extend([mov(2, 40), mov(3, 0), mov_reg(4, 10), add(4, -16), call_helper(197)]);
    sum(&mut insns);
    // Writes and reads, inside, at the end, and beyond.
    for (helper, offset, len) in [
        (202, 0, 8),
        (202, 33, 8),
        (202, 32, 8),
        (201, 32, 8),
        (201, 41, 1),
        (201, 40, 0),
        (201, 2, 8),
    ] {
        match helper {
            202 => insns.extend([
                mov_reg(1, 10),
                add(1, -16),
                mov(2, offset),
                mov_reg(3, 10),
                add(3, -32),
                mov(4, len),
            ]),
            _ => insns.extend([
                mov_reg(1, 10),
                add(1, -24),
                mov(2, len),
                mov_reg(3, 10),
                add(3, -16),
                mov(4, offset),
            ]),
        }
        insns.extend([mov(5, 0), call_helper(helper)]);
        sum(&mut insns);
        insns.extend([ins(0x79, 0, 10, -24, 0)]);
        sum(&mut insns);
    }
    // A slice of it.
    insns.extend([mov_reg(1, 10), add(1, -16), mov(2, 8), mov(3, 8), call_helper(203)]);
    insns.extend([ins(0x15, 0, 0, 2, 0), ins(0x7a, 0, 0, 0, 0x55), ins(0x79, 0, 0, 0, 0)]);
    sum(&mut insns);
    // A record of a ring buffer; submitted.
    relocs.push((insns.len() as u32, ImageTarget::Map(ring)));
    insns.extend(imm64(1));
    insns.extend([mov(2, 24), mov(3, 0), mov_reg(4, 10), add(4, -48), call_helper(198)]);
    sum(&mut insns);
    insns.extend([
        mov_reg(1, 10),
        add(1, -48),
        mov(2, 16),
        mov_reg(3, 10),
        add(3, -32),
        mov(4, 8),
        mov(5, 0),
        call_helper(202),
    ]);
    sum(&mut insns);
    insns.extend([mov_reg(1, 10), add(1, -48), mov(2, 0), call_helper(199)]);
    // One that is too long; given back all the same.
    relocs.push((insns.len() as u32, ImageTarget::Map(ring)));
    insns.extend(imm64(1));
    insns.extend([mov(2, 8192), mov(3, 0), mov_reg(4, 10), add(4, -48), call_helper(198)]);
    sum(&mut insns);
    insns.extend([mov_reg(1, 10), add(1, -48), mov(2, 0), call_helper(200), mov_reg(0, 7), exit()]);
    set.image("dynptrs", insns, &relocs);
    let set = set.finish();
    alike(&features, &set, &[0; 64], "dynptrs");
    let loaded = Engine::load(&set, &EngineOptions::default()).unwrap();
    loaded.entries()[0].runner().run(&[0; 64], &Default::default()).unwrap();
    let record = loaded.maps()[0].consume().unwrap().unwrap();
    assert_eq!(record[16..24], 0x1234u64.to_ne_bytes());
    assert_eq!(loaded.maps()[0].consume().unwrap(), None);
}

/// Without the kernel: nothing reaches from one record of a ring buffer into the next.
#[test]
fn records_have_bounds() {
    let run = |offset: i16, behind_commit: bool| {
        let mut set = SetBuilder::new();
        let ring = MapSpec { map_type: 27, key_size: 0, value_size: 0, ..array(4096) };
        let ring = set.defined("ring", ring);
        let mut insns: Vec<Insn> = imm64(1).into();
        insns.extend([mov(2, 16), mov(3, 0), call_helper(131), mov_reg(6, 0)]);
        if behind_commit {
            insns.extend([mov_reg(1, 6), mov(2, 0), call_helper(132)]);
        }
        insns.extend([ins(0x7a, 6, 0, offset, 7), mov_reg(1, 6), mov(2, 0), call_helper(132)]);
        insns.extend([mov(0, 2), exit()]);
        set.image("records", insns, &[(0, ImageTarget::Map(ring))]);
        let loaded = Engine::load(&set.finish(), &EngineOptions::default()).unwrap();
        let mut runner = loaded.entries()[0].runner();
        // Twice: what a run left open does not hold up the next one.
        runner.run(&[0; 64], &Default::default()).unwrap();
        let fault = runner.run(&[0; 64], &Default::default()).unwrap().fault;
        let mut records = 0;
        while loaded.maps()[0].consume().unwrap().is_some() {
            records += 1;
        }
        (fault.map(|fault| fault.to_string()), records)
    };
    assert_eq!(run(8, false), (None, 2));
    for (offset, committed, records) in
        [(9, false, 0), (16, false, 0), (-8, false, 0), (0, true, 2)]
    {
        let (fault, seen) = run(offset, committed);
        assert!(fault.as_ref().is_some_and(|f| f.contains("cannot write")), "{offset}: {fault:?}");
        assert_eq!(seen, records, "{offset}");
    }
}

/// Sockets are never found, and what the engine does not have is a fault with its name.
#[test]
fn what_the_engine_does_not_have() {
    let run = |number: i32| {
        let insns = vec![
            mov_reg(2, 10),
            add(2, -16),
            mov(3, 12),
            mov(4, 0),
            mov(5, 0),
            call_helper(number),
            exit(),
        ];
        let loaded = Engine::load(&one(insns), &EngineOptions::default()).unwrap();
        let mut runner = loaded.entries()[0].runner();
        let outcome = runner.run(&[0; 64], &Default::default()).unwrap();
        (outcome.verdict.code, outcome.fault.map(|fault| fault.kind.to_string()))
    };
    for lookup in [84, 85, 99] {
        assert_eq!(run(lookup), (0, None));
    }
    for (number, name) in
        [(169, "bpf_timer_init"), (35, "bpf_get_current_task"), (86, "bpf_sk_release")]
    {
        let fault = run(number).1.unwrap();
        assert!(fault.contains(name), "{fault}");
    }
    assert!(run(5000).1.unwrap().contains("5000"));
}
