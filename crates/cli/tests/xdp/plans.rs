//! `xdp apply` and `xdp diff`.

use crate::world::{HERE, World, tool};

/// Writes a plan; `STEP` in it is the path of an object.
fn plan(world: &World, text: &str) -> String {
    let path = world.temp("plan.toml");
    let text = text.replace("STEP", &World::object("chain/step.o"));
    std::fs::write(&path, text).unwrap();
    path.to_str().unwrap().to_owned()
}

const TWO: &str = r#"
[[interface]]
name = "here0"
stats = true
[[interface.program]]
object = "STEP"
name = "first"
priority = 5
set = { id = 1, verdict = "2" }
[[interface.program]]
object = "STEP"
program = "other"
name = "second"
actions = ["XDP_PASS", "XDP_TX"]
map = { order = "first:order" }
"#;

#[test]
fn a_plan_is_made_so_and_then_nothing_differs() {
    let Some(world) = World::new() else { return };
    let _echo = world.echo();
    // Tried without being attached, it is the kernel that takes it or not.
    let wild = World::object("verifier/wild.o");
    let program = format!("[[interface.program]]\nobject = \"{wild}\"\n");
    let path = plan(&world, &format!("[[interface]]\nname = \"{HERE}\"\n{program}"));
    world.fails(&format!("apply {path} --dry-run"), 1, "invalid access to packet");
    let path = plan(&world, TWO);
    world.fails(&format!("diff {path}"), 1, "");
    world.does(&format!("apply {path} --dry-run"));
    assert_eq!(world.names(), [""; 0]);
    world.does(&format!("apply {path}"));
    assert_eq!(world.names(), ["first", "second"]);
    assert!(world.does(&format!("diff {path}")).is_empty());
    world.does(&format!("apply {path}"));
    assert_eq!(world.status_of(HERE)["generation"], 1);
    assert_eq!(world.send(2), 2);
    // Both wrote to the one map.
    assert_eq!(world.value("second", "order", 0), 4);
    assert_eq!(world.value("first", "order", 1), 1);
    // Another place, and one less: maps of what stays are as they were.
    let other = TWO.split("[[interface.program]]\nobject = \"STEP\"\nprogram").next().unwrap();
    let path = plan(&world, &other.replace("priority = 5", "priority = 7"));
    let told = world.output(&format!("diff {path}")).stdout;
    let told = String::from_utf8(told).unwrap();
    assert!(told.contains("~ first: priority 5 -> 7\n") && told.contains("- second"), "{told}");
    world.does(&format!("apply {path}"));
    assert_eq!(world.names(), ["first"]);
    assert_eq!(world.value("first", "seen", 0), 2);
    // Another variable: another program in its place, which goes on with the map.
    let path = plan(&world, &other.replace("id = 1", "id = 3"));
    let told = String::from_utf8(world.output(&format!("diff {path}")).stdout).unwrap();
    let says =
        "~ first: anew, set { id = 1, verdict = 2 } -> { id = 3, verdict = 2 }, priority 7 -> 5\n";
    assert!(told.contains(says), "{told}");
    world.does(&format!("apply {path}"));
    assert_eq!(world.send(1), 1);
    assert_eq!((world.value("first", "seen", 0), world.value("first", ".bss", 0)), (3, 1));
    // Another mode is told, and wants the chain to be unloaded first.
    let skb = other.replace("\"here0\"", "\"here0\"\nmode = \"skb\"");
    let path = plan(&world, &skb.replace("id = 1", "id = 3"));
    let told = String::from_utf8(world.output(&format!("diff {path}")).stdout).unwrap();
    assert!(told.ends_with("  ~ mode: native -> skb\n"), "{told}");
    world.fails(&format!("apply {path}"), 1, "unload it before");
    // No programs at all, in whatever mode.
    let path = plan(&world, "[[interface]]\nname = \"here0\"\nmode = \"skb\"\n");
    world.does(&format!("apply {path}"));
    world.nothing_is_left();
}

#[test]
fn all_interfaces_or_none() {
    let Some(world) = World::new() else { return };
    world.pair("here1", "there1");
    world.does("load here0 chain/step.o --name before --set id=1");
    world.does("replace here0 before chain/step.o --set id=2");
    let both = |second: &str| {
        let program = "[[interface.program]]\nobject = \"STEP\"\n";
        format!(
            "[[interface]]\nname = \"here0\"\n{program}[[interface]]\nname = \"{second}\"\n{program}"
        )
    };
    // The second is verified and then not taken by its driver: the first is taken back.
    let path = plan(&world, &both("lo"));
    world.fails(&format!("apply {path}"), 1, "E0706");
    assert_eq!(world.shape(&["here0"]), "here0: before[id=2]");
    // And what there was to go back to is there still.
    world.does("rollback here0");
    assert_eq!(world.shape(&["here0"]), "here0: before[id=1]");
    world.does("rollback here0");
    assert_eq!(world.shape(&["here0"]), "here0: before[id=2]");
    // Where there was nothing, there is nothing.
    world.does("unload here0 -a");
    world.does("load here0 chain/step.o --name before");
    world.fails(&format!("apply {path}"), 1, "E0706");
    world.fails("rollback here0", 1, "no previous generation");
    assert_eq!(world.names(), ["before"]);
    // Somebody else's program on the second: nothing is begun.
    world.put_on("here1", "xdpgeneric", "chain/bare.o", "xdp");
    let path = plan(&world, &both("here1"));
    world.fails(&format!("apply {path}"), 1, "E0702");
    assert_eq!(world.names(), ["before"]);
    tool(&format!("ip -n {} link set here1 xdpgeneric off", world.here));
    world.does(&format!("apply {path}"));
    assert_eq!(world.names(), ["step"]);
    assert_eq!(world.status_of("here1")["programs"][0]["name"], "step");
    for interface in ["here0", "here1"] {
        world.does(&format!("unload {interface} -a"));
    }
    world.nothing_is_left();
}

