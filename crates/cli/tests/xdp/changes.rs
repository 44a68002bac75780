//! What one command after the other does.

use std::io::BufReader;
use std::process::{Command, Stdio};

use crate::world::{HERE, World, kernel_has, skip, tool};

/// A member that leaves its id in the map `order` of the first.
fn step(id: u32, more: &str) -> String {
    let shared = if id == 1 { "" } else { " --map order=s1:order" };
    format!("load {HERE} chain/step.o --set id={id} --name s{id}{shared}{more}")
}

#[test]
fn priorities_and_names_make_the_order() {
    let Some(world) = World::new() else { return };
    let _echo = world.echo();
    world.does(&step(1, " -P 30"));
    world.does(&step(2, " -P 10"));
    world.does(&step(3, " -P 20"));
    world.does(&step(5, " -P 20"));
    world.does(&step(4, " -P 20"));
    assert_eq!(world.names(), ["s2", "s3", "s4", "s5", "s1"]);
    assert_eq!(world.send(1), 1);
    assert_eq!(world.value("s1", "order", 0), 5);
    let ran: Vec<_> = (1..6).map(|i| world.value("s1", "order", i)).collect();
    assert_eq!(ran, [2, 3, 4, 5, 1]);
    // By name, by id, all.
    world.does(&format!("unload {HERE} --name s3"));
    let id = world.status_of(HERE)["programs"][0]["id"].as_u64().unwrap();
    world.does(&format!("unload {HERE} -i {id}"));
    assert_eq!(world.names(), ["s4", "s5", "s1"]);
    world.fails(&format!("unload {HERE} -i {id}"), 1, "E0703");
    world.does(&format!("unload {HERE} -a"));
    world.fails(&format!("unload {HERE} -a"), 1, "no XDP program loaded");
    world.nothing_is_left();
}

#[test]
fn verdicts_end_the_chain_or_let_it_go_on() {
    let Some(world) = World::new() else { return };
    let _echo = world.echo();
    // Drops, and the chain goes on after that: the last one's verdict counts.
    world.does(&step(1, " --set verdict=1 -P 10 -A XDP_DROP"));
    world.does(&step(2, " -P 20"));
    assert_eq!(world.send(3), 3);
    assert_eq!(world.value("s2", "seen", 0), 3);
    // Ends there.
    world.does(&step(3, " --set verdict=1 -P 15 -A XDP_PASS,XDP_TX"));
    assert_eq!(world.send_in_vain(3), 0);
    assert_eq!((world.value("s1", "seen", 0), world.value("s3", "seen", 0)), (6, 3));
    assert_eq!(world.value("s2", "seen", 0), 3);
    // A verdict that nobody knows is XDP_ABORTED.
    world.does(&format!("unload {HERE} --name s3"));
    world.does(&step(4, " --set verdict=77 -P 16 -A XDP_ABORTED"));
    assert_eq!(world.send(2), 2);
    world.does(&format!("unload {HERE} -a"));
    world.nothing_is_left();
}

/// Functions that the kernel has of the program on the interface.
fn functions(world: &World) -> usize {
    let id = world.status_of(HERE)["program"]["id"].as_u64().unwrap().to_string();
    let output = Command::new("bpftool").args(["prog", "dump", "xlated", "id", &id]).output();
    let text = String::from_utf8(output.unwrap().stdout).unwrap();
    // `int name(struct xdp_md * ctx):` begins one.
    text.lines().filter(|l| !l.starts_with(' ') && l.ends_with("):")).count()
}

#[test]
fn a_chain_is_one_function_unless_it_is_not_to_be() {
    let Some(world) = World::new() else { return };
    if Command::new("bpftool").arg("version").output().is_err() {
        return skip("bpftool is missing");
    }
    let _echo = world.echo();
    world.does(&step(1, " -P 30"));
    world.does(&step(2, " -P 10"));
    assert_eq!(functions(&world), 1);
    world.does(&step(3, " -P 20 --fuse never"));
    assert_eq!(functions(&world), 4);
    assert_eq!(world.send(1), 1);
    let ran = |from| (from..from + 3).map(|i| world.value("s1", "order", i)).collect::<Vec<_>>();
    assert_eq!(ran(1), [2, 3, 1]);
    // The next change fuses again, and does the same.
    world.does(&step(4, " -P 40"));
    assert_eq!(functions(&world), 1);
    assert_eq!(world.send(1), 1);
    assert_eq!(ran(4), [2, 3, 1]);
    world.does(&format!("unload {HERE} -a"));
    world.nothing_is_left();
}

