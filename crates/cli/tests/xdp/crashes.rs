//! `kill -9` at every system call of a change: the next command finds the chain as it was or as it was
//! to be, and nothing else.

use std::os::unix::process::ExitStatusExt;

use crate::world::{HERE, World, is_brief, tool};

/// More calls than any change makes.
const MOST_CALLS: u32 = 2000;
const FIRST: &str = "\n[[interface]]\nname = \"here0\"\n";
const SECOND: &str = "\n[[interface]]\nname = \"here1\"\n";

/// A change, done over and over, killed one call later each time, until it comes to its end.
struct Change<'a> {
    /// The command.
    line: &'a str,
    /// The interfaces that it is about.
    interfaces: &'a [&'a str],
    /// What they run before and after it, see [`World::shape`]: each time it has to be one of the two.
    before: &'a str,
    after: &'a str,
    /// What a rollback leads to, before and after it; `None` where that is not looked at.
    previous: Option<[&'a str; 2]>,
    /// Makes it `before` again: commands, or calls of ip(8) in the namespace.
    restore: &'a [&'a str],
    /// Most programs that an interface has, before or after.
    programs: usize,
}

impl Change<'_> {
    /// Killed before each call.
    fn killed_before_every_call(&self, world: &World) {
        self.killed(world, "");
    }

    /// Killed before each call, then behind each.
    fn killed_everywhere(&self, world: &World) {
        self.killed(world, "");
        self.killed(world, ":after");
    }

    fn killed(&self, world: &World, when: &str) {
        let (mut was, mut is) = (0, 0);
        // Of a kind of calls that comes again and again, another one each time.
        let step = if is_brief() { 13 } else { 1 };
        for at in (1..MOST_CALLS).step_by(step) {
            let mut command = world.command(self.line);
            let output = command.env("BPFWELD_KILL_AT", format!("{at}{when}")).output().unwrap();
            let killed = output.status.signal() == Some(9);
            let says = String::from_utf8_lossy(&output.stderr);
            let here = format!("killed at call {at}{when} of {}: {says}", self.line);
            assert!(killed || output.status.success(), "{here}");
            let found = world.shape(self.interfaces);
            if let Some([before, after]) = self.previous {
                let back = if found == self.after { after } else { before };
                assert_eq!(world.previous(self.interfaces), back, "{here}");
            }
            if found == self.after {
                is += 1;
                if self.before.is_empty() {
                    assert_eq!(world.send(1), 1, "{here}");
                }
                self.restore(world);
            } else {
                was += 1;
                assert!(killed && found == self.before, "{here}: {found}");
            }
            assert_eq!(world.shape(self.interfaces), self.before, "restored: {here}");
            self.nothing_else(world, &here);
            if !killed {
                let (least, after) = if is_brief() { (1, 1) } else { (5, 2) };
                assert!(was >= least && is >= after, "{}: {was} × before, {is} × after", self.line);
                let calls = at - 1;
                println!("{}{when}: {calls} calls, {was} × before, {is} × after", self.line);
                return;
            }
        }
        panic!("{} does not end", self.line);
    }

    fn restore(&self, world: &World) {
        for line in self.restore {
            match line.strip_prefix("ip ") {
                Some(line) => tool(&format!("ip -n {} {line}", world.here)),
                None => drop(world.does(line)),
            }
        }
    }

    /// Nothing but what belongs to the chains, and at most the generation before.
    fn nothing_else(&self, world: &World, here: &str) {
        if self.before.is_empty() {
            return world.nothing_is_left();
        }
        let names = |dir: &std::path::Path| -> Vec<String> {
            let entries = std::fs::read_dir(dir).into_iter().flatten();
            entries.map(|e| e.unwrap().file_name().into_string().unwrap()).collect()
        };
        for chain in names(&world.pins()).iter().filter(|name| *name != "elsewhere") {
            let dirs = names(&world.pins().join(chain).join("maps"));
            assert!(dirs.len() <= self.programs + 1, "{here}: {dirs:?}");
            let states = names(&world.state().join(chain));
            assert!(!states.iter().any(|n| n.starts_with("next")), "{here}: {states:?}");
        }
        let states = names(&world.state());
        assert!(!states.iter().any(|n| n.starts_with("apply")), "{here}: {states:?}");
    }
}

