//! The guest's file system: busybox, the command, the case runner, the cases, and a script as its first
//! process that runs them and writes what they say to the second serial port. The first one is the
//! kernel's own, so that its messages do not come in between.
//!
//! bpftool, xdp-loader, ping, setpriv and ip (those of busybox do less) are taken along where this
//! machine has them, with the shared libraries that they need; without, the cases that want them are passed
//! over and counted.

use std::fs::File;
use std::io::BufWriter;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};

use super::build::Binaries;
use super::initramfs::Archive;
use super::packages::Kernel;
use super::{find_tool, modules};

/// Begins the lines by which the script parts its output; `report.rs` looks for them.
pub(super) const MARK: &str = "%%guest%%";

/// Programs of this machine that cases use if they are there.
const OPTIONAL: &[&str] = &["bpftool", "ip", "ping", "setpriv", "xdp-loader"];

/// What the guest is to do, beside telling its features.
pub(super) enum Job<'a> {
    /// Nothing.
    Features,
    /// Run the tests whose name contains this; all of those that take long.
    Tests { filter: Option<&'a str>, all: bool },
    /// Compare with libbpf, over the objects in these directories whose path contains this.
    Peer(&'a [PathBuf], Option<&'a str>),
}

/// A guest's file system being written.
pub(super) struct Guest {
    pub(super) archive: Archive<BufWriter<File>>,
    /// Shared libraries that are in it.
    libraries: Vec<PathBuf>,
    /// Modules that it loads.
    modules: Vec<String>,
}

impl Guest {
    /// What every guest has: busybox, the command, the kernel's configuration and modules.
    pub(super) fn new(kernel: &Kernel, command: &Path, to: &Path) -> Result<Self> {
        let file = File::create(to).with_context(|| to.display().to_string())?;
        let mut archive = Archive::new(BufWriter::new(file));
        for dir in ["dev", "proc", "sys", "tmp", "run", "root"] {
            archive.directory(dir)?;
        }
        // The kernel opens it before anything can mount /dev.
        archive.device("dev/console", 5, 1)?;
        archive.copy(
            &busybox().context("busybox-static is not installed")?,
            "bin/busybox",
            0o755,
        )?;
        archive.copy(command, "usr/bin/bpfweld", 0o755)?;
        if let Some(config) = &kernel.config {
            archive.copy(config, &format!("boot/config-{}", kernel.release), 0o644)?;
        }
        let loaded = modules::to_load(&kernel.modules)?;
        for module in &loaded {
            archive.file(&format!("modules/{}.ko", module.name), 0o644, &module.bytes)?;
        }
        let modules = loaded.into_iter().map(|m| m.name).collect();
        Ok(Self { archive, libraries: Vec::new(), modules })
    }

    /// Copies a program of this machine, and the shared libraries that it needs.
    pub(super) fn copy_program(&mut self, program: &Path, name: &str) -> Result<()> {
        self.archive.copy(program, &format!("usr/bin/{name}"), 0o755)?;
        for library in libraries(program) {
            if !self.libraries.contains(&library) {
                self.archive.copy(&library, &library.to_string_lossy(), 0o755)?;
                self.libraries.push(library);
            }
        }
        Ok(())
    }

    /// Copies Debian's XDP objects, to where they are here.
    pub(super) fn copy_installed(&mut self) -> Result<()> {
        for entry in std::fs::read_dir("/usr/lib").into_iter().flatten().flatten() {
            let objects = entry.path().join("bpf");
            if objects.is_dir() {
                self.archive.copy_tree(&objects, &objects.to_string_lossy())?;
            }
        }
        Ok(())
    }

    /// Writes the first process, which runs these commands.
    pub(super) fn finish(mut self, commands: &str) -> Result<()> {
        let init = init(&self.modules.join(" "), commands);
        self.archive.file("init", 0o755, init.as_bytes())?;
        self.archive.finish()?;
        Ok(())
    }
}

/// Writes the file system of a guest that does a job.
pub(super) fn pack(
    root: &Path,
    kernel: &Kernel,
    binaries: &Binaries,
    job: &Job,
    to: &Path,
) -> Result<()> {
    let mut guest = Guest::new(kernel, &binaries.command, to)?;
    // At the place where it was when the tests were built: their paths are from there.
    for tree in ["cases", "examples"] {
        let tree = root.join(tree);
        guest.archive.copy_tree(&tree, &tree.to_string_lossy())?;
    }
    for sub in ["crates/bpfweld", "crates/kernel", "crates/cli"] {
        guest.archive.directory(&root.join(sub).to_string_lossy())?;
    }
    let commands = match job {
        Job::Features => String::new(),
        Job::Tests { filter, all } => {
            for program in OPTIONAL.iter().filter_map(|name| find_tool(name)) {
                let name = program.file_name().unwrap_or_default().to_string_lossy().into_owned();
                guest.copy_program(&program, &name)?;
            }
            guest.copy_installed()?;
            pack_tests(&mut guest, binaries, *filter, *all)?
        }
        Job::Peer(dirs, filter) => {
            let peer = binaries.peer.as_deref().context("peer-diff is not built")?;
            guest.copy_program(peer, "bpfweld-peer")?;
            pack_objects(&mut guest, root, dirs, *filter)?
        }
    };
    guest.finish(&commands)
}

