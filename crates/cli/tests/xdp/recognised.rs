//! What happened between two commands is recognised and told; pins of maps by name come and go as they
//! should.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

use crate::world::{HERE, World, tool};

fn names_in(dir: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(dir).into_iter().flatten();
    let mut names: Vec<_> =
        entries.map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn a_lost_state_directory() {
    let Some(world) = World::new() else { return };
    let _echo = world.echo();
    for how in ["", " --without bpf-link"] {
        let load = format!("load {HERE} chain/step.o --name first{how}");
        let lose = || {
            world.does(&load);
            std::fs::remove_dir_all(world.state()).unwrap();
            let told = world.does(&format!("status {HERE}"));
            assert!(told.contains("whose state in") && told.contains("xdp adopt"), "{told}");
            // It is left as it is, its maps too.
            let chain = world.pins().join(&names_in(&world.pins())[0]);
            assert_eq!(names_in(&chain.join("maps/1")), ["_bss", "_rodata", "order", "seen"]);
            assert_eq!(world.send(1), 1);
        };
        lose();
        world.fails(&load, 1, "E0702");
        world.fails(&load, 1, "whose state in");
        world.fails(&format!("unload {HERE} --name first"), 1, "whose state in");
        world.does("clean");
        world.does(&format!("unload {HERE} -a"));
        world.nothing_is_left();
        // Or it goes on as the first of a new one.
        lose();
        world.does(&format!("adopt {HERE}"));
        world.does(&format!("load {HERE} chain/step.o --name second -P 60"));
        assert_eq!(world.names(), ["xdp_chain", "second"]);
        assert_eq!(world.send(2), 2);
        assert_eq!(world.value("second", "seen", 0), 2);
        world.does(&format!("unload {HERE} -a"));
        world.nothing_is_left();
    }
}

#[test]
fn a_restart_of_the_machine() {
    let Some(world) = World::new() else { return };
    world.does(&format!("load {HERE} chain/step.o --name first"));
    world.does(&format!("load {HERE} chain/step.o --name second"));
    // As if written before it.
    let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap();
    let another = boot.trim().chars().rev().collect::<String>();
    let chain = names_in(&world.state()).into_iter().find(|n| n != "lock").unwrap();
    for state in ["current", "previous"] {
        let path = world.state().join(&chain).join(state);
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.contains(boot.trim()));
        std::fs::write(&path, text.replace(boot.trim(), &another)).unwrap();
    }
    let netns = chain.split('-').next().unwrap();
    let journal = format!(
        r#"{{"version": 1, "boot": "{another}", "netns": [4, {netns}], "steps": [
            {{"interface": "{HERE}", "ifindex": 2, "was": 0, "becomes": 1, "previous": false}}]}}"#
    );
    std::fs::write(world.state().join(format!("apply-{netns}")), journal).unwrap();
    let told = world.does(&format!("load {HERE} chain/step.o --name anew"));
    assert!(told.contains("from before the machine was started"), "{told}");
    assert_eq!(world.names(), ["anew"]);
    world.does(&format!("unload {HERE} -a"));
    world.nothing_is_left();
}

#[test]
fn somebody_elses_program_in_its_place() {
    let Some(world) = World::new() else { return };
    let bare = World::object("chain/bare.o");
    world.does(&format!("load {HERE} chain/step.o -m skb --without bpf-link"));
    tool(&format!("ip -n {} -force link set {HERE} xdpgeneric obj {bare} sec xdp", world.here));
    let told = world.does(&format!("status {HERE}"));
    assert!(told.contains("replaced by somebody else's program"), "{told}");
    assert_eq!(world.shape(&[HERE]), format!("{HERE}: (bare)"));
    // It is theirs now: named, with its tag, and left alone; nothing of the chain is left.
    world.fails(&format!("load {HERE} chain/step.o"), 1, "`bare`, id ");
    world.fails(&format!("load {HERE} chain/step.o"), 1, ", tag ");
    assert_eq!(world.shape(&[HERE]), format!("{HERE}: (bare)"));
    tool(&format!("ip -n {} link set {HERE} xdpgeneric off", world.here));
    world.nothing_is_left();
    // A link of ours is not taken off by others; they are told so.
    world.does(&format!("load {HERE} chain/step.o"));
    let off = ["-n", &world.here, "-force", "link", "set", HERE, "xdpdrv", "off"];
    assert!(!Command::new("ip").args(off).output().unwrap().status.success());
    assert_eq!(world.names(), ["step"]);
    world.does(&format!("unload {HERE} -a"));
    world.nothing_is_left();
}

/// The state of the only chain.
fn current(world: &World) -> PathBuf {
    let chain = names_in(&world.state()).into_iter().find(|n| n != "lock").unwrap();
    world.state().join(chain).join("current")
}

