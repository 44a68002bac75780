//! What this machine can do. A run that it cannot do is passed over, counted, and told with the
//! reason.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::Place;
use crate::directives::Run;

/// The machine that the tests run on.
pub(crate) struct Machine {
    /// Why programs cannot be loaded.
    no_bpf: Option<String>,
    root: bool,
    bpftool: bool,
    /// Names of the kernel's features.
    features: Vec<String>,
}

/// Bits of the effective capability set (header `linux/capability.h`).
const CAP_NET_ADMIN: u64 = 1 << 12;
const CAP_SYS_ADMIN: u64 = 1 << 21;
const CAP_BPF: u64 = 1 << 39;

impl Machine {
    /// Looks at this one.
    pub(crate) fn look() -> Self {
        let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        let field = |name: &str| {
            let line = status.lines().find_map(|l| l.strip_prefix(name));
            line.unwrap_or_default().trim().to_string()
        };
        let caps = u64::from_str_radix(&field("CapEff:"), 16).unwrap_or_default();
        let may = caps & CAP_SYS_ADMIN != 0 || caps & CAP_BPF != 0 && caps & CAP_NET_ADMIN != 0;
        let features = Command::new(bpfweld()).args(["features", "--json"]).output().unwrap();
        let json: Value = serde_json::from_slice(&features.stdout).unwrap_or_default();
        let names = json["features"].as_array().into_iter().flatten();
        let no_bpf = if !may {
            Some("no capability to load BPF programs (run as root)".into())
        } else if std::env::var_os("BPFWELD_NO_BPF").is_some() {
            Some("BPFWELD_NO_BPF is set".into())
        } else if !features.status.success() {
            // A container may hold the capability and refuse the system call.
            let stderr = String::from_utf8_lossy(&features.stderr);
            Some(format!("bpfweld features: {}", stderr.lines().next().unwrap_or_default()))
        } else {
            None
        };
        Self {
            no_bpf,
            root: field("Uid:").split_whitespace().nth(1) == Some("0"),
            bpftool: Command::new("bpftool").arg("version").output().is_ok(),
            features: names
                .filter(|f| f["supported"] == true)
                .filter_map(|f| f["name"].as_str().map(String::from))
                .collect(),
        }
    }

    /// Is there a capability to drop?
    pub(crate) fn is_privileged(&self) -> bool {
        self.no_bpf.is_none()
    }

    /// Why a run cannot be done here.
    pub(crate) fn lacks(&self, run: &Run, place: &Place) -> Option<String> {
        // What only reads files works anywhere.
        let reads_only = run.subcommand() == "inspect"
            || run.unprivileged
            || run.needs.iter().any(|need| need == "nothing");
        let engine = run.subcommand() == "run"
            && crate::check::engine().is_some_and(|engine| engine == "engine");
        if !reads_only && !engine && self.no_bpf.is_some() {
            return self.no_bpf.clone();
        }
        for need in &run.needs {
            let missing = match need.as_str() {
                "root" => !self.root,
                "bpf" => self.no_bpf.is_some(),
                "bpftool" => !self.bpftool,
                "kernel-btf" => !Path::new("/sys/kernel/btf/vmlinux").exists(),
                "kconfig" => !kernel_config_is_there(),
                "nothing" => false,
                "kernel" => crate::check::engine().is_some_and(|engine| engine == "engine"),
                other => match other.split_once(':') {
                    Some(("feature", name)) => !self.features.iter().any(|f| f == name),
                    Some(("kernel-symbol", name)) => !kernel_has_symbol(name),
                    _ => panic!("{}::{}: unknown need {other}", run.case, run.name),
                },
            };
            if missing {
                return Some(format!("needs {need}"));
            }
        }
        self.not_built(run, place)
    }

    /// A source that the other tree's compiler could not build says why.
    fn not_built(&self, run: &Run, place: &Place) -> Option<String> {
        let named = run.objects.iter().map(String::as_str);
        let labels = run.labels.iter().filter_map(|l| l.split_once('=')).map(|(_, path)| path);
        let bound = run
            .bind
            .iter()
            .filter_map(|b| b.split_once('='))
            .map(|(_, target)| target.split_once(':').map_or(target, |(path, _)| path));
        let before = run.linked.iter().chain(&run.loaded).flat_map(|(_, how)| how);
        for name in named.chain(labels).chain(bound).chain(before.map(String::as_str)) {
            let source = place.source.join(name).with_extension("c");
            if !name.ends_with(".o") || !source.exists() || place.objects.join(name).exists() {
                continue;
            }
            let text = std::fs::read_to_string(source).unwrap_or_default();
            let reason = text.lines().find_map(|l| l.trim().strip_prefix("//@ no-compiler:"));
            let (compiler, why) = reason.and_then(|r| r.trim().split_once(' '))?;
            return Some(format!("{name} is not built by {compiler}, which {why}"));
        }
        None
    }

    /// Why nothing can be loaded into the kernel.
    pub(crate) fn lacks_kernel(&self) -> Option<String> {
        self.no_bpf.clone()
    }

    /// Why programs of the kernel cannot be looked at.
    pub(crate) fn lacks_bpftool(&self) -> Option<String> {
        (!self.bpftool).then(|| "bpftool is not installed".into())
    }
}

/// Where the running kernel's configuration can be read.
fn kernel_config_is_there() -> bool {
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let boot = format!("/boot/config-{}", release.trim());
    Path::new("/proc/config.gz").exists() || Path::new(&boot).exists()
}

/// Is a symbol of this name in the running kernel, or in a module that it has loaded? A line of
/// `/proc/kallsyms` is an address, a letter, a name, and the module's name in brackets.
fn kernel_has_symbol(name: &str) -> bool {
    let symbols = std::fs::read_to_string("/proc/kallsyms").unwrap_or_default();
    symbols.lines().any(|line| line.split_whitespace().nth(2) == Some(name))
}

/// The command under test: the one that cargo built, or BPFWELD_BIN where that is out of reach (in
/// a guest of `cargo xtask kernels`).
pub(crate) fn bpfweld() -> PathBuf {
    std::env::var_os("BPFWELD_BIN")
        .map_or_else(|| env!("CARGO_BIN_EXE_bpfweld").into(), PathBuf::from)
}
