//! Why bpf(2) says EPERM: which capability is missing, and what else can be behind it
//! (capabilities(7), kernel_lockdown(7)).

use std::fmt;
use std::path::Path;

use crate::facts::{map_type, prog_type};
use crate::sys::Sys;

/// A capability that bpf(2) asks for.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
#[non_exhaustive]
pub enum Capability {
    /// `CAP_NET_ADMIN`: programs and maps of the network.
    NetAdmin,
    /// `CAP_SYS_ADMIN`: all of it; before Linux 5.8 the only one.
    SysAdmin,
    /// `CAP_PERFMON`: programs that trace.
    Perfmon,
    /// `CAP_BPF`: programs, maps and BTF at all.
    Bpf,
}

impl Capability {
    /// Its number (`linux/capability.h`).
    fn bit(self) -> u32 {
        match self {
            Self::NetAdmin => 12,
            Self::SysAdmin => 21,
            Self::Perfmon => 38,
            Self::Bpf => 39,
        }
    }
}

impl fmt::Display for Capability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NetAdmin => "CAP_NET_ADMIN",
            Self::SysAdmin => "CAP_SYS_ADMIN",
            Self::Perfmon => "CAP_PERFMON",
            Self::Bpf => "CAP_BPF",
        })
    }
}

/// The kernel refused something with EPERM.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Privilege {
    /// What was tried: "load program `x`".
    pub what: String,
    /// Capabilities that it takes and this process has not. Empty: it has all; something else is
    /// in the way.
    pub missing: Vec<Capability>,
    /// Mode of kernel lockdown: `integrity` or `confidentiality`; `None` when it is off.
    pub lockdown: Option<String>,
}

impl Privilege {
    /// Looks into why `what` was refused, which takes `needed`.
    pub(crate) fn find_out(sys: &dyn Sys, what: String, needed: &[Capability]) -> Self {
        let effective = effective(sys).unwrap_or(0);
        let has = |cap: Capability| effective >> cap.bit() & 1 == 1;
        let missing = match has(Capability::SysAdmin) {
            // It stands for CAP_BPF and CAP_PERFMON, not for CAP_NET_ADMIN in newer kernels.
            true => {
                needed.iter().copied().filter(|&c| c == Capability::NetAdmin && !has(c)).collect()
            }
            false => needed.iter().copied().filter(|&c| !has(c)).collect(),
        };
        Self { what, missing, lockdown: lockdown(sys) }
    }
}

impl fmt::Display for Privilege {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the kernel does not permit this process to {}: ", self.what)?;
        match self.missing.as_slice() {
            [] => match &self.lockdown {
                Some(mode) => write!(
                    f,
                    "it has the capabilities, but the kernel is locked down (mode {mode}), which \
                     forbids what could read the kernel's memory"
                )?,
                None => f.write_str(
                    "it has the capabilities, so a container, a user namespace or a security \
                     module is in the way",
                )?,
            },
            missing => {
                let names: Vec<String> = missing.iter().map(ToString::to_string).collect();
                write!(f, "{} missing", names.join(" and "))?;
                if missing.contains(&Capability::Bpf) {
                    f.write_str(" (before Linux 5.8: CAP_SYS_ADMIN)")?;
                }
                f.write_str("; run it as root or grant that")?;
                if let Some(mode) = &self.lockdown {
                    write!(f, " (the kernel is also locked down, mode {mode})")?;
                }
            }
        }
        f.write_str(". `bpfweld inspect` needs no privileges")
    }
}

/// What a program of this type takes.
pub(crate) fn for_program(kind: u32) -> &'static [Capability] {
    use prog_type::{
        CGROUP_SKB, EXT, KPROBE, LSM, PERF_EVENT, RAW_TRACEPOINT, RAW_TRACEPOINT_WRITABLE,
        SOCKET_FILTER, STRUCT_OPS, SYSCALL, TRACEPOINT, TRACING,
    };
    match kind {
        SOCKET_FILTER | SYSCALL => &[Capability::Bpf],
        KPROBE
        | TRACEPOINT
        | PERF_EVENT
        | RAW_TRACEPOINT
        | RAW_TRACEPOINT_WRITABLE
        | TRACING
        | LSM
        | STRUCT_OPS => &[Capability::Bpf, Capability::Perfmon],
        EXT => &[Capability::Bpf, Capability::NetAdmin, Capability::Perfmon],
        CGROUP_SKB => &[Capability::Bpf, Capability::NetAdmin],
        // All others are of the network.
        _ => &[Capability::Bpf, Capability::NetAdmin],
    }
}

/// What a map of this type takes.
pub(crate) fn for_map(kind: u32) -> &'static [Capability] {
    use map_type::{CPUMAP, DEVMAP, DEVMAP_HASH, SOCKHASH, SOCKMAP, XSKMAP};
    match kind {
        CPUMAP | DEVMAP | DEVMAP_HASH | XSKMAP | SOCKMAP | SOCKHASH => {
            &[Capability::Bpf, Capability::NetAdmin]
        }
        _ => &[Capability::Bpf],
    }
}

/// The `CapEff` line of `/proc/self/status`.
fn effective(sys: &dyn Sys) -> Option<u64> {
    let status = sys.read(Path::new("/proc/self/status")).ok()?;
    let status = String::from_utf8_lossy(&status);
    let mask = status.lines().find_map(|line| line.strip_prefix("CapEff:"))?;
    u64::from_str_radix(mask.trim(), 16).ok()
}

/// The mode in brackets: `none [integrity] confidentiality`.
fn lockdown(sys: &dyn Sys) -> Option<String> {
    let modes = sys.read(Path::new("/sys/kernel/security/lockdown")).ok()?;
    let modes = String::from_utf8_lossy(&modes).into_owned();
    let (_, rest) = modes.split_once('[')?;
    let (mode, _) = rest.split_once(']')?;
    (mode != "none").then(|| mode.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::Scripted;

    fn message(caps: &str, lockdown: Option<&str>, needed: &[Capability]) -> String {
        let mut sys = Scripted::new(|_| None)
            .with_file("/proc/self/status", format!("Name:\tx\nCapEff:\t{caps}\n"));
        if let Some(text) = lockdown {
            sys = sys.with_file("/sys/kernel/security/lockdown", text);
        }
        Privilege::find_out(&sys, "load program `x`".into(), needed).to_string()
    }

    #[test]
    fn names_what_is_missing() {
        let all = for_program(prog_type::XDP);
        let text = message("0000000000000000", None, all);
        assert!(text.contains("load program `x`: CAP_BPF and CAP_NET_ADMIN missing"), "{text}");
        assert!(text.contains("bpfweld inspect"));
        // CAP_BPF alone, and CAP_SYS_ADMIN alone.
        for caps in ["0000008000000000", "0000000000200000"] {
            let text = message(caps, None, all);
            assert!(text.contains(": CAP_NET_ADMIN missing"), "{text}");
            assert!(!text.contains("CAP_BPF"), "{text}");
        }
        let text = message("0000008000001000", None, for_program(prog_type::KPROBE));
        assert!(text.contains(": CAP_PERFMON missing"), "{text}");
    }

    #[test]
    fn with_all_capabilities_something_else_is_in_the_way() {
        let needed = for_program(prog_type::TRACING);
        let locked = "none [integrity] confidentiality\n";
        assert!(message("000001ffffffffff", Some(locked), needed).contains("mode integrity"));
        let open = "[none] integrity confidentiality\n";
        let text = message("000001ffffffffff", Some(open), needed);
        assert!(text.contains("a security module is in the way"), "{text}");
        assert!(!text.contains("missing"));
    }
}
