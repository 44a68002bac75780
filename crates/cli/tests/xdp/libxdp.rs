//! libxdp's own dispatcher, loaded by `xdp-loader` (Debian: `xdp-tools`, `libxdp1`): recognised, adopted as
//! a whole. It rests on programs that replace functions, which not every kernel lets this process load;
//! `cargo xtask kernels` has kernels that do.

use std::collections::BTreeSet;
use std::os::fd::AsFd;
use std::process::{Command, Output};

use bpfweld::kernel::sys::ObjectKind;
use bpfweld::kernel::{RealSys, Sys};
use serde_json::Value;

use crate::world::{HERE, World, skip};

/// `xdp-loader` in the namespace; `None` when it is not installed.
fn xdp_loader(world: &World, line: &str) -> Option<Output> {
    Command::new("xdp-loader").arg("help").output().ok()?;
    let mut command = Command::new("ip");
    command.args(["netns", "exec", &world.here, "xdp-loader"]);
    for word in line.split(' ') {
        match word.ends_with(".o") {
            true => command.arg(World::object(word)),
            false => command.arg(word),
        };
    }
    Some(command.env("LIBXDP_BPFFS", world.pin_root()).output().unwrap())
}

/// Puts libxdp's dispatcher with these objects on the interface; `None`, and a word about it, where that
/// cannot be.
fn dispatcher(objects: &str) -> Option<World> {
    let world = World::new()?;
    let Some(output) = xdp_loader(&world, &format!("load -m native {HERE} {objects}")) else {
        skip("needs xdp-loader");
        return None;
    };
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let status = world.status_of(HERE);
    if !output.status.success() || status["program"]["name"] != "xdp_dispatcher" {
        let why = said.lines().last().unwrap_or("it loads programs by themselves");
        skip(&format!("needs xdp-loader to load its dispatcher: {why}"));
        xdp_loader(&world, &format!("unload {HERE} --all"));
        xdp_loader(&world, &format!("clean {HERE}"));
        return None;
    }
    Some(world)
}

/// Ids of all objects of a kind, with their names.
fn all(kind: ObjectKind, name: &str) -> BTreeSet<u32> {
    let sys: &dyn Sys = &RealSys;
    let mut ids = BTreeSet::new();
    let mut id = 0;
    while let Ok(Some(next)) = sys.next_id(kind, id) {
        id = next;
        let Ok(fd) = sys.fd_by_id(kind, id) else { continue };
        let found = match kind {
            ObjectKind::Map => sys.map_info(fd.as_fd()).map(|i| i.name),
            _ => sys.prog_info(fd.as_fd()).map(|i| i.name),
        };
        if found.is_ok_and(|n| n == name) {
            ids.insert(id);
        }
    }
    ids
}

/// The first entry of the map with that id.
fn counted(id: u32) -> u64 {
    let sys: &dyn Sys = &RealSys;
    let fd = sys.fd_by_id(ObjectKind::Map, id).unwrap();
    let mut value = [0; 8];
    sys.lookup(fd.as_fd(), &0u32.to_ne_bytes(), &mut value).unwrap();
    u64::from_ne_bytes(value)
}

fn names(components: &Value) -> Vec<&str> {
    components.as_array().unwrap().iter().map(|c| c["name"].as_str().unwrap()).collect()
}

