//! Somebody else changes the interface's program between the building of a chain and its swap. Needs root.

#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout)] // That is how a test fails.

use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

use bpfweld::Kernel;
use bpfweld::insn::{EXIT, Insn};
use bpfweld::kernel::netlink::{self, Expected};
use bpfweld::kernel::sys::{Command, FileCall, NetCall, ObjectKind, ProgLoad, Scripted};
use bpfweld::kernel::{Feature, RealSys, Sys};
use bpfweld_chain::{Chain, ChainError, Chains, NewMember, Options, Plan, Select, XdpMode};
use place::Place;

mod place;

/// The loopback interface.
const LO: u32 = 1;
/// `RTM_SETLINK`.
const SET_LINK: u16 = 19;

fn object(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../cases/chain").join(name)
}

fn step(name: &str) -> NewMember {
    NewMember::open(object("step.o"), &Select::First).unwrap().named(name)
}

fn skb() -> Options {
    Options { mode: XdpMode::Skb, ..Options::default() }
}

fn real() -> &'static dyn Sys {
    &RealSys
}

fn names(chain: &Chain<'_>) -> Vec<String> {
    chain.members().into_iter().map(|m| m.name).collect()
}

/// `r0 = 2; exit`
fn somebodys_program() -> OwnedFd {
    let insns = [Insn::new(0xb7, 0, 0, 0, 2), Insn::new(EXIT, 0, 0, 0, 0)];
    let program = ProgLoad {
        prog_type: 6,
        insns: &insns,
        license: "GPL",
        name: "somebodys",
        ..ProgLoad::default()
    };
    real().load_program(&program, None).unwrap()
}

/// Is it the step that puts a program on an interface, or another in its place?
fn swaps(command: &Command<'_>) -> bool {
    match command {
        Command::LinkCreate { target, .. } => *target != 0,
        Command::LinkUpdate { .. } => true,
        Command::Net(NetCall::Netlink { request, .. }) => {
            request.get(4..6) == Some(&SET_LINK.to_ne_bytes())
        }
        _ => false,
    }
}

/// Is it what is done about a swap that was lost?
fn gives_up(command: &Command<'_>) -> bool {
    matches!(command, Command::File(FileCall::Remove { path }) if path.ends_with("next"))
}

/// A kernel where something happens before some calls.
fn kernel(meddle: impl Fn(&Command<'_>) + Send + Sync + 'static) -> Kernel {
    let script = move |command: &mut Command<'_>| {
        meddle(command);
        None
    };
    Kernel::with_sys(Arc::new(Scripted::new(script).before(RealSys)))
}

/// Takes off what an interface of this namespace runs.
fn take_off(index: u32) {
    let runs = netlink::by_index(real(), index).unwrap().unwrap().program().1;
    let mut id = 0;
    while let Some(next) = real().next_id(ObjectKind::Link, id).unwrap() {
        id = next;
        let Ok(link) = real().fd_by_id(ObjectKind::Link, id) else { continue };
        if real().link_info(link.as_fd()).is_ok_and(|i| i.prog_id == runs && i.ifindex == index) {
            return real().detach_link(link.as_fd()).unwrap();
        }
    }
    let old = real().fd_by_id(ObjectKind::Prog, runs).unwrap();
    netlink::set_xdp(real(), index, XdpMode::Skb, None, Expected::Program(old.as_fd())).unwrap();
}

#[test]
fn taken_off_meanwhile() {
    let Some(place) = Place::new() else { return };
    for links in [true, false] {
        // The first swap is undisturbed; before the second, somebody is faster.
        let (swapped, loaded) = (AtomicU32::new(0), Arc::new(AtomicU32::new(0)));
        let count = loaded.clone();
        let kernel = kernel(move |command| {
            if let Command::ProgLoad { program, .. } = command
                && program.name == "xdp_chain"
            {
                count.fetch_add(1, Ordering::Relaxed);
            }
            if swaps(command) && swapped.fetch_add(1, Ordering::Relaxed) == 1 {
                take_off(LO);
            }
        });
        kernel.features().force(Feature::BpfLink, links);
        let chains = Chains::new(&kernel, place.dirs()).unwrap();
        let mut chain = chains.open("lo").unwrap();
        chain.load(&[step("a")], &skb()).unwrap();
        assert_eq!(names(&chain), ["a"]);
        chain.load(&[step("b")], &skb()).unwrap();
        // Built again, on what was there then: nothing.
        assert_eq!(names(&chain), ["b"]);
        assert_eq!(loaded.load(Ordering::Relaxed), 3);
        let told = chain.notices().join("\n");
        assert!(told.contains("taken off by somebody else"), "{told}");
        chain.unload_all(&skb()).unwrap();
    }
}

/// How many links the machine has is no matter: a change costs the same, whoever else is at work.
#[test]
fn links_of_others_are_not_looked_at() {
    let Some(place) = Place::new() else { return };
    for links in [true, false] {
        let looks = Arc::new(AtomicU32::new(0));
        let count = looks.clone();
        let kernel = kernel(move |command| {
            if let Command::NextId { kind: ObjectKind::Link, .. } = command {
                count.fetch_add(1, Ordering::Relaxed);
            }
        });
        kernel.features().force(Feature::BpfLink, links);
        let chains = Chains::new(&kernel, place.dirs()).unwrap();
        let mut chain = chains.open("lo").unwrap();
        chain.load(&[step("a")], &skb()).unwrap();
        chain.load(&[step("b")], &skb()).unwrap();
        chain.unload_all(&skb()).unwrap();
        assert_eq!(looks.load(Ordering::Relaxed), 0);
    }
}

