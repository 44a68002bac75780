//! The generated root of a chain, run in the engine and, where permitted, in the kernel: what it does
//! with every verdict of every member.

#![allow(clippy::unwrap_used, clippy::panic)] // That is how a test fails.

use std::sync::Arc;

use bpfweld::engine::EngineOptions;
use bpfweld::kernel::RunOptions;
use bpfweld::link::chain_root::{
    COUNTER_SLOTS, COUNTERS_MAP, MAX_MEMBERS, Member, Root, RootError, Verdicts, extern_name,
    generate, tail_caller,
};
use bpfweld::link::{ImageSet, read_back};
use bpfweld::object::{Linkage, Object};
use bpfweld::{Backend, BackendChoice, Kernel, Link, LinkOptions, LoadOptions};

const PACKET: [u8; 64] = [0; 64];

/// A program that returns this number.
fn returns(verdict: i32) -> Arc<Object> {
    let mut object = generate(&Root { name: "constant", ..Root::new(&[]) }).unwrap();
    let set = object.functions[0].insns.to_mut().iter_mut().find(|i| i.imm == 2).unwrap();
    set.imm = verdict;
    Arc::new(object)
}

/// The image of a root over programs that return these numbers, each going on after its verdicts.
fn chain(members: &[(i32, Verdicts)], root: Root<'_>) -> ImageSet {
    let named: Vec<_> = (0..)
        .zip(members)
        .map(|(slot, m)| Member { goes_on: m.1, slot, ..Member::new("constant") })
        .collect();
    let root = generate(&Root { members: &named, ..root }).unwrap();
    let mut link = Link::new();
    let at = link.add("chain", root).unwrap();
    for (i, (verdict, _)) in members.iter().enumerate() {
        let to = link.add(&format!("m{i}"), returns(*verdict)).unwrap();
        link.bind(at, &extern_name(i), to, None).unwrap();
    }
    let linked = link.link(&LinkOptions::default()).unwrap();
    let images = linked.images(&[linked.entry(at, None).unwrap()]).unwrap();
    read_back::check(&images).unwrap();
    read_back::check_types(&images).unwrap();
    assert_eq!(images.warnings, [""; 0]);
    images
}

/// In the engine, and in the kernel where that is permitted.
fn backends(images: &ImageSet) -> Vec<Backend> {
    let (kernel, options) = (Kernel::new(), LoadOptions::default());
    let load = |choice| {
        Backend::load(choice, images, &kernel, &options, EngineOptions::default).unwrap().0
    };
    vec![load(BackendChoice::Engine), load(BackendChoice::Auto)]
}

fn verdict(members: &[(i32, Verdicts)], root: Root<'_>) -> u32 {
    let images = chain(members, root);
    let run =
        |b: Backend| b.runner().unwrap().run(&PACKET, &RunOptions::default()).unwrap().verdict.code;
    let got: Vec<_> = backends(&images).into_iter().map(run).collect();
    assert_eq!(got[0], got[1], "engine and kernel differ on {members:?}");
    got[0]
}

fn set(bits: u32) -> Verdicts {
    Verdicts::from_bits(bits).unwrap()
}

#[test]
fn every_verdict_against_every_set() {
    // What the chain does, told in another way than the code tells it.
    for bits in 0..32 {
        for returned in [0, 1, 2, 3, 4, 5, 31, 32, 33, -1, i32::MIN, i32::MAX] {
            let known = if (0..=4).contains(&returned) { returned } else { 0 };
            let goes_on = bits >> known & 1 == 1;
            let two = [(returned, set(bits)), (3, Verdicts::PASS)];
            let wanted = if goes_on { 3 } else { known as u32 };
            assert_eq!(verdict(&two, Root::new(&[])), wanted, "{bits:05b} {returned}");
            // The last one: going on is the end of the chain.
            let one = [(returned, set(bits))];
            let wanted = if goes_on { 1 } else { known as u32 };
            assert_eq!(verdict(&one, Root { end: 1, ..Root::new(&[]) }), wanted, "{bits:05b}");
        }
    }
}

#[test]
fn no_members_and_as_many_as_there_may_be() {
    assert_eq!(verdict(&[], Root { end: 4, ..Root::new(&[]) }), 4);
    let mut most = vec![(2, Verdicts::PASS); MAX_MEMBERS];
    most[MAX_MEMBERS - 1] = (3, Verdicts::ALL.with(3));
    most[MAX_MEMBERS - 1].1 = Verdicts::NONE;
    assert_eq!(verdict(&most, Root { counters: true, ..Root::new(&[]) }), 3);
    let too_many = vec![Member::new("m"); MAX_MEMBERS + 1];
    assert!(matches!(generate(&Root::new(&too_many)), Err(RootError::TooMany { count: 256 })));
}

#[test]
fn verdicts_are_counted() {
    let members = [
        (2, Verdicts::PASS),
        (77, Verdicts::NONE.with(0)),
        (1, Verdicts::PASS),
        (2, Verdicts::PASS),
    ];
    let images = chain(&members, Root { counters: true, ..Root::new(&[]) });
    for backend in backends(&images) {
        let mut runner = backend.runner().unwrap();
        for _ in 0..3 {
            runner.run(&PACKET, &RunOptions::default()).unwrap();
        }
        let Backend::Kernel(loaded) = &backend else { continue };
        let map = loaded.maps().iter().find(|m| m.name() == COUNTERS_MAP).unwrap();
        let sums = |slot: u32| -> [u64; 6] {
            let value = map.lookup(&slot.to_ne_bytes()).unwrap().unwrap();
            let mut sums = [0; 6];
            for (i, word) in value.chunks_exact(8).enumerate() {
                sums[i % 6] += u64::from_ne_bytes(word.try_into().unwrap());
            }
            sums
        };
        assert_eq!(sums(0), [0, 0, 3, 0, 0, 0]);
        assert_eq!(sums(1), [0, 0, 0, 0, 0, 3]);
        assert_eq!(sums(2), [0, 3, 0, 0, 0, 0]);
        assert_eq!(sums(3), [0; 6]);
    }
    let member = Member { slot: COUNTER_SLOTS, ..Member::new("m") };
    let bad = generate(&Root { counters: true, ..Root::new(&[member]) });
    assert!(matches!(bad, Err(RootError::Slot { .. })));
}