/// A state that says less, or of a map what is no longer so: maps are found by their pins.
#[test]
fn maps_without_their_ids() {
    let Some(world) = World::new() else { return };
    let _echo = world.echo();
    for ids in [None, Some(json!([u32::MAX, u32::MAX]))] {
        world.does(&format!("load {HERE} chain/step.o --name s1"));
        assert_eq!(world.send(3), 3);
        let path = current(&world);
        let mut state: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        state.as_object_mut().unwrap().remove("usual").unwrap();
        let member = state["members"][0].as_object_mut().unwrap();
        let known = member.remove("map_ids").unwrap();
        assert_eq!(known.as_array().unwrap().len(), member["maps"].as_object().unwrap().len());
        member.extend(ids.map(|ids| ("map_ids".into(), ids)));
        std::fs::write(&path, state.to_string()).unwrap();
        world.does(&format!("load {HERE} chain/step.o --name s2"));
        assert_eq!(world.send(2), 2);
        assert_eq!((world.value("s1", "seen", 0), world.value("s2", "seen", 0)), (5, 2));
        world.does(&format!("unload {HERE} -a"));
    }
    world.nothing_is_left();
}

#[test]
fn what_cannot_be_read() {
    let Some(world) = World::new() else { return };
    world.does(&format!("load {HERE} chain/step.o"));
    let path = current(&world);
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, &text[..text.len() / 2]).unwrap();
    world.fails(&format!("load {HERE} chain/step.o"), 1, "E0708");
    assert!(std::fs::exists(&path).unwrap());
    std::fs::write(&path, &text).unwrap();
    world.does(&format!("unload {HERE} -a"));
    world.nothing_is_left();
    // Cleaned, it is as if it were lost, by whatever name of the interface.
    for clean in ["clean".to_owned(), format!("clean {HERE}")] {
        world.does(&format!("load {HERE} chain/step.o"));
        std::fs::write(&path, &text[..text.len() / 2]).unwrap();
        world.does("clean elsewhere");
        world.fails(&format!("unload {HERE} -a"), 1, "`bpfweld xdp clean` removes it");
        let told = world.does(&clean);
        assert!(told.contains("it is removed") && told.contains("xdp adopt"), "{told}");
        world.does(&format!("unload {HERE} -a"));
        world.nothing_is_left();
    }
}

#[test]
fn maps_pinned_by_name() {
    let Some(world) = World::new() else { return };
    let _echo = world.echo();
    let dir = |name: &str| world.pin_root().join(name);
    for name in ["one", "two"] {
        std::fs::create_dir(dir(name)).unwrap();
    }
    let load = |interface: &str, name: &str, more: &str| {
        let path = dir(name);
        format!("load {interface} chain/pinned.o -p {} --name {name}{more}", path.display())
    };
    // What does not come to run leaves no pin: not one that is not taken by the driver, not one that is
    // only tried, not one that the verifier refuses.
    world.fails(&load("lo", "one", ""), 1, "E0706");
    world.does(&load(HERE, "one", " --dry-run"));
    let with = load(HERE, "one", "").replace(" --name one", " verifier/wild.o");
    world.fails(&with, 1, "invalid access to packet");
    assert!(names_in(&dir("one")).is_empty());
    // Each under its own path; who comes later finds the map.
    world.does(&load(HERE, "one", ""));
    world.does(&load(HERE, "two", ""));
    world.does(&load(HERE, "one", "").replace("--name one", "--name three"));
    for name in ["one", "two"] {
        assert_eq!(names_in(&dir(name)), ["bpfweld_shared"]);
    }
    assert_eq!(world.send(1), 1);
    let counted = |name: &str| world.value(name, "bpfweld_shared", 0);
    assert_eq!((counted("one"), counted("two"), counted("three")), (2, 1, 2));
    // One that is there already is not removed by a load that fails.
    world.fails(&load("lo", "one", ""), 1, "E0706");
    // They stay when the programs go, as with other loaders.
    world.does(&format!("unload {HERE} -a"));
    world.nothing_is_left();
    // A plan has a path for each program.
    let program = |name: &str| {
        format!(
            "[[interface.program]]\nobject = \"{}\"\nname = \"{name}\"\npin_path = \"{}\"\n",
            World::object("chain/pinned.o"),
            dir(name).display()
        )
    };
    for name in ["one", "two"] {
        std::fs::remove_file(dir(name).join("bpfweld_shared")).unwrap();
    }
    let text = format!("[[interface]]\nname = \"{HERE}\"\n{}{}", program("one"), program("two"));
    let path = world.temp("plan.toml");
    std::fs::write(&path, text).unwrap();
    world.does(&format!("apply {}", path.display()));
    assert_eq!(world.send(2), 2);
    assert_eq!((counted("one"), counted("two")), (2, 2));
    world.does(&format!("unload {HERE} -a"));
    for name in ["one", "two"] {
        assert_eq!(names_in(&dir(name)), ["bpfweld_shared"]);
        std::fs::remove_file(dir(name).join("bpfweld_shared")).unwrap();
        std::fs::remove_dir(dir(name)).unwrap();
    }
    world.nothing_is_left();
    // Without a path, where libbpf has them: in a mount of its own.
    let mut load = world.command(&format!("load {HERE} chain/pinned.o"));
    load.env("BPFWELD_PIN_DIR", "/sys/fs/bpf/bpfweld");
    let script = format!(
        "mount -t bpf bpf /sys/fs/bpf && \"$@\" && test -e /sys/fs/bpf/bpfweld_shared && \
         \"$1\" xdp unload {HERE} -a --netns {}",
        world.here
    );
    let mut private = Command::new("unshare");
    private.args(["--mount", "sh", "-c", &script, "sh"]).arg(load.get_program());
    private.args(load.get_args());
    private.envs(load.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let output = private.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    world.nothing_is_left();
}
