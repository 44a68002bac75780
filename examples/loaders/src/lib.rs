//! What the examples have in common: objects are linked ahead of time, and one object comes out that any
//! loader takes.

use anyhow::{Context as _, Result};
use bpfweld::static_link::{Linker, Options};

/// An object of the project's test cases.
fn case(name: &str) -> Result<Vec<u8>> {
    let path = format!("{}/../../cases/{name}", env!("CARGO_MANIFEST_DIR"));
    std::fs::read(&path).context(path)
}

/// By name: `uses` calls functions of `defines`, and shares variables and a map with it. It passes a packet
/// if all of that works.
pub fn by_name() -> Result<Vec<u8>> {
    let mut linker = Linker::new();
    for name in ["uses.o", "defines.o"] {
        linker.add(name, &case(&format!("static-link/{name}"))?)?;
    }
    Ok(linker.link(&Options::default())?.bytes)
}

/// By explicit bindings, which no other linker has: a dispatcher calls two entry programs of other objects,
/// the second of which drops the packet.
pub fn by_binding() -> Result<Vec<u8>> {
    let mut linker = Linker::new();
    let root = linker.add("root", &case("rfc-selftest/root.o")?)?;
    let dummy = linker.add("dummy", &case("rfc-selftest/dummy.o")?)?;
    let drop = linker.add("drop", &case("rfc-selftest/drop.o")?)?;
    linker.bind(root, "prog1", dummy, Some("xdp_dummy_prog"));
    linker.bind(root, "prog2", drop, Some("xdp_drop_prog"));
    let options = Options { root: Some(root), ..Options::default() };
    Ok(linker.link(&options)?.bytes)
}

/// One object twice, its maps apart: `x_counter` and `y_counter`, each counting its own calls.
pub fn twice() -> Result<Vec<u8>> {
    let mut linker = Linker::new();
    let root = linker.add("root", &case("instances/root.o")?)?;
    let counter = case("instances/counter.o")?;
    for (label, name) in [("x", "first"), ("y", "second")] {
        let id = linker.add(label, &counter)?;
        linker.bind(root, name, id, Some("count"));
        linker.prefix(id, &format!("{label}_"));
    }
    let options = Options { root: Some(root), ..Options::default() };
    Ok(linker.link(&options)?.bytes)
}

/// What the XDP program of each object is called, and the verdicts it is to give, packet by packet.
pub const EXPECTED: [(&str, [u32; 3]); 3] = [
    // XDP_PASS if every sum is what it has to be, which the first packet changes: XDP_ABORTED then.
    ("uses", [2, 0, 0]),
    // XDP_DROP.
    ("dispatcher", [1, 1, 1]),
    // The counters of both.
    ("root", [11000, 22011, 33011]),
];
