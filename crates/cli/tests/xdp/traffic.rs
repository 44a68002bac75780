//! Traffic while the chain changes, and many that change it.

use std::thread;

use crate::world::{HERE, World, is_brief};

/// Sends at least so many packets and makes so many changes meanwhile.
fn not_one_is_lost(how: &str, packets: u64, changes: u32) {
    let Some(world) = World::new() else { return };
    let (packets, changes) =
        if is_brief() { (packets / 10, changes / 10) } else { (packets, changes) };
    let _echo = world.echo();
    world.does(&format!("load {HERE} chain/step.o --name first{how}"));
    let until = world.temp("enough");
    let sender = world.sender(packets, Some(&until));
    let (rounds, later) = (changes.div_ceil(3), how.replace(" -m skb", ""));
    for _ in 0..rounds {
        world.does(&format!("load {HERE} chain/step.o --name second -P 10{how}"));
        world.does(&format!("replace {HERE} second chain/bare.o{later}"));
        world.does(&format!("unload {HERE} --name second{later}"));
    }
    std::fs::write(&until, "").unwrap();
    let back = sender.wait();
    assert!(back >= packets, "{back} packets");
    // And every one went through the first program, whose map stayed all along; some of the kernel's
    // own (ARP) may have come as well.
    assert!(world.value("first", "seen", 0) >= back);
    assert_eq!(world.status_of(HERE)["generation"], 3 * rounds + 1);
    world.does(&format!("unload {HERE} -a"));
    world.nothing_is_left();
}

#[test]
fn not_a_packet_is_lost_in_the_driver() {
    not_one_is_lost("", 100_000, 200);
}

#[test]
fn not_a_packet_is_lost_in_the_stack() {
    not_one_is_lost(" -m skb", 20_000, 40);
}

#[test]
fn not_a_packet_is_lost_over_netlink() {
    not_one_is_lost(" -m skb --without bpf-link", 20_000, 40);
}

#[test]
fn eight_at_once() {
    const ROUNDS: u32 = 4;
    let Some(world) = World::new() else { return };
    let _echo = world.echo();
    world.does(&format!("load {HERE} chain/step.o --name first"));
    let until = world.temp("enough");
    let sender = world.sender(1, Some(&until));
    thread::scope(|scope| {
        for who in 0..8 {
            let world = &world;
            scope.spawn(move || {
                for _ in 0..ROUNDS {
                    world.does(&format!("load {HERE} chain/step.o --name p{who} -P {who}"));
                    world.does(&format!("unload {HERE} --name p{who}"));
                }
                world.does(&format!("load {HERE} chain/step.o --name p{who} -P {who}"));
            });
        }
    });
    std::fs::write(&until, "").unwrap();
    let back = sender.wait();
    assert!(world.value("first", "seen", 0) >= back);
    assert_eq!(world.names(), ["p0", "p1", "p2", "p3", "p4", "p5", "p6", "p7", "first"]);
    assert_eq!(world.status_of(HERE)["generation"], 8 * (2 * ROUNDS + 1) + 1);
    world.does(&format!("unload {HERE} -a"));
    world.nothing_is_left();
}

#[test]
fn ping_and_tcp_go_through() {
    const BYTES: u64 = 4 << 20;
    let Some(world) = World::new() else { return };
    let _echo = world.tcp_echo();
    for how in ["", " -m skb"] {
        world.does(&format!("load {HERE} chain/step.o --name first{how} --stats"));
        world.does(&format!("load {HERE} chain/bare.o --name second{how}"));
        if let Some(all) = world.ping(3, 30) {
            assert!(all);
            assert!(world.value("first", "seen", 0) >= 3);
        }
        // Over a connection that lasts while the chain changes, not a byte is lost or another.
        let until = world.temp("enough");
        let sender = world.tcp_sender(BYTES, &until);
        for _ in 0..10 {
            world.does(&format!("load {HERE} chain/step.o --name third -P 10{how}"));
            world.does(&format!("unload {HERE} --name third"));
        }
        std::fs::write(&until, "").unwrap();
        let back = sender.wait();
        assert!(back >= BYTES);
        std::fs::remove_file(&until).unwrap();
        // Some 1,500 bytes a packet, or up to 64 KiB of them where the stack puts them together first.
        assert!(world.value("first", "seen", 0) > back / (64 << 10));
        // A chain that drops them.
        world.does(&format!("load {HERE} chain/step.o --name drop --set verdict=1{how}"));
        assert_ne!(world.ping(1, 1), Some(true));
        world.does(&format!("unload {HERE} --name drop"));
        assert_ne!(world.ping(1, 30), Some(false));
        world.does(&format!("unload {HERE} -a"));
        world.nothing_is_left();
    }
}