#[test]
fn somebody_elses_comes_meanwhile_and_stays() {
    let Some(place) = Place::new() else { return };
    for links in [true, false] {
        let program = somebodys_program();
        let meddled = AtomicU32::new(0);
        let kernel = kernel(move |command| {
            if swaps(command) && meddled.fetch_add(1, Ordering::Relaxed) == 0 {
                let program = Some(program.as_fd());
                netlink::set_xdp(real(), LO, XdpMode::Skb, program, Expected::Nothing).unwrap();
            }
        });
        kernel.features().force(Feature::BpfLink, links);
        let chains = Chains::new(&kernel, place.dirs()).unwrap();
        let mut chain = chains.open("lo").unwrap();
        match chain.load(&[step("a")], &skb()) {
            Err(ChainError::Foreign { program, .. }) => assert!(program.contains("somebodys")),
            other => panic!("{other:?}"),
        }
        take_off(LO);
    }
}

/// Somebody's program comes before each swap, so many times, and goes again.
fn disturbed(place: &Place, times: u32, links: bool) -> (Result<(), ChainError>, u32) {
    let program = somebodys_program();
    let (swapped, there) = (Arc::new(AtomicU32::new(0)), Mutex::new(false));
    let count = swapped.clone();
    let kernel = kernel(move |command| {
        let mut there = there.lock().unwrap();
        if swaps(command) && count.fetch_add(1, Ordering::Relaxed) < times {
            let program = Some(program.as_fd());
            netlink::set_xdp(real(), LO, XdpMode::Skb, program, Expected::Nothing).unwrap();
            *there = true;
        } else if gives_up(command) && *there {
            take_off(LO);
            *there = false;
        }
    });
    kernel.features().force(Feature::BpfLink, links);
    let chains = Chains::new(&kernel, place.dirs()).unwrap();
    let mut chain = chains.open("lo").unwrap();
    let done = chain.load(&[step("a")], &skb()).map(drop);
    if done.is_ok() {
        assert_eq!(names(&chain), ["a"]);
        chain.unload_all(&skb()).unwrap();
    }
    (done, swapped.load(Ordering::Relaxed))
}

#[test]
fn tried_again_a_bounded_number_of_times() {
    let Some(place) = Place::new() else { return };
    for links in [true, false] {
        let (done, swaps) = disturbed(&place, 2, links);
        // Two in vain, one that did it; over netlink, taking it off is one more.
        assert!(done.is_ok(), "{done:?}");
        assert_eq!(swaps, if links { 3 } else { 4 });
        let (done, swaps) = disturbed(&place, u32::MAX, links);
        assert!(matches!(done, Err(ChainError::Race { tries: 5, .. })), "{done:?}");
        assert_eq!(swaps, 5);
    }
}

#[test]
fn while_several_interfaces_change() {
    let Some(place) = Place::new() else { return };
    place.ip("link add v0 type veth peer name v1");
    let dir = tempfile::tempdir().unwrap();
    let plan = |name: &str| {
        let path = dir.path().join("plan.toml");
        let object = object("step.o");
        let of = |interface: &str| {
            format!(
                "[[interface]]\nname = \"{interface}\"\nmode = \"skb\"\n[[interface.program]]\n\
                 object = \"{}\"\nname = \"{name}\"\n",
                object.display()
            )
        };
        std::fs::write(&path, of("lo") + &of("v0")).unwrap();
        Plan::open(&path).unwrap()
    };
    let both = |chains: &Chains<'_>| {
        let all = chains.open_all(&["lo", "v0"]).unwrap();
        all.iter().map(|c| names(c).join(" ")).collect::<Vec<_>>()
    };
    let index = netlink::by_name(real(), "v0").unwrap().unwrap().index;
    // Before the second interface's swap, its chain is taken off: built again there.
    let swapped = AtomicU32::new(0);
    let once = kernel(move |command| {
        if swaps(command) && swapped.fetch_add(1, Ordering::Relaxed) == 3 {
            take_off(index);
        }
    });
    let chains = Chains::new(&once, place.dirs()).unwrap();
    chains.apply(&plan("a"), &skb()).unwrap();
    chains.apply(&plan("b"), &skb()).unwrap();
    assert_eq!(both(&chains), ["b", "b"]);
    // Somebody else's comes there and stays: the first is taken back.
    let program = somebodys_program();
    let swapped = AtomicU32::new(0);
    let other = kernel(move |command| {
        if swaps(command) && swapped.fetch_add(1, Ordering::Relaxed) == 1 {
            take_off(index);
            let program = Some(program.as_fd());
            netlink::set_xdp(real(), index, XdpMode::Skb, program, Expected::Nothing).unwrap();
        }
    });
    let chains = Chains::new(&other, place.dirs()).unwrap();
    // The plan says the mode, whatever these options say.
    let options = Options { mode: XdpMode::Native, ..Options::default() };
    let failed = chains.apply(&plan("c"), &options).unwrap_err();
    assert!(matches!(failed, ChainError::Foreign { .. }), "{failed}");
    assert_eq!(both(&chains), ["b", ""]);
    take_off(index);
    // And back from there it goes to what was before, not to what was taken back.
    let mut chain = chains.open("lo").unwrap();
    chain.rollback(&skb()).unwrap();
    assert_eq!(names(&chain), ["a"]);
    chain.unload_all(&skb()).unwrap();
    drop(chain);
    chains.clean(None).unwrap();
}