/// Loading, unloading, replacing, going back.
fn every_change(how: &str, kill: fn(&Change<'_>, &World)) {
    let Some(world) = World::new() else { return };
    let _echo = world.echo();
    let load = |name: &str| format!("load {HERE} chain/step.o --name {name}{how}");
    let replace = |id: u32| format!("replace {HERE} a chain/step.o --set id={id}{how}");
    let all = format!("unload {HERE} -a");
    let unload_b = format!("unload {HERE} --name b");
    let rollback = format!("rollback {HERE}");
    let (load_a, load_b) = (load("a"), load("b"));
    let try_out = |line: &str, before: &str, after: &str, restore: &[&str], programs: usize| {
        let interfaces = &[HERE];
        let change = Change { line, interfaces, before, after, previous: None, restore, programs };
        kill(&change, &world);
    };
    try_out(&load_a, "", "here0: a", &[&all], 1);
    world.does(&load_a);
    try_out(&load_b, "here0: a", "here0: a b", &[&unload_b], 2);
    try_out(&replace(2), "here0: a", "here0: a[id=2]", &[&rollback], 1);
    world.does(&replace(2));
    try_out(&rollback, "here0: a[id=2]", "here0: a", &[&rollback], 1);
    world.does(&rollback);
    world.does(&load_b);
    try_out(&unload_b, "here0: a b", "here0: a", &[&load_b], 2);
    try_out(&all, "here0: a b", "", &[&load_a, &load_b], 2);
    world.does(&all);
    world.nothing_is_left();
}

#[test]
fn by_link() {
    every_change("", |change, world| change.killed_everywhere(world));
}

#[test]
fn over_netlink() {
    every_change(" --without bpf-link", |change, world| change.killed_before_every_call(world));
}

#[test]
fn while_adopting() {
    let Some(world) = World::new() else { return };
    let on = format!("link set {HERE} xdpdrv obj {} sec xdp", World::object("chain/bare.o"));
    let all = format!("unload {HERE} -a");
    tool(&format!("ip -n {} {on}", world.here));
    let change = Change {
        line: &format!("adopt {HERE}"),
        interfaces: &[HERE],
        before: "here0: (bare)",
        after: "here0: bare",
        previous: None,
        restore: &[&all, &format!("ip {on}")],
        programs: 1,
    };
    change.killed_everywhere(&world);
    world.does(&format!("adopt {HERE}"));
    world.does(&all);
    world.nothing_is_left();
}

/// Whoever held the program by a link may let go of it afterwards, wherever the adoption was broken off.
#[test]
fn while_adopting_a_link() {
    let Some(world) = World::new() else { return };
    for at in (1..MOST_CALLS).rev().skip_while(|at| *at > 100) {
        world.elsewhere(&format!("load {HERE} chain/step.o --name theirs"));
        let mut command = world.command(&format!("adopt {HERE}"));
        let output = command.env("BPFWELD_KILL_AT", at.to_string()).output().unwrap();
        let found = world.shape(&[HERE]);
        world.elsewhere(&format!("status {HERE}"));
        if found == "here0: (xdp_chain)" {
            assert_eq!(output.status.signal(), Some(9));
            world.elsewhere(&format!("unload {HERE} -a"));
            world.nothing_is_left();
            return;
        }
        // They have let go, and the chain runs.
        assert_eq!(world.shape(&[HERE]), "here0: xdp_chain", "killed at call {at}");
        world.does(&format!("unload {HERE} -a"));
        world.nothing_is_left();
    }
}

#[test]
fn while_two_interfaces_change() {
    let Some(world) = World::new() else { return };
    world.pair("here1", "there1");
    let plan = |name: &str, first: &str, second: &str| {
        let object = World::object("chain/step.o");
        let program = |name: &str| match name {
            "" => String::new(),
            name => format!("[[interface.program]]\nobject = \"{object}\"\nname = \"{name}\"\n"),
        };
        let text = format!("{FIRST}{}{SECOND}{}", program(first), program(second));
        let path = world.temp(name);
        std::fs::write(&path, text).unwrap();
        format!("apply {}", path.display())
    };
    let one = plan("one.toml", "a", "");
    let two = plan("two.toml", "b", "c");
    let three = plan("three.toml", "", "d");
    let none = plan("none.toml", "", "");
    let try_out = |line: &str, before: &str, after: &str, restore: &str| {
        let (interfaces, restore) = (&["here0", "here1"], &[restore]);
        let change =
            Change { line, interfaces, before, after, previous: None, restore, programs: 1 };
        change.killed_before_every_call(&world);
    };
    world.does(&one);
    try_out(&two, "here0: a", "here0: b; here1: c", &one);
    world.does(&two);
    // One is put on and one taken off.
    try_out(&three, "here0: b; here1: c", "here1: d", &two);
    // Both are taken off.
    try_out(&none, "here0: b; here1: c", "", &two);
    world.does(&none);
    world.nothing_is_left();
}

/// A change of two interfaces that is broken off: what there was to go back to is there as if it had not
/// begun.
#[test]
fn what_there_is_to_go_back_to() {
    let Some(world) = World::new() else { return };
    world.pair("here1", "there1");
    let interfaces = &["here0", "here1"];
    let object = World::object("chain/step.o");
    let runs = |id: u32| interfaces.map(|i| format!("{i}: a[id={id}]")).join("; ");
    let plan = |id: u32| {
        let program = format!(
            "[[interface.program]]\nobject = \"{object}\"\nname = \"a\"\nset = {{ id = {id} }}\n"
        );
        let path = world.temp(&format!("{id}.toml"));
        std::fs::write(&path, format!("{FIRST}{program}{SECOND}{program}")).unwrap();
        format!("apply {}", path.display())
    };
    let (one, two) = (plan(1), plan(2));
    world.does(&one);
    world.does(&two);
    let change = Change {
        line: &plan(3),
        interfaces,
        before: &runs(2),
        after: &runs(3),
        previous: Some([&runs(1), &runs(2)]),
        restore: &[&one, &two],
        programs: 1,
    };
    change.killed_before_every_call(&world);
    for interface in interfaces {
        world.does(&format!("unload {interface} -a"));
    }
    world.nothing_is_left();
}