#[test]
fn a_dispatcher_is_recognised_and_adopted() {
    let before = all(ObjectKind::Map, "seen");
    // By the metadata, `early` is the first, and the chain goes on after it drops.
    let Some(world) = dispatcher("chain/config.o chain/step.o chain/step.o") else { return };
    let theirs: Vec<u32> = all(ObjectKind::Map, "seen").difference(&before).copied().collect();
    let counts = || theirs.iter().map(|id| counted(*id)).collect::<Vec<_>>();
    let _echo = world.echo();

    let status = world.status_of(HERE);
    assert_eq!((&status["ours"], &status["programs"]), (&false.into(), &Value::Array(vec![])));
    assert_eq!(names(&status["components"]), ["early", "step", "step"]);
    let told = world.does(&format!("status {HERE}"));
    assert!(told.contains("xdp_dispatcher") && told.matches(" step ").count() == 2, "{told}");
    world.fails(&format!("load {HERE} chain/step.o"), 1, "E0702");
    world.fails(&format!("unload {HERE} -a"), 1, "E0702");
    assert_eq!(world.send(3), 3);
    assert_eq!(counts(), [3, 3]);

    world.does(&format!("adopt {HERE} --dry-run"));
    assert_eq!(world.status_of(HERE)["ours"], false);
    world.does(&format!("adopt {HERE}"));
    assert_eq!(world.names(), ["early", "step", "step-2"]);
    let programs = world.status_of(HERE)["programs"].clone();
    let told = |i: usize| (programs[i]["priority"].as_u64(), programs[i]["actions"].as_str());
    assert_eq!(told(0), (Some(10), Some("XDP_DROP")));
    assert_eq!(told(1), (Some(50), Some("XDP_PASS")));
    assert_eq!(world.send(2), 2);
    assert_eq!(counts(), [5, 5]);
    // libxdp takes what it has pinned for left over now. The chain holds what it needs.
    xdp_loader(&world, &format!("clean {HERE}"));
    assert_eq!(std::fs::read_dir(world.pin_root().join("xdp")).into_iter().flatten().count(), 0);
    assert_eq!(world.send(1), 1);
    assert_eq!(counts(), [6, 6]);
    // In a chain that changes.
    world.does(&format!("load {HERE} chain/step.o --name before -P 5"));
    world.does(&format!("load {HERE} chain/step.o --name behind -P 60"));
    assert_eq!(world.names(), ["before", "early", "step", "step-2", "behind"]);
    let ours = |name| world.value(name, "seen", 0);
    assert_eq!(world.send(2), 2);
    assert_eq!((counts(), ours("before"), ours("behind")), (vec![8, 8], 2, 2));
    // Out, and by a rollback back.
    world.does(&format!("unload {HERE} --name step-2"));
    assert_eq!(world.send(1), 1);
    assert_eq!((counts(), ours("behind")), (vec![9, 8], 3));
    world.does(&format!("rollback {HERE}"));
    assert_eq!(world.send(1), 1);
    assert_eq!((counts(), ours("behind")), (vec![10, 9], 4));
    world.does(&format!("unload {HERE} -a"));
    world.nothing_is_left();
    assert_eq!(world.send(1), 1);
    gone(&["xdp_dispatcher", "early"]);
}

/// The kernel frees programs a little later than their last user lets go of them.
fn gone(names: &[&str]) {
    let left = || names.iter().any(|name| !all(ObjectKind::Prog, name).is_empty());
    for _ in 0..50 {
        if !left() {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
    assert!(!left(), "{names:?} are loaded still");
}

#[test]
fn its_verdict_ends_the_chain() {
    let Some(world) = dispatcher("-A XDP_TX chain/config.o") else { return };
    let _echo = world.echo();
    assert_eq!(world.send_in_vain(1), 0);
    world.does(&format!("adopt {HERE}"));
    xdp_loader(&world, &format!("clean {HERE}"));
    world.does(&format!("load {HERE} chain/step.o -P 60"));
    assert_eq!(world.send_in_vain(1), 0);
    assert_eq!(world.value("step", "seen", 0), 0);
    world.does(&format!("unload {HERE} -a"));
    world.nothing_is_left();
}

#[test]
fn one_by_itself_is_adopted() {
    let Some(world) = World::new() else { return };
    let Some(output) = xdp_loader(&world, "help") else { return skip("needs xdp-loader") };
    drop(output);
    let _echo = world.echo();
    let mut command = Command::new("ip");
    command.args(["netns", "exec", &world.here, "xdp-loader", "load", "-m", "native", HERE]);
    command.arg(World::object("chain/step.o"));
    command.env("LIBXDP_BPFFS", world.pin_root()).env("LIBXDP_SKIP_DISPATCHER", "1");
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let status = world.status_of(HERE);
    assert_eq!(status["program"]["name"], "step");
    assert!(names(&status["components"]).is_empty());
    world.does(&format!("adopt {HERE}"));
    world.does(&format!("load {HERE} chain/step.o --name behind -P 60"));
    assert_eq!(world.send(2), 2);
    assert_eq!(world.value("behind", "seen", 0), 2);
    world.does(&format!("unload {HERE} -a"));
    world.nothing_is_left();
}
