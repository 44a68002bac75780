//! Test runs in the running kernel. Needs root (or CAP_BPF and CAP_NET_ADMIN); what cannot run here
//! says `SKIPPED`.

#![allow(clippy::unwrap_used, clippy::panic)] // That is how a test fails.

mod common;

use bpfweld_kernel::facts::prog_type;
use bpfweld_kernel::{Feature, RunError, RunOptions, XdpContext};
use bpfweld_object::ProgramType;
use common::*;

#[test]
fn packets_that_the_kernel_cannot_take() {
    let Some(features) = real_kernel() else { return };
    let loaded = load(&pass_set().finish(), &features).unwrap();
    let mut runner = loaded.programs()[0].runner();
    let options = RunOptions::default();
    for len in [0, 1, 13] {
        let result = runner.run(&vec![0; len], &options);
        assert!(matches!(result, Err(RunError::TooShort { len: l }) if l == len));
    }
    assert_eq!(runner.run(&[0; 14], &options).unwrap().packet.len(), 14);
    // How much fits depends on the kernel and its page size; a megabyte does nowhere.
    let mut refused = false;
    for len in [1500, 4096, 9000, 70_000, 1 << 20] {
        match runner.run(&vec![0; len], &options) {
            Ok(outcome) => assert!(!refused && outcome.packet.len() == len, "{len}"),
            Err(RunError::TooLong { len: l }) => {
                assert_eq!(l, len);
                refused = true;
            }
            Err(e) => panic!("{len}: {e}"),
        }
    }
    assert!(refused);
    // The next one is none the worse for it.
    assert_eq!(runner.run(&PACKET, &options).unwrap().verdict.to_string(), "XDP_PASS");
    if features.get(Feature::XdpFrags) {
        let mut set = pass_set();
        set.images[0].program.frags = true;
        let loaded = load(&set.finish(), &features).unwrap();
        let long: Vec<u8> = (0..9000u32).map(|n| n as u8).collect();
        let mut runner = loaded.programs()[0].runner();
        assert_eq!(runner.run(&long, &options).unwrap().packet, long);
    }
}

#[test]
fn what_a_program_does_to_the_packet_shows() {
    let Some(features) = real_kernel() else { return };
    // bpf_xdp_adjust_head(ctx, -16)
    let mut set = SetBuilder::new();
    let insns = vec![mov(2, -16), call_helper(44), mov(0, 2), exit()];
    set.image("grow", insns, &[]);
    let loaded = load(&set.finish(), &features).unwrap();
    let mut runner = loaded.programs()[0].runner();
    let outcome = runner.run(&PACKET, &RunOptions::default()).unwrap();
    assert_eq!(outcome.packet.len(), 80);
    assert_eq!(outcome.packet[16..], PACKET);
}

#[test]
fn context_of_a_test_run() {
    let Some(features) = real_kernel() else { return };
    if !features.get(Feature::TestRunContext) {
        return skip("needs feature:test-run-context");
    }
    // return ctx->data - ctx->data_meta
    let mut set = SetBuilder::new();
    let insns = vec![load_u32(2, 1, 8), load_u32(0, 1, 0), ins(0x1f, 0, 2, 0, 0), exit()];
    set.image("metadata", insns, &[]);
    let loaded = load(&set.finish(), &features).unwrap();
    let mut runner = loaded.programs()[0].runner();
    let with = |metadata| RunOptions {
        context: Some(XdpContext { metadata, ..Default::default() }),
        ..Default::default()
    };
    let outcome = runner.run(&PACKET, &with(8)).unwrap();
    assert_eq!((outcome.verdict.code, outcome.metadata), (8, 8));
    assert_eq!(outcome.packet, PACKET);
    assert!(matches!(runner.run(&PACKET, &with(6)), Err(RunError::Metadata { metadata: 6 })));
    assert!(matches!(runner.run(&PACKET, &with(60)), Err(RunError::TooShort { len: 4 })));
}

#[test]
fn classifiers_run_too() {
    let Some(features) = real_kernel() else { return };
    let mut set = SetBuilder::new();
    set.image("tc", vec![mov(0, 2), exit()], &[]);
    set.images[0].program.prog_type = ProgramType(prog_type::SCHED_CLS);
    set.images[0].program.attach_type = None;
    let loaded = load(&set.finish(), &features).unwrap();
    let mut runner = loaded.programs()[0].runner();
    let outcome = runner.run(&PACKET, &RunOptions::default()).unwrap();
    assert_eq!(outcome.verdict.to_string(), "TC_ACT_SHOT");
}

#[test]
fn syscalls_take_no_packets() {
    let Some(features) = real_kernel() else { return };
    // The first type that may sleep without being attached (Linux 5.14).
    if !features.get(Feature::Sleepable) {
        return skip("needs feature:sleepable");
    }
    let mut set = SetBuilder::new();
    set.image("sys", vec![mov(0, 0), exit()], &[]);
    set.images[0].program.prog_type = ProgramType(prog_type::SYSCALL);
    set.images[0].program.attach_type = None;
    set.images[0].program.sleepable = true;
    let loaded = load(&set.finish(), &features).unwrap();
    let mut runner = loaded.programs()[0].runner();
    let result = runner.run(&PACKET, &RunOptions::default());
    assert!(matches!(result, Err(RunError::NoTestRun(_))));
}
