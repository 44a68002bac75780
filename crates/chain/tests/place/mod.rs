//! A network namespace, a BPF file system and a state directory that are gone with the value.

use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use bpfweld_chain::Dirs;

/// Where a test, or the example in the documentation, may load chains: this thread is in it.
pub(crate) struct Place {
    dir: tempfile::TempDir,
    name: String,
}

impl Place {
    /// `None`, and a word about it, where this process may not do such things.
    pub(crate) fn new() -> Option<Self> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        if !status.lines().any(|line| line.starts_with("Uid:\t0\t")) {
            println!("SKIPPED chains: network namespaces need root");
            return None;
        }
        let n = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("bpfweld-place-{}-{n}", std::process::id());
        let place = Self { dir: tempfile::tempdir().ok()?, name };
        std::fs::create_dir(place.bpf()).ok()?;
        tool(&format!("mount -t bpf bpf {}", place.bpf().display()));
        tool(&format!("ip netns add {}", place.name));
        tool(&format!("ip -n {} link set lo up", place.name));
        bpfweld_chain::enter_net_ns(&bpfweld::Kernel::new(), &place.name).ok()?;
        Some(place)
    }

    fn bpf(&self) -> PathBuf {
        self.dir.path().join("bpf")
    }

    /// For [`bpfweld_chain::Chains::new`].
    pub(crate) fn dirs(&self) -> Dirs {
        Dirs { state: self.dir.path().join("state"), pins: self.bpf().join("chains") }
    }

    /// Runs `ip` in the namespace.
    #[allow(dead_code)] // Not everybody needs more than the loopback interface.
    pub(crate) fn ip(&self, line: &str) {
        tool(&format!("ip -n {} {line}", self.name));
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let names = |dir: PathBuf| -> Vec<_> {
            let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
            entries.map(|e| e.file_name()).collect()
        };
        let (pins, state) = (names(self.bpf()), names(self.dirs().state));
        tool(&format!("ip netns del {}", self.name));
        tool(&format!("umount {}", self.bpf().display()));
        if !std::thread::panicking() {
            // What the kernel itself has there are programs that list others.
            // And ip(8) makes directories on whichever BPF file system it finds first.
            let not_ours = |name: &std::ffi::OsString| {
                let name = name.to_string_lossy();
                name.ends_with(".debug") || ["ip", "tc", "xdp"].contains(&&*name)
            };
            assert!(pins.iter().all(not_ours), "left: {pins:?}");
            assert!(state.iter().all(|name| name == "lock"), "left: {state:?}");
        }
    }
}

fn tool(line: &str) {
    let mut words = line.split(' ');
    let output = Command::new(words.next().unwrap_or_default()).args(words).output();
    let output = output.unwrap_or_else(|e| panic!("{line}: {e}"));
    assert!(output.status.success(), "{line}: {}", String::from_utf8_lossy(&output.stderr));
}
