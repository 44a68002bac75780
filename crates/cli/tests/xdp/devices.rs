//! Programs that are loaded for one device: bound to the interface, or for its card.

use crate::world::{HERE, World, kernel_has};

#[test]
fn bound_to_the_interface_all_or_none() {
    let Some(world) = World::new() else { return };
    if !kernel_has("xdp-dev-bound") {
        return;
    }
    let _echo = world.echo();
    // What asks the driver is refused by the verifier unless it is bound, and in skb mode.
    world.fails(&format!("load {HERE} chain/hints.o"), 1, "device-bound");
    world.fails(&format!("load {HERE} chain/hints.o --dev-bound -m skb"), 1, "native mode only");
    world.nothing_is_left();
    world.does(&format!("load {HERE} chain/hints.o --dev-bound"));
    assert_eq!(world.status_of(HERE)["programs"][0]["dev_bound"], true);
    world.does(&format!("load {HERE} chain/step.o --dev-bound -P 60"));
    assert_eq!(world.send(3), 3);
    assert_eq!((world.value("hints", ".bss", 0), world.value("step", "seen", 0)), (3, 3));
    // One that is not: refused, and both are named.
    for line in [format!("load {HERE} chain/bare.o"), format!("replace {HERE} step chain/step.o")] {
        let name = if line.starts_with("load") { "`bare`" } else { "`step`" };
        world.fails(&line, 1, &format!("`hints` is bound to the interface and {name} is not"));
    }
    assert_eq!(world.names(), ["hints", "step"]);
    // They stay bound when the chain is built anew.
    world.does(&format!("unload {HERE} --name step"));
    world.does(&format!("rollback {HERE}"));
    assert_eq!(world.send(1), 1);
    assert_eq!((world.value("hints", ".bss", 0), world.value("step", "seen", 0)), (4, 4));
    world.does(&format!("unload {HERE} -a"));
    // And the other way round.
    world.does(&format!("load {HERE} chain/bare.o"));
    world.fails(&format!("load {HERE} chain/hints.o --dev-bound"), 1, "`bare` is not");
    world.does(&format!("unload {HERE} -a"));
    world.nothing_is_left();
    // A driver that takes none: the loopback interface's.
    world.fails("load lo chain/step.o --dev-bound", 1, "takes no programs that are bound");
    world.fails(
        &format!("load {HERE} chain/step.o --dev-bound --without xdp-dev-bound"),
        1,
        "Linux 6.3",
    );
    world.nothing_is_left();
}

#[test]
fn in_a_card_there_is_one() {
    let Some(world) = World::new() else { return };
    let two = format!("load {HERE} chain/step.o chain/bare.o -m hw");
    world.fails(&two, 1, "in hw mode there can be one program only, not 2");
    // A pair of virtual interfaces has no card.
    world.fails(&format!("load {HERE} chain/step.o -m hw"), 1, "for the card (hw mode)");
    // Where the kernel says what interfaces can do, it is not asked to make maps for a card.
    if world.output(&format!("features {HERE}")).status.success() {
        world.fails(&format!("load {HERE} chain/step.o -m hw"), 1, "HW_OFFLOAD");
    }
    world.nothing_is_left();
}
