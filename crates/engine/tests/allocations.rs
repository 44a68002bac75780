//! Work per packet allocates nothing.

#![allow(clippy::unwrap_used, reason = "so a test fails")]

use std::alloc::System;
use std::path::Path;
use std::sync::Arc;

use bpfweld_engine::{Engine, EngineOptions, RunOptions};
use bpfweld_link::{InstanceId, Link, LinkOptions};
use bpfweld_object::Object;
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

#[global_allocator]
static COUNTING: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// Runs packets of several lengths through a root whose externs are bound to the objects, first to warm
/// up, then counted.
fn runs(case: &str, root: &str, members: &[(&str, &str)]) {
    let open = |name: &str| {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../cases").join(case).join(name);
        Arc::new(Object::open(&path).unwrap())
    };
    let mut link = Link::new();
    link.add(root, open(root)).unwrap();
    for (name, object) in members {
        let id = link.add(object, open(object)).unwrap();
        link.bind(InstanceId(0), name, id, None).unwrap();
    }
    let linked = link.link(&LinkOptions::default()).unwrap();
    let images = linked.images(&[linked.entry(InstanceId(0), None).unwrap()]).unwrap();
    let loaded = Engine::load(&images, &EngineOptions::default()).unwrap();
    let mut runner = loaded.entries()[0].runner();
    let packet = [0x55; 1500];
    let mut pass = || {
        for len in [60, 64, 1500, 600] {
            let outcome = runner.run(&packet[..len], &RunOptions::default()).unwrap();
            assert_eq!(outcome.fault, None);
        }
    };
    pass();
    // The test harness has a thread of its own, which allocates now and then.
    let least = (0..5).map(|_| {
        let region = Region::new(COUNTING);
        for _ in 0..500 {
            pass();
        }
        let change = region.change();
        change.allocations + change.reallocations
    });
    assert_eq!(least.min(), Some(0), "{case}");
}

#[test]
fn work_per_packet_allocates_nothing() {
    let members: Vec<(String, String)> =
        (0..10).map(|n| (format!("member{n}"), format!("m{n}.o"))).collect();
    let members: Vec<_> = members.iter().map(|(a, b)| (a.as_str(), b.as_str())).collect();
    runs("chain10", "root.o", &members);
    // Maps that grow at first, calls, a redirect or a drop.
    runs("capture", "root.o", &[("prog1", "filter.o"), ("prog2", "count.o")]);
}
