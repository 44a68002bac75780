//! `kill -9` at every system call of a change: the next command finds the chain as it was or as it was
//! to be, and nothing else.

use std::os::unix::process::ExitStatusExt;

use crate::world::{HERE, World};

/// More calls than any change makes.
const MOST_CALLS: u32 = 2000;

/// Does `change` over and over, killed one call later each time, until it comes to its end. Each time the
/// chain has to be `before` or `after`; `restore` makes it `before` again.
fn killed_everywhere(
    world: &World,
    change: &str,
    before: &[&str],
    after: &[&str],
    restore: &[&str],
) {
    let (mut was, mut is) = (0, 0);
    for at in 1..MOST_CALLS {
        let status = world.command(change).env("BPFWELD_KILL_AT", at.to_string()).output().unwrap();
        let killed = status.status.signal() == Some(9);
        assert!(killed || status.status.success(), "{}", String::from_utf8_lossy(&status.stderr));
        let found = world.names();
        if found == after {
            is += 1;
            if before.is_empty() {
                assert_eq!(world.send(1), 1, "killed at call {at}");
            }
            for line in restore {
                world.does(line);
            }
        } else {
            was += 1;
            assert!(killed && found == before, "killed at call {at} of {change}: {found:?}");
        }
        let found = world.names();
        assert_eq!(found, before, "restored after call {at}");
        if before.is_empty() {
            world.nothing_is_left();
        } else {
            let maps = std::fs::read_dir(world.pins()).unwrap().next().unwrap().unwrap().path();
            let dirs = std::fs::read_dir(maps.join("maps")).unwrap().count();
            // Those of the chain and at most those of the generation before it.
            assert!(
                dirs <= before.len().max(after.len()) + 1,
                "killed at {at}: {dirs} directories"
            );
        }
        if !killed {
            assert!(was >= 5 && is >= 2, "{change}: {was} times before, {is} times after");
            println!("{change}: killed at {} calls, {was} × before, {is} × after", at - 1);
            return;
        }
    }
    panic!("{change} does not end");
}

fn every_change(how: &str) {
    let Some(world) = World::new() else { return };
    let _echo = world.echo();
    let load = |name: &str| format!("load {HERE} chain/step.o --name {name}{how}");
    let all = format!("unload {HERE} -a");
    let unload_b = format!("unload {HERE} --name b");
    let (load_a, load_b) = (load("a"), load("b"));
    killed_everywhere(&world, &load_a, &[], &["a"], &[&all]);
    world.does(&load_a);
    killed_everywhere(&world, &load_b, &["a"], &["a", "b"], &[&unload_b]);
    world.does(&load_b);
    killed_everywhere(&world, &unload_b, &["a", "b"], &["a"], &[&load_b]);
    killed_everywhere(&world, &all, &["a", "b"], &[], &[&load_a, &load_b]);
    world.does(&all);
    world.nothing_is_left();
}

#[test]
fn by_link() {
    every_change("");
}

#[test]
fn over_netlink() {
    every_change(" --without bpf-link");
}