#[test]
fn frags_are_the_and_of_all() {
    let plain = chain(&[(2, Verdicts::PASS)], Root { frags: false, ..Root::new(&[]) });
    assert!(!plain.images[0].program.frags);
    let frags = chain(&[(2, Verdicts::PASS)], Root::new(&[]));
    assert!(frags.images[0].program.frags);
}

#[test]
fn the_listing_says_what_runs() {
    let images = chain(&[(2, Verdicts::NONE.with(2).with(3))], Root::new(&[]));
    let text = |i: usize| {
        let off = images.images[0].lines[i].line_off;
        String::from_utf8_lossy(images.btf.bytes_at(off).unwrap()).into_owned()
    };
    assert_eq!(text(0), "verdict = constant(ctx); // goes on after XDP_PASS,XDP_TX");
    assert_eq!(text(1), "return XDP_PASS; // the end of the chain");
}

#[test]
fn verdicts_have_names() {
    assert_eq!(set(0b10101).to_string(), "XDP_ABORTED,XDP_PASS,XDP_REDIRECT");
    assert_eq!(Verdicts::number("xdp_drop"), Some(1));
    assert_eq!(Verdicts::number("TX"), Some(3));
    assert_eq!(Verdicts::number("XDP_"), None);
    assert_eq!(Verdicts::from_bits(32), None);
    assert!(set(1).contains(99) && !set(2).contains(99));
}

#[test]
fn the_type_of_a_member_is_looked_at() {
    // The root's own BTF, with its function's type bent to something that is no XDP program.
    use bpfweld::btf::{BtfBuilder, IntEncoding, Linkage as BtfLinkage, TypeId};
    let mut b = BtfBuilder::new();
    let int = b.add_int("int", 4, IntEncoding { signed: true, bits: 32, ..Default::default() });
    let ptr = b.add_ptr(TypeId::VOID);
    let two = b.add_func_proto(int, &[("a", ptr), ("b", int)]);
    let void = b.add_func_proto(TypeId::VOID, &[("a", ptr)]);
    let good = b.add_func_proto(int, &[("a", ptr)]);
    let funcs = [two, void, good].map(|p| b.add_func("f", p, BtfLinkage::Global));
    let btf = b.finish().unwrap();
    let with = |func| Member { types: Some((&btf, func)), ..Member::new("f") };
    for func in &funcs[..2] {
        let error = generate(&Root::new(&[with(*func)])).unwrap_err();
        assert!(matches!(error, RootError::Prototype { .. }), "{error}");
    }
    let root = generate(&Root::new(&[with(funcs[2])])).unwrap();
    let btf = root.btf.as_ref().unwrap();
    let declaration = btf.c_declaration(root.externs[0].type_id.unwrap(), "member0");
    assert_eq!(declaration, "int member0(void *a)");
}

#[test]
fn a_loaded_program_is_reached_by_tail_call() {
    let kernel = Kernel::new();
    let options = LoadOptions::default();
    let inner = chain(&[(3, Verdicts::PASS)], Root::new(&[]));
    let Ok(inner) = kernel.load(&inner, &options) else {
        println!("skipped: no permission to load programs");
        return;
    };
    let caller = tail_caller("foreign", 2, true).unwrap();
    let types = caller.btf.clone().zip(caller.functions[0].btf_func);
    let member = |goes_on| Member {
        goes_on,
        types: types.as_ref().map(|(b, f)| (&**b, *f)),
        ..Member::new("foreign")
    };
    // Goes on after what the tail-called program said, and not after what the caller would say.
    for (goes_on, wanted) in [(Verdicts::PASS, 3), (Verdicts::NONE.with(3), 1)] {
        let members = [member(goes_on), Member::new("last")];
        let mut link = Link::new();
        let root = link.add("chain", generate(&Root::new(&members)).unwrap()).unwrap();
        let foreign = link.add("foreign", caller.clone()).unwrap();
        let last = link.add("last", returns(1)).unwrap();
        link.bind(root, &extern_name(0), foreign, None).unwrap();
        link.bind(root, &extern_name(1), last, None).unwrap();
        let linked = link.link(&LinkOptions::default()).unwrap();
        let images = linked.images(&[linked.entry(root, None).unwrap()]).unwrap();
        assert!(images.images[0].functions.iter().all(|f| f.global));
        let loaded = kernel.load(&images, &options).unwrap();
        let run = || {
            let mut runner = loaded.entries()[0].runner();
            runner.run(&PACKET, &RunOptions::default()).unwrap().verdict.code
        };
        // Nothing in the slot: what the caller says otherwise, which is XDP_PASS.
        assert_eq!(run(), if goes_on == Verdicts::PASS { 1 } else { 2 });
        use std::os::fd::AsRawFd;
        let fd = inner.entries()[0].fd().as_raw_fd();
        let slot = loaded.map(foreign, "programs").unwrap();
        slot.update(&0u32.to_ne_bytes(), &fd.to_ne_bytes()).unwrap();
        assert_eq!(run(), wanted, "goes on after {goes_on}");
    }
    assert_eq!(caller.functions[0].linkage, Linkage::Global);
}