#[test]
fn metadata_counts_and_options_override_it() {
    let Some(world) = World::new() else { return };
    world.does(&format!("load {HERE} chain/config.o"));
    world.does(&format!("load {HERE} chain/config.o -P 3 -A XDP_PASS"));
    let programs = world.status_of(HERE)["programs"].clone();
    let told = |i: usize| {
        let p = &programs[i];
        let text = |field: &str| p[field].as_str().unwrap().to_owned();
        (text("name"), p["priority"].as_u64().unwrap(), text("actions"))
    };
    assert_eq!(told(0), ("early-2".into(), 3, "XDP_PASS".into()));
    assert_eq!(told(1), ("early".into(), 10, "XDP_DROP".into()));
    world.does(&format!("unload {HERE} -a"));
    world.nothing_is_left();
}

#[test]
fn maps_stay_with_their_programs() {
    let Some(world) = World::new() else { return };
    let _echo = world.echo();
    world.does(&step(1, ""));
    assert_eq!(world.send(5), 5);
    world.does(&step(2, " -P 10"));
    assert_eq!(world.send(5), 5);
    assert_eq!((world.value("s1", "seen", 0), world.value("s2", "seen", 0)), (10, 5));
    assert_eq!(world.value("s1", ".bss", 0), 10);
    // Another one in its place: its map stays, its variables start anew.
    world.does(&format!("replace {HERE} s1 chain/step.o --set id=9"));
    assert_eq!(world.names(), ["s2", "s1"]);
    assert_eq!(world.send(1), 1);
    assert_eq!((world.value("s1", "seen", 0), world.value("s1", ".bss", 0)), (11, 1));
    // Back, and back again.
    world.does(&format!("rollback {HERE}"));
    assert_eq!(world.value("s1", ".bss", 0), 10);
    assert_eq!(world.send(1), 1);
    assert_eq!((world.value("s1", "seen", 0), world.value("s1", ".bss", 0)), (12, 11));
    world.does(&format!("rollback {HERE}"));
    assert_eq!(world.value("s1", ".bss", 0), 1);
    world.does(&format!("unload {HERE} -a"));
    world.fails(&format!("rollback {HERE}"), 1, "no previous generation");
    world.nothing_is_left();
}

#[test]
fn maps_that_are_pinned_are_shared_by_path() {
    let Some(world) = World::new() else { return };
    let _echo = world.echo();
    world.does(&step(1, ""));
    let pin = world.map("s1", "order");
    let shared = format!(" -P 60 --map order={}", pin.display());
    world.does(&format!("load {HERE} chain/step.o -s xdp --set id=2 --name s2{shared}"));
    assert_eq!(world.send(1), 1);
    let ran: Vec<_> = (0..3).map(|i| world.value("s1", "order", i)).collect();
    assert_eq!(ran, [2, 1, 2]);
    world.does(&format!("unload {HERE} -a"));
    world.nothing_is_left();
}

#[test]
fn of_all_interfaces_or_of_one() {
    let Some(world) = World::new() else { return };
    world.pair("here1", "there1");
    for interface in [HERE, "here1"] {
        world.does(&format!("load {interface} chain/bare.o --name on-{interface}"));
    }
    let told = world.does("status");
    assert!(told.contains("on-here0") && told.contains("on-here1"), "{told}");
    let told = world.does("status here1");
    assert!(!told.contains("on-here0") && told.contains("on-here1"), "{told}");
    // Nothing is left of chains that run.
    for line in ["clean", "clean here1"] {
        world.does(line);
        assert_eq!(world.shape(&[HERE, "here1"]), "here0: on-here0; here1: on-here1");
    }
    for interface in [HERE, "here1"] {
        world.does(&format!("unload {interface} -a"));
    }
    world.nothing_is_left();
}

#[test]
fn modes() {
    let Some(world) = World::new() else { return };
    let _echo = world.echo();
    for (option, mode) in [("", "native"), (" -m skb", "skb"), (" -m unspecified", "native")] {
        for netlink in ["", " --without bpf-link"] {
            world.does(&format!("load {HERE} chain/step.o{option}{netlink}"));
            world.does(&format!("load {HERE} chain/step.o{option}{netlink}"));
            assert_eq!(world.status_of(HERE)["mode"], mode);
            let mut pins = std::fs::read_dir(world.pins()).unwrap();
            let link = pins.next().unwrap().unwrap().path().join("link");
            assert_eq!(link.exists(), netlink.is_empty());
            assert_eq!(world.send(2), 2);
            assert_eq!(world.value("step", "seen", 0), 2);
            let other = if mode == "skb" { "native" } else { "skb" };
            world.fails(&format!("load {HERE} chain/step.o -m {other}"), 1, "E0705");
            world.does(&format!("load {HERE} chain/step.o -m unspecified{netlink}"));
            world.does(&format!("unload {HERE} -a{netlink}"));
            world.nothing_is_left();
        }
    }
    // The loopback interface has no driver that runs XDP programs.
    world.fails("load lo chain/step.o", 1, "--mode skb");
    world.does("load lo chain/step.o -m skb");
    world.does("unload lo -a");
    world.nothing_is_left();
}