#[test]
fn what_a_plan_cannot_say() {
    let Some(world) = World::new() else { return };
    let program = "[[interface]]\nname = \"here0\"\n[[interface.program]]\nobject = \"STEP\"\n";
    let wrong = [
        ("interfaces = 3".to_owned(), "interfaces"),
        (format!("{program}prio = 3"), "prio"),
        (format!("{program}actions = [\"XDP_NONE\"]"), "XDP_NONE"),
        (format!("{program}set = {{ id = 1.5 }}"), "float"),
        (format!("{program}section = \"xdp\"\nprogram = \"step\""), "exclude"),
        (
            format!("{program}[[interface.program]]\nobject = \"STEP\"\n"),
            "two programs called `step`",
        ),
        (format!("{program}{program}"), "twice"),
    ];
    for (text, says) in wrong {
        world.fails(&format!("apply {}", plan(&world, &text)), 1, says);
    }
    world.nothing_is_left();
}

#[test]
fn programs_of_a_plan_share_maps_without_btf() {
    let Some(world) = World::new() else { return };
    let _echo = world.echo();
    let object = World::object("chain/legacy.o");
    let text = format!(
        "[[interface]]\nname = \"here0\"\n\
         [[interface.program]]\nobject = \"{object}\"\nname = \"one\"\n\
         [[interface.program]]\nobject = \"{object}\"\nname = \"two\"\nmap = {{ tally = \"one:tally\" }}\n\
         [[interface.program]]\nobject = \"{object}\"\nname = \"apart\"\n"
    );
    let path = plan(&world, &text);
    world.does(&format!("apply {path}"));
    assert_eq!(world.send(2), 2);
    let counted = |name: &str| world.value(name, "tally", 0);
    assert_eq!((counted("one"), counted("two"), counted("apart")), (4, 4, 2));
    // It stays shared when the chain is built anew, and when its owner goes.
    world.does("load here0 chain/step.o");
    assert_eq!(world.send(1), 1);
    assert_eq!((counted("one"), counted("two"), counted("apart")), (6, 6, 3));
    world.does("unload here0 --name one");
    assert_eq!(world.send(1), 1);
    assert_eq!((counted("two"), counted("apart")), (7, 4));
    world.does("unload here0 -a");
    world.nothing_is_left();
}

#[test]
fn programs_of_a_plan_share_maps_with_types() {
    let Some(world) = World::new() else { return };
    let _echo = world.echo();
    let object = World::object("chain/locked.o");
    let program = |name: &str, with: &str| {
        let map = match with {
            "" => String::new(),
            with => format!("map = {{ accounts = \"{with}:accounts\" }}\n"),
        };
        format!("[[interface.program]]\nobject = \"{object}\"\nname = \"{name}\"\n{map}")
    };
    // One after the other: what `a` shares is what `b` shares with `c`.
    let text = format!(
        "[[interface]]\nname = \"here0\"\n{}{}{}",
        program("a", "b"),
        program("b", "c"),
        program("c", "")
    );
    let path = plan(&world, &text);
    world.does(&format!("apply {path}"));
    assert_eq!(world.send(2), 2);
    // Behind the lock and what fills it up.
    let counted = |name: &str| world.value_at(name, "accounts", 0, 8);
    assert_eq!((counted("a"), counted("b"), counted("c")), (6, 6, 6));
    world.does("unload here0 --name c");
    assert_eq!(world.send(1), 1);
    assert_eq!((counted("a"), counted("b")), (8, 8));
    world.does("unload here0 -a");
    let wrong = text.replace("c:accounts", "c:nosuch");
    world.fails(&format!("apply {}", plan(&world, &wrong)), 1, "has no map `nosuch`");
    // Maps of two shapes.
    let other = World::object("chain/step.o");
    let wrong = format!(
        "[[interface]]\nname = \"here0\"\n{}[[interface.program]]\nobject = \"{other}\"\n\
         map = {{ seen = \"c:accounts\" }}\n",
        program("c", "")
    );
    world.fails(&format!("apply {}", plan(&world, &wrong)), 1, "its value size is 16");
    world.nothing_is_left();
}
