//! Instances that are loaded already as targets of a later link: they share their maps with it. Needs
//! bpf(2); what cannot run here says `SKIPPED`.

#![allow(clippy::unwrap_used, clippy::panic)] // That is how a test fails.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use bpfweld::kernel::RunOptions;
use bpfweld::{
    Feature, ImageSet, InstanceId, Kernel, Link, LinkOptions, LoadOptions, Loaded, Object, Request,
    Wire, add_loaded, weld,
};

fn case(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../cases").join(path)
}

/// The running kernel; `None`, with a message past the test runner, where it takes no programs.
fn kernel() -> Option<Kernel> {
    let kernel = Kernel::new();
    if kernel.features().get(Feature::TestRunXdp) {
        return Some(kernel);
    }
    let thread = std::thread::current();
    let name = thread.name().unwrap_or("?");
    let _ = writeln!(std::io::stderr(), "SKIPPED {name}: needs bpf(2), as root");
    None
}

fn request(paths: &[&str]) -> Request {
    let objects = paths.iter().map(|p| ((*p).to_owned(), case(p))).collect();
    Request { objects, ..Request::default() }
}

fn finish(link: Link, kernel: &Kernel) -> (ImageSet, Loaded) {
    let linked = link.link(&LinkOptions::default()).unwrap();
    let root = InstanceId(0);
    let images = linked.images(&[linked.entry(root, None).unwrap()]).unwrap();
    assert_eq!(bpfweld::link::read_back::check_types(&images), Ok(()));
    let loaded = kernel.load(&images, &LoadOptions::default()).unwrap();
    assert_eq!(loaded.warnings(), &[] as &[String]);
    (images, loaded)
}

fn run(loaded: &Loaded) -> u32 {
    let mut runner = loaded.programs()[0].runner();
    runner.run(&[0; 64], &RunOptions::default()).unwrap().verdict.code
}

/// `counter.o` returns the number of its runs, plus ten times the same from its `.bss`.
#[test]
fn a_later_link_shares_maps_and_data_with_its_target() {
    let Some(kernel) = kernel() else { return };
    let (target_set, target) =
        weld(&request(&["instances/counter.o"]), &kernel, &LoadOptions::default()).unwrap();
    assert_eq!(run(&target), 11);

    let mut link = Link::new();
    let root = link.add("root", Object::open(case("instances/root.o")).unwrap()).unwrap();
    let shared = add_loaded(&mut link, "shared", &target_set, &target, Request::ROOT).unwrap();
    let own = link.add("own", Object::open(case("instances/counter.o")).unwrap()).unwrap();
    link.bind(root, "first", shared, Some("count")).unwrap();
    link.bind(root, "second", own, Some("count")).unwrap();
    let (_, caller) = finish(link, &kernel);
    // The shared counter goes on at 2; `second` runs for every other packet, from 1.
    assert_eq!(run(&caller), 22_000);
    assert_eq!(run(&caller), 33_011);
    // And the target sees what the caller did.
    assert_eq!(run(&target), 44);
}

#[test]
fn instances_that_a_loaded_one_is_bound_to_come_along() {
    let Some(kernel) = kernel() else { return };
    let mut chain = request(&["three-objects/middle.o", "three-objects/leaf.o"]);
    let wire = Wire { from: 0, name: "deeper".into(), to: 1, function: Some("leaf".into()) };
    chain.bindings.push(wire);
    let (set, loaded) = weld(&chain, &kernel, &LoadOptions::default()).unwrap();
    assert_eq!(run(&loaded), 11);

    let mut link = Link::new();
    let root = link.add("root", Object::open(case("three-objects/root.o")).unwrap()).unwrap();
    let middle = add_loaded(&mut link, "chain", &set, &loaded, Request::ROOT).unwrap();
    link.bind(root, "next", middle, None).unwrap();
    let labels: Vec<_> = link.instances().iter().map(|i| i.label.as_str()).collect();
    assert_eq!(labels, ["root", "chain", "chain/three-objects/leaf.o"]);
    let (images, caller) = finish(link, &kernel);
    assert_eq!(run(&caller), 111);
    assert_eq!(images.images[0].functions.len(), 3);
}
