//! Tables of functions that the kernel calls, registered in the running kernel and taken back.

#![allow(clippy::unwrap_used, clippy::panic)] // That is how a test fails.

use bpfweld::kernel::LoadError;
use bpfweld::object::Object;
use bpfweld::{Kernel, Link, LinkOptions, LoadOptions};

const ALGORITHMS: &str = "/proc/sys/net/ipv4/tcp_available_congestion_control";

fn registered(name: &str) -> bool {
    let all = std::fs::read_to_string(ALGORITHMS).unwrap();
    all.split_whitespace().any(|there| there == name)
}

fn goes_and_comes(file: &str, name: &str, lasts: bool) {
    let read = |file: &str| {
        let path = format!("{}/../../cases/struct-ops/{file}", env!("CARGO_MANIFEST_DIR"));
        Object::parse(file, &std::fs::read(path).unwrap()).unwrap()
    };
    let mut link = Link::new();
    let table = link.add("table", read(file)).unwrap();
    let window = link.add("window", read("window.o")).unwrap();
    link.bind(table, "window", window, Some("half")).unwrap();
    let linked = link.link(&LinkOptions::default()).unwrap();
    let images = linked.images(&[linked.entry(table, Some("ssthresh")).unwrap()]).unwrap();
    // All programs of the table, though one was asked for.
    assert_eq!((images.images.len(), images.entries), (3, 1));
    let mut loaded = match Kernel::new().load(&images, &LoadOptions::default()) {
        Ok(loaded) => loaded,
        // What is not permitted here is no failure of the loader's.
        Err(LoadError::Privilege(_)) => return,
        Err(error) => panic!("{error}"),
    };
    assert!(!registered(name));
    assert_eq!(loaded.register().unwrap(), 1);
    assert!(registered(name));
    assert_eq!(loaded.lasting_tables().count(), usize::from(lasts));
    // A second time: the kernel has it already, and what was registered is taken back.
    loaded.register().unwrap_err();
    assert!(!registered(name));
}

#[test]
fn by_value() {
    goes_and_comes("tcp.o", "weld_by_value", true);
}

#[test]
fn by_link() {
    goes_and_comes("link.o", "weld_by_link", false);
}
