//! Every fixture with bytes flipped, overwritten and cut off: reading and linking answer with an
//! object or a typed error, soon, and never with a panic. What still links is offered to the kernel,
//! where there is one to ask, and leaves nothing behind.

#![allow(clippy::unwrap_used, clippy::panic)] // That is how a test fails.

mod damaged;

use std::cell::Cell;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bpfweld::link::read_back;
use bpfweld::{Feature, ImageSet, InstanceId, Kernel, Link, LinkOptions, LoadOptions, Object};
use damaged::{apply, damage, fixtures};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

/// Reads and links every entry program of one object, nothing bound. Gives what came out.
fn weld(bytes: &[u8]) -> Vec<ImageSet> {
    let Ok(object) = Object::parse("damaged.o", bytes) else { return Vec::new() };
    let object = Arc::new(object);
    let names: Vec<_> =
        object.functions.iter().filter(|f| f.program.is_some()).map(|f| f.name.clone()).collect();
    let mut sets = Vec::new();
    for name in names {
        let mut link = Link::new();
        let Ok(root) = link.add("damaged", object.clone()) else { continue };
        // A second instance that externs may resolve to by name, and one bound to itself.
        let Ok(other) = link.add("other", object.clone()) else { continue };
        for ext in &object.externs {
            // Whether it can be bound is what is being tried.
            let _ = link.bind(root, &ext.name, other, None);
        }
        let Ok(linked) = link.link(&LinkOptions::default()) else { continue };
        let Ok(entry) = linked.entry(InstanceId(0), Some(&name)) else { continue };
        if let Ok(set) = linked.images(&[entry]) {
            assert_eq!(read_back::check(&set), Ok(()));
            sets.push(set);
        }
    }
    sets
}

#[test]
fn damaged_objects_are_read_and_linked_or_refused() {
    let kernel = Kernel::new();
    // BPFWELD_DAMAGE=N tries N damages of each fixture instead.
    let cases = std::env::var("BPFWELD_DAMAGE").ok().and_then(|n| n.parse().ok()).unwrap_or(48);
    let loads = kernel.features().get(Feature::TestRunXdp);
    if !loads {
        eprintln!("not offered to the kernel: that needs bpf(2), as root");
    }
    let (tried, linked, taken) = (Cell::new(0u32), Cell::new(0u32), Cell::new(0u32));
    let add = |to: &Cell<u32>, n: bool| to.set(to.get() + u32::from(n));
    for path in fixtures() {
        let bytes = std::fs::read(&path).unwrap();
        let config = Config { cases, failure_persistence: None, ..Config::default() };
        let damages = prop::collection::vec(damage(), 1..4);
        let run = TestRunner::new(config).run(&damages, |damages| {
            let mut bytes = bytes.clone();
            damages.iter().for_each(|d| apply(&mut bytes, d));
            let start = Instant::now();
            let sets = weld(&bytes);
            prop_assert!(start.elapsed() < Duration::from_secs(5), "took {:?}", start.elapsed());
            add(&tried, true);
            add(&linked, !sets.is_empty());
            // The verifier takes its time; a few of each fixture do.
            for set in sets.iter().filter(|_| loads && tried.get().is_multiple_of(8)) {
                add(&taken, kernel.load(set, &LoadOptions::default()).is_ok());
            }
            Ok(())
        });
        if let Err(error) = run {
            panic!("{}: {error}", path.display());
        }
    }
    let (tried, linked, taken) = (tried.get(), linked.get(), taken.get());
    // Damage that never breaks anything, or always does, would test nothing.
    assert!(linked > 0 && linked < tried, "{linked} of {tried} damaged objects still link");
    assert!(!loads || taken > 0, "the kernel took none of them");
    eprintln!("{tried} damaged objects: {linked} still link, {taken} of those tried are taken");
}