/// Packs the test programs; gives the commands that run them.
fn pack_tests(
    guest: &mut Guest,
    binaries: &Binaries,
    filter: Option<&str>,
    all: bool,
) -> Result<String> {
    let filter = filter.map(quoted).unwrap_or_default();
    let mut commands = String::from(if all { "" } else { "export BPFWELD_BRIEF=1\n" });
    for (suite, program) in &binaries.suites {
        let name = suite.test;
        guest.archive.copy(program, &format!("suites/{name}"), 0o755)?;
        // What goes to standard error would come in between the names of the tests.
        commands += &format!(
            "echo '{MARK} suite:{name}'\n\
             /suites/{name} --test-threads 1 --color never {filter} 2>/tmp/stderr\n\
             echo '{MARK} stderr:{name}'\n\
             cat /tmp/stderr\n"
        );
    }
    Ok(commands)
}

/// Packs the objects to compare; gives the command that does.
fn pack_objects(
    guest: &mut Guest,
    root: &Path,
    dirs: &[PathBuf],
    filter: Option<&str>,
) -> Result<String> {
    let archive = &mut guest.archive;
    archive.copy(&root.join("xtask/peer/allowed.toml"), "peer/allowed.toml", 0o644)?;
    let mut command = format!(
        "mount -t tracefs tracefs /sys/kernel/tracing\n\
         echo '{MARK} peer'\n\
         bpfweld-peer diff --allowed /peer/allowed.toml --cache /tmp/peer --timeout 900"
    );
    if let Some(filter) = filter {
        command += &format!(" --filter {}", quoted(filter));
    }
    for dir in dirs {
        let name = dir.file_name().context("a directory without a name")?.to_string_lossy();
        archive.copy_tree(dir, &format!("objects/{name}"))?;
        command += &format!(" {}", quoted(&format!("/objects/{name}")));
    }
    Ok(command + "\necho $?\n")
}

/// As one word of a shell.
fn quoted(word: &str) -> String {
    format!("'{}'", word.replace('\'', "'\\''"))
}

/// The guest's first process. It raises no limit: what a program needs, bpfweld has to see to.
fn init(modules: &str, commands: &str) -> String {
    format!(
        r#"#!/bin/busybox sh
export PATH=/usr/bin:/usr/sbin:/bin:/sbin
/bin/busybox mkdir -p /usr/sbin /sbin
/bin/busybox --install -s /bin
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
mount -t bpf bpf /sys/fs/bpf
ip link set lo up
for module in {modules}; do
    insmod /modules/$module.ko
done
export HOME=/root LANG=C.UTF-8 RUST_BACKTRACE=1 NO_COLOR=1
export BPFWELD_BIN=/usr/bin/bpfweld
exec >/dev/ttyS1 2>&1 </dev/null
stty -F /dev/ttyS1 -onlcr
echo '{MARK} release'
uname -r
echo '{MARK} features'
bpfweld features --json
{commands}echo '{MARK} end'
exec >/dev/console 2>&1
sync
poweroff -f
"#
    )
}

/// Debian puts the static one where the shared one would be.
pub(super) fn busybox() -> Option<PathBuf> {
    ["busybox-static", "busybox"].iter().filter_map(|name| find_tool(name)).find(|p| is_static(p))
}

/// Needs no program interpreter: `ldd` lists no library.
fn is_static(program: &Path) -> bool {
    libraries(program).is_empty()
}

/// Shared libraries that a program of this machine loads, its interpreter included.
fn libraries(program: &Path) -> Vec<PathBuf> {
    let output = Command::new("ldd").arg(program).output();
    let text = output.map(|o| String::from_utf8_lossy(&o.stdout).into_owned()).unwrap_or_default();
    // `libc.so.6 => /lib/… (0x…)` and `/lib64/ld-linux-x86-64.so.2 (0x…)`.
    text.lines()
        .filter_map(|line| line.split_whitespace().find(|word| word.starts_with('/')))
        .map(PathBuf::from)
        .collect()
}
