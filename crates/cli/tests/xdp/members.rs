//! Members of unusual kinds.

use crate::world::{HERE, World};

#[test]
fn moved_heads_are_seen_by_those_behind() {
    let Some(world) = World::new() else { return };
    let _echo = world.echo();
    world.does(&format!("load {HERE} chain/head.o -n measure -P 1 --name before"));
    world.does(&format!("load {HERE} chain/head.o -n strip -P 2"));
    world.does(&format!("load {HERE} chain/head.o -n measure -P 3 --name after"));
    world.does(&format!("load {HERE} chain/head.o -n restore -P 4"));
    assert_eq!(world.send(1), 1);
    let (before, after) = (world.value("before", "length", 0), world.value("after", "length", 0));
    assert_eq!(before, after + 14);
    world.does(&format!("unload {HERE} -a"));
    world.nothing_is_left();
}

#[test]
fn tail_calls_come_back_with_a_verdict() {
    let Some(world) = World::new() else { return };
    let _echo = world.echo();
    world.does(&format!("load {HERE} chain/tail.o -n jump -P 1"));
    world.does(&format!("load {HERE} chain/step.o -P 2"));
    assert_eq!(world.send(3), 3);
    assert_eq!(world.value("step", "seen", 0), 3);
    // The prog array has its program still when the chain was linked anew.
    world.does(&format!("load {HERE} chain/bare.o -P 3"));
    assert_eq!(world.send(3), 3);
    assert_eq!(world.value("step", "seen", 0), 6);
    world.does(&format!("unload {HERE} -a"));
    world.nothing_is_left();
}

#[test]
fn without_btf_and_twice_the_same() {
    let Some(world) = World::new() else { return };
    let _echo = world.echo();
    world.does(&format!("load {HERE} chain/bare.o chain/step.o chain/bare.o chain/step.o"));
    world.does(&format!("load {HERE} chain/step.o -n other"));
    assert_eq!(world.names(), ["bare", "bare-2", "other", "step", "step-2"]);
    assert_eq!(world.send(2), 2);
    for name in ["step", "step-2", "other"] {
        assert_eq!(world.value(name, "seen", 0), 2, "{name}");
    }
    world.does(&format!("unload {HERE} -a"));
    world.nothing_is_left();
}

#[test]
fn fifty_programs() {
    let Some(world) = World::new() else { return };
    let _echo = world.echo();
    let objects = vec!["capture/filter.o"; 50].join(" ");
    let output = world.output(&format!("load {HERE} {objects} -A XDP_PASS,XDP_DROP"));
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(world.names().len(), 50);
    assert_eq!(world.send(2), 2);
    world.does(&format!("unload {HERE} --name filter-17"));
    assert_eq!(world.names().len(), 49);
    // What is too much is said before the verifier is asked: here the maps.
    let objects = vec!["chain/step.o"; 17].join(" ");
    world.fails(&format!("load {HERE} {objects}"), 1, "64");
    let objects = vec!["chain/bare.o"; 256].join(" ");
    world.fails(&format!("load {HERE} {objects}"), 1, "the kernel takes 255");
    assert_eq!(world.names().len(), 49);
    world.does(&format!("unload {HERE} -a"));
    world.nothing_is_left();
}