#[test]
fn two_interfaces_have_chains_of_their_own() {
    let Some(world) = World::new() else { return };
    world.pair("here1", "there1");
    let _echo = world.echo();
    world.does(&step(1, ""));
    world.does("load here1 chain/step.o --name other -m skb");
    assert_eq!(world.send(2), 2);
    assert_eq!(world.value("s1", "seen", 0), 2);
    assert_eq!(world.status_of("here1")["programs"][0]["name"], "other");
    world.does("unload here1 -a");
    assert_eq!(world.names(), ["s1"]);
    world.does(&format!("unload {HERE} -a"));
    world.nothing_is_left();
}

#[test]
fn what_is_refused_changes_nothing() {
    let Some(world) = World::new() else { return };
    world.does(&step(1, ""));
    let refused = [
        ("load nosuch0 chain/step.o", 1, "no interface"),
        ("load here0 chain/step.o -n nosuch", 1, "step (xdp)"),
        ("load here0 chain/step.o -n step -s xdp", 2, "cannot be used with"),
        ("load here0 chain/step.o --name s1", 1, "already"),
        ("load here0 chain/step.o --set nosuch=1", 1, "verdict"),
        ("load here0 chain/step.o --set verdict=-1", 1, "const volatile u32"),
        ("load here0 chain/step.o --map seen=s1:order", 1, "value size"),
        ("load here0 chain/step.o --map seen=s1:nosuch", 1, "no such map"),
        ("load here0 chain/step.o -A XDP_NONE", 2, "XDP_NONE"),
        ("unload here0", 2, "required"),
        ("replace here0 nosuch chain/step.o", 1, "nosuch"),
        ("stats here0", 1, "--stats"),
    ];
    for (line, code, says) in refused {
        world.fails(line, code, says);
        assert_eq!(world.names(), ["s1"], "{line}");
    }
    // Verified, and that is all.
    world.does(&step(2, " --dry-run"));
    assert_eq!(world.names(), ["s1"]);
    assert_eq!(world.status_of(HERE)["generation"], 1);
    // As xdp-loader has it: all, whatever else is said.
    world.does(&format!("unload {HERE} -i 77 -a"));
    world.nothing_is_left();
    assert!(world.does("load --version").contains(env!("CARGO_PKG_VERSION")));
}

#[test]
fn verdicts_are_counted_across_changes() {
    let Some(world) = World::new() else { return };
    let _echo = world.echo();
    world.does(&step(1, " --stats"));
    assert_eq!(world.send(3), 3);
    world.does(&step(2, " -P 10 --set verdict=1 -A XDP_DROP"));
    assert_eq!(world.send(2), 2);
    let text = world.output(&format!("stats {HERE} --json")).stdout;
    let stats: serde_json::Value = serde_json::from_slice(&text).unwrap();
    assert_eq!(
        (&stats["programs"][0]["name"], &stats["programs"][0]["drop"]),
        (&"s2".into(), &2.into())
    );
    assert_eq!(
        (&stats["programs"][1]["name"], &stats["programs"][1]["pass"]),
        (&"s1".into(), &5.into())
    );
    let text = world.does(&format!("stats {HERE} --prometheus"));
    let line = "bpfweld_xdp_verdicts_total{interface=\"here0\",program=\"s1\",id=\"1\",verdict=\"pass\"} 5";
    assert!(text.lines().any(|l| l == line), "{text}");
    let table = world.does(&format!("stats {HERE}"));
    let row = table.lines().find(|l| l.contains("s1")).unwrap();
    let row: Vec<_> = row.split_whitespace().collect();
    assert_eq!(row, ["1", "s1", "0", "0", "5", "0", "0", "0"], "{table}");
    watched(&world);
    world.does(&format!("unload {HERE} -a"));
    world.nothing_is_left();
}

/// Counters that are printed again and again, rising, until interrupted or the chain is gone.
fn watched(world: &World) {
    let mut command = world.command(&format!("stats {HERE} --watch 1 --json"));
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let out = BufReader::new(child.stdout.take().unwrap());
    let mut reports = serde_json::Deserializer::from_reader(out).into_iter::<serde_json::Value>();
    let mut passed = || reports.next().unwrap().unwrap()["programs"][1]["pass"].as_u64().unwrap();
    assert_eq!(passed(), 5);
    assert_eq!(world.send(4), 4);
    while passed() < 9 {}
    // It holds no lock meanwhile.
    world.does(&format!("load {HERE} chain/bare.o -P 90"));
    assert_eq!(passed(), 9);
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn others_are_left_alone() {
    let Some(world) = World::new() else { return };
    world.put_on(HERE, "xdpgeneric", "chain/bare.o", "xdp");
    world.fails(&format!("load {HERE} chain/step.o"), 1, "bare");
    world.fails(&format!("unload {HERE} -a"), 1, "E0702");
    let status = world.status_of(HERE);
    assert_eq!((&status["ours"], &status["program"]["name"]), (&false.into(), &"bare".into()));
    tool(&format!("ip -n {} link set {HERE} xdpgeneric off", world.here));
    // Somebody takes our chain off, over netlink, and puts another program there.
    world.does(&format!("load {HERE} chain/step.o -m skb --without bpf-link"));
    tool(&format!("ip -n {} link set {HERE} xdpgeneric off", world.here));
    let told = world.does(&format!("status {HERE}"));
    assert!(told.contains("taken off"), "{told}");
    world.nothing_is_left();
}

#[test]
fn others_are_adopted() {
    let Some(world) = World::new() else { return };
    let _echo = world.echo();
    world.fails(&format!("adopt {HERE}"), 1, "E0703");
    world.put_on(HERE, "xdpdrv", "chain/bare.o", "xdp");
    // It is tail-called from a function: not every kernel can.
    world.fails(&format!("adopt {HERE} --without mixed-tail-calls"), 1, "E0307");
    world.does(&format!("adopt {HERE} --dry-run"));
    assert_eq!(world.status_of(HERE)["ours"], false);
    world.does(&format!("adopt {HERE}"));
    assert_eq!(world.names(), ["bare"]);
    world.fails(&format!("adopt {HERE}"), 1, "already");
    // The chain goes on with its verdict, XDP_PASS.
    world.does(&step(1, " -P 60"));
    assert_eq!(world.send(2), 2);
    assert_eq!(world.value("s1", "seen", 0), 2);
    world.does(&format!("unload {HERE} -a"));
    world.nothing_is_left();
    // One that somebody holds by a link: here a chain of another state directory.
    world.elsewhere(&format!("load {HERE} chain/step.o"));
    world.fails(&format!("load {HERE} chain/step.o"), 1, "xdp_chain");
    world.does(&format!("adopt {HERE}"));
    world.does(&step(1, " -P 60"));
    assert_eq!(world.send(2), 2);
    assert_eq!(world.value("s1", "seen", 0), 2);
    assert!(world.elsewhere(&format!("status {HERE}")).contains("somebody else"));
    world.does(&format!("unload {HERE} -a"));
    world.nothing_is_left();
    // One that drops: the chain ends there.
    world.put_on(HERE, "xdpdrv", "chain/config.o", "xdp");
    world.does(&format!("adopt {HERE}"));
    world.does(&step(1, " -P 60"));
    assert_eq!(world.send_in_vain(1), 0);
    assert_eq!(world.value("s1", "seen", 0), 0);
    world.does(&format!("unload {HERE} -a"));
    world.nothing_is_left();
}

#[test]
fn a_refusal_says_what_there_is() {
    let Some(world) = World::new() else { return };
    world.fails(&format!("stats {HERE}"), 1, "no XDP program loaded");
    world.does(&format!("load {HERE} chain/step.o --name first"));
    world.fails(&format!("stats {HERE}"), 1, "does not count");
    world.fails(&format!("unload {HERE} --name other"), 1, "it has: first (id 1)");
    world.fails(&format!("unload {HERE} -i 7"), 1, "it has: first (id 1)");
    let load = format!("load {HERE} chain/step.o --name second");
    let maps = "it has: .bss, .rodata, order, seen";
    world.fails(&format!("{load} --map seen=first:sen"), 1, maps);
    world.fails(&format!("{load} --map sen=first:seen"), 1, "the object has no such map; it has: ");
    world.fails(&format!("{load} --map seen=other:seen"), 1, "no program called `other`");
    let tc = format!("load {HERE} program-type/tc.o");
    world.fails(&tc, 1, "no XDP program at all; it has: classify (tc)");
    for name in ["", "a:b", "a/b", "a\tb", "a\u{a0}b"] {
        world.fails(&format!("load {HERE} chain/step.o --name {name}"), 1, "cannot be called");
    }
    assert_eq!(world.names(), ["first"]);
    world.does(&format!("unload {HERE} -a"));
    world.nothing_is_left();
}

#[test]
fn interfaces_come_and_go() {
    let Some(world) = World::new() else { return };
    world.pair("here1", "there1");
    world.does("load here1 chain/step.o");
    // Renamed: the chain is still known.
    tool(&format!("ip -n {} link set here1 down", world.here));
    tool(&format!("ip -n {} link set here1 name here2", world.here));
    let told = world.does("load here2 chain/step.o");
    assert!(told.contains("was called here1"), "{told}");
    assert_eq!(world.status_of("here2")["programs"].as_array().unwrap().len(), 2);
    // Gone, and what is left of it is cleaned.
    tool(&format!("ip -n {} link del here2", world.here));
    let told = world.does("status");
    assert!(told.contains("here2 (index") && told.contains("xdp clean"), "{told}");
    let told = world.does("clean");
    assert!(told.contains("here2"), "{told}");
    world.nothing_is_left();
    // Gone, and another one with its index and its name: the old chain is not taken for its.
    world.pair("here1", "there1");
    world.does("load here1 chain/step.o");
    let index = world.status_of("here1")["index"].as_u64().unwrap();
    tool(&format!("ip -n {} link del here1", world.here));
    let pair = format!("here1 index {index} type veth peer name there1");
    tool(&format!("ip -n {} link add {pair}", world.here));
    let told = world.does("load here1 chain/step.o -m skb --name anew");
    assert!(told.contains("made anew"), "{told}");
    assert_eq!(world.status_of("here1")["programs"][0]["name"], "anew");
    world.does("unload here1 -a");
    world.nothing_is_left();
}

#[test]
fn without_frags_in_the_kernel() {
    let Some(world) = World::new() else { return };
    let _echo = world.echo();
    for (object, says) in [("chain/frags.o", "loaded without `frags`"), ("chain/step.o", "")] {
        let told = world.does(&format!("load {HERE} {object} --without xdp-frags"));
        assert!(told.contains(says), "{told}");
    }
    assert_eq!(world.send(1), 1);
    assert_eq!(world.value("step", "seen", 0), 1);
    world.does(&format!("unload {HERE} -a"));
    world.nothing_is_left();
}

#[test]
fn frags_where_the_mtu_needs_them() {
    let Some(world) = World::new() else { return };
    if !kernel_has("xdp-frags") {
        return;
    }
    world.does(&format!("load {HERE} chain/frags.o"));
    let told = world.does(&format!("load {HERE} chain/step.o"));
    assert!(told.contains("multi-buffer"), "{told}");
    world.does(&format!("unload {HERE} --name step"));
    tool(&format!("ip -n {} link set {HERE} mtu 9000", world.here));
    world.fails(&format!("load {HERE} chain/step.o"), 1, "`step` does not take those");
    assert_eq!(world.names(), ["frags"]);
    world.does(&format!("unload {HERE} -a"));
    world.nothing_is_left();
    // In skb mode the stack puts packets together for a chain that takes one buffer.
    world.does(&format!("load {HERE} chain/frags.o -m skb"));
    let told = world.does(&format!("load {HERE} chain/step.o -m skb"));
    assert!(told.contains("`frags` takes multi-buffer packets (xdp.frags) and `step` does not"));
    world.does(&format!("unload {HERE} -a"));
    // An adopted program takes them or not, as the kernel says of it; the others have to agree.
    world.put_on(HERE, "xdpdrv", "chain/frags.o", "xdp.frags");
    world.does(&format!("adopt {HERE}"));
    world.fails(&format!("load {HERE} chain/step.o"), 1, "`step` does not take those");
    world.does(&format!("load {HERE} chain/frags.o --name more"));
    assert_eq!(world.names(), ["frags", "more"]);
    world.does(&format!("unload {HERE} -a"));
    tool(&format!("ip -n {} link set {HERE} mtu 1500", world.here));
    world.put_on(HERE, "xdpdrv", "chain/bare.o", "xdp");
    world.does(&format!("adopt {HERE}"));
    let told = world.does(&format!("load {HERE} chain/frags.o"));
    let says =
        "`frags` takes multi-buffer packets (xdp.frags) and `bare` does not: the chain does not";
    assert!(told.contains(says), "{told}");
    world.does(&format!("unload {HERE} -a"));
    world.nothing_is_left();
}
