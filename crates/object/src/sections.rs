//! Section names of entry programs: which program type, attach type and flags each stands for.
//!
//! The names are libbpf's (its `docs/program_types.rst`); a new one goes into `TABLE` and nowhere
//! else.

use std::cmp::Reverse;

use bpfweld_btf::order;

use crate::program::{AttachType as A, ProgramSpec, ProgramType as P};

/// How a section name was understood.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum SectionName {
    /// It is in the table.
    Known(ProgramSpec),
    /// It is not, but begins with a name that is (`xdp_drop`, `socket1`), as libbpf before 1.0 took
    /// section names.
    Legacy {
        /// What it is taken for.
        spec: ProgramSpec,
        /// The name of the table.
        like: &'static str,
    },
    /// Nothing is known by this name.
    Unknown(ProgramSpec),
}

impl SectionName {
    /// What the section name says, however sure that is.
    pub fn into_spec(self) -> ProgramSpec {
        match self {
            Self::Known(spec) | Self::Legacy { spec, .. } | Self::Unknown(spec) => spec,
        }
    }
}

/// Looks a section name up. A leading `?` means: not loaded unless asked for.
pub fn classify(section: &str) -> SectionName {
    let (name, autoload) = match section.strip_prefix('?') {
        Some(rest) => (rest, false),
        None => (section, true),
    };
    // One letter rules out most of the table.
    let first = name.as_bytes().first();
    let like = || TABLE.iter().filter(|row| row.name.as_bytes().first() == first);
    if let Some((row, extra)) = like().find_map(|row| Some((row, row.matches(name)?))) {
        return SectionName::Known(row.spec(extra, autoload));
    }
    // "xdp_drop", "socket1", but not "tcp_helpers".
    let ends_word =
        |rest: &str| rest.starts_with(|c: char| "_/.".contains(c) || c.is_ascii_digit());
    let begins = |row: &&Row| !row.extra && name.strip_prefix(row.name).is_some_and(ends_word);
    match like().filter(begins).max_by_key(|row| row.name.len()) {
        Some(row) => SectionName::Legacy { spec: row.spec(None, autoload), like: row.name },
        None => SectionName::Unknown(ProgramSpec { autoload, ..ProgramSpec::unknown() }),
    }
}

/// Names of the table that are like this one, the likest first.
pub fn nearest(section: &str) -> Vec<&'static str> {
    let name = section.trim_start_matches('?');
    let likeness = |row: &Row| {
        let pairs = name.chars().zip(row.name.chars());
        let same = pairs.take_while(|(a, b)| a.eq_ignore_ascii_case(b)).count();
        let held = name.split(|c: char| !c.is_ascii_alphanumeric()).any(|word| word == row.name);
        (held, same)
    };
    let mut rows: Vec<&Row> = TABLE.iter().collect();
    order::sort_by_key(&mut rows, |row| (Reverse(likeness(row)), row.name.len()));
    rows.iter().take(5).map(|row| row.name).collect()
}

struct Row {
    /// Without the `+`.
    name: &'static str,
    /// May a `/` and something to attach to follow?
    extra: bool,
    prog_type: P,
    attach_type: Option<A>,
    sleepable: bool,
    frags: bool,
}

impl Row {
    /// `Some` with what stands behind the `/`.
    fn matches<'a>(&self, name: &'a str) -> Option<Option<&'a str>> {
        let rest = name.strip_prefix(self.name)?;
        if rest.is_empty() {
            return Some(None);
        }
        rest.strip_prefix('/').filter(|_| self.extra).map(Some)
    }

    fn spec(&self, extra: Option<&str>, autoload: bool) -> ProgramSpec {
        ProgramSpec {
            prog_type: self.prog_type,
            attach_type: self.attach_type,
            sleepable: self.sleepable,
            frags: self.frags,
            attach_to: extra.filter(|e| !e.is_empty()).map(str::to_owned),
            autoload,
        }
    }
}

/// No attach type is implied.
const NONE: A = A(u32::MAX);
const SLEEPABLE: u8 = 1;
const FRAGS: u8 = 2;

/// A name with `+` at its end may be followed by `/` and what to attach to.
const fn row(name: &'static str, prog_type: P, attach_type: A, flags: u8) -> Row {
    let (name, extra) = match name.as_bytes().split_last() {
        Some((b'+', rest)) => match std::str::from_utf8(rest) {
            Ok(rest) => (rest, true),
            Err(_) => (name, false),
        },
        _ => (name, false),
    };
    let attach_type = if attach_type.0 == NONE.0 { None } else { Some(attach_type) };
    Row {
        name,
        extra,
        prog_type,
        attach_type,
        sleepable: flags & SLEEPABLE != 0,
        frags: flags & FRAGS != 0,
    }
}

#[rustfmt::skip] // one name, one line
const TABLE: [Row; 116] = [
    row("socket", P::SOCKET_FILTER, NONE, 0),
    row("sk_reuseport/migrate", P::SK_REUSEPORT, A::SK_REUSEPORT_SELECT_OR_MIGRATE, 0),
    row("sk_reuseport", P::SK_REUSEPORT, A::SK_REUSEPORT_SELECT, 0),
    row("kprobe+", P::KPROBE, NONE, 0),
    row("uprobe+", P::KPROBE, NONE, 0),
    row("uprobe.s+", P::KPROBE, NONE, SLEEPABLE),
    row("kretprobe+", P::KPROBE, NONE, 0),
    row("uretprobe+", P::KPROBE, NONE, 0),
    row("uretprobe.s+", P::KPROBE, NONE, SLEEPABLE),
    row("kprobe.multi+", P::KPROBE, A::TRACE_KPROBE_MULTI, 0),
    row("kretprobe.multi+", P::KPROBE, A::TRACE_KPROBE_MULTI, 0),
    row("kprobe.session+", P::KPROBE, A::TRACE_KPROBE_SESSION, 0),
    row("uprobe.multi+", P::KPROBE, A::TRACE_UPROBE_MULTI, 0),
    row("uretprobe.multi+", P::KPROBE, A::TRACE_UPROBE_MULTI, 0),
    row("uprobe.session+", P::KPROBE, A::TRACE_UPROBE_SESSION, 0),
    row("uprobe.multi.s+", P::KPROBE, A::TRACE_UPROBE_MULTI, SLEEPABLE),
    row("uretprobe.multi.s+", P::KPROBE, A::TRACE_UPROBE_MULTI, SLEEPABLE),
    row("uprobe.session.s+", P::KPROBE, A::TRACE_UPROBE_SESSION, SLEEPABLE),
    row("ksyscall+", P::KPROBE, NONE, 0),
    row("kretsyscall+", P::KPROBE, NONE, 0),
    row("usdt+", P::KPROBE, NONE, 0),
    row("usdt.s+", P::KPROBE, NONE, SLEEPABLE),
    row("tc/ingress", P::SCHED_CLS, A::TCX_INGRESS, 0),
    row("tc/egress", P::SCHED_CLS, A::TCX_EGRESS, 0),
    row("tcx/ingress", P::SCHED_CLS, A::TCX_INGRESS, 0),
    row("tcx/egress", P::SCHED_CLS, A::TCX_EGRESS, 0),
    row("tc", P::SCHED_CLS, NONE, 0),
    row("classifier", P::SCHED_CLS, NONE, 0),
    row("action", P::SCHED_ACT, NONE, 0),
    row("netkit/primary", P::SCHED_CLS, A::NETKIT_PRIMARY, 0),
    row("netkit/peer", P::SCHED_CLS, A::NETKIT_PEER, 0),
    row("tracepoint+", P::TRACEPOINT, NONE, 0),
    row("tp+", P::TRACEPOINT, NONE, 0),
    row("tracepoint.s+", P::TRACEPOINT, NONE, SLEEPABLE),
    row("tp.s+", P::TRACEPOINT, NONE, SLEEPABLE),
    row("raw_tracepoint+", P::RAW_TRACEPOINT, NONE, 0),
    row("raw_tp+", P::RAW_TRACEPOINT, NONE, 0),
    row("raw_tracepoint.s+", P::RAW_TRACEPOINT, NONE, SLEEPABLE),
    row("raw_tp.s+", P::RAW_TRACEPOINT, NONE, SLEEPABLE),
    row("raw_tracepoint.w+", P::RAW_TRACEPOINT_WRITABLE, NONE, 0),
    row("raw_tp.w+", P::RAW_TRACEPOINT_WRITABLE, NONE, 0),
    row("tp_btf+", P::TRACING, A::TRACE_RAW_TP, 0),
    row("tp_btf.s+", P::TRACING, A::TRACE_RAW_TP, SLEEPABLE),
    row("fentry+", P::TRACING, A::TRACE_FENTRY, 0),
    row("fmod_ret+", P::TRACING, A::MODIFY_RETURN, 0),
    row("fexit+", P::TRACING, A::TRACE_FEXIT, 0),
    row("fentry.s+", P::TRACING, A::TRACE_FENTRY, SLEEPABLE),
    row("fmod_ret.s+", P::TRACING, A::MODIFY_RETURN, SLEEPABLE),
    row("fexit.s+", P::TRACING, A::TRACE_FEXIT, SLEEPABLE),
    row("fsession+", P::TRACING, A::TRACE_FSESSION, 0),
    row("fsession.s+", P::TRACING, A::TRACE_FSESSION, SLEEPABLE),
    row("fsession.multi+", P::TRACING, A::TRACE_FSESSION_MULTI, 0),
    row("fsession.multi.s+", P::TRACING, A::TRACE_FSESSION_MULTI, SLEEPABLE),
    row("fentry.multi+", P::TRACING, A::TRACE_FENTRY_MULTI, 0),
    row("fexit.multi+", P::TRACING, A::TRACE_FEXIT_MULTI, 0),
    row("fentry.multi.s+", P::TRACING, A::TRACE_FENTRY_MULTI, SLEEPABLE),
    row("fexit.multi.s+", P::TRACING, A::TRACE_FEXIT_MULTI, SLEEPABLE),
    row("freplace+", P::EXT, NONE, 0),
    row("lsm+", P::LSM, A::LSM_MAC, 0),
    row("lsm.s+", P::LSM, A::LSM_MAC, SLEEPABLE),
    row("lsm_cgroup+", P::LSM, A::LSM_CGROUP, 0),
    row("iter+", P::TRACING, A::TRACE_ITER, 0),
    row("iter.s+", P::TRACING, A::TRACE_ITER, SLEEPABLE),
    row("syscall", P::SYSCALL, NONE, SLEEPABLE),
    row("xdp.frags/devmap", P::XDP, A::XDP_DEVMAP, FRAGS),
    row("xdp/devmap", P::XDP, A::XDP_DEVMAP, 0),
    row("xdp.frags/cpumap", P::XDP, A::XDP_CPUMAP, FRAGS),
    row("xdp/cpumap", P::XDP, A::XDP_CPUMAP, 0),
    row("xdp.frags", P::XDP, A::XDP, FRAGS),
    row("xdp", P::XDP, A::XDP, 0),
    row("perf_event", P::PERF_EVENT, NONE, 0),
    row("lwt_in", P::LWT_IN, NONE, 0),
    row("lwt_out", P::LWT_OUT, NONE, 0),
    row("lwt_xmit", P::LWT_XMIT, NONE, 0),
    row("lwt_seg6local", P::LWT_SEG6LOCAL, NONE, 0),
    row("sockops", P::SOCK_OPS, A::CGROUP_SOCK_OPS, 0),
    row("sk_skb/stream_parser", P::SK_SKB, A::SK_SKB_STREAM_PARSER, 0),
    row("sk_skb/stream_verdict", P::SK_SKB, A::SK_SKB_STREAM_VERDICT, 0),
    row("sk_skb/verdict", P::SK_SKB, A::SK_SKB_VERDICT, 0),
    row("sk_skb", P::SK_SKB, NONE, 0),
    row("sk_msg", P::SK_MSG, A::SK_MSG_VERDICT, 0),
    row("lirc_mode2", P::LIRC_MODE2, A::LIRC_MODE2, 0),
    row("flow_dissector", P::FLOW_DISSECTOR, A::FLOW_DISSECTOR, 0),
    row("cgroup_skb/ingress", P::CGROUP_SKB, A::CGROUP_INET_INGRESS, 0),
    row("cgroup_skb/egress", P::CGROUP_SKB, A::CGROUP_INET_EGRESS, 0),
    row("cgroup/skb", P::CGROUP_SKB, NONE, 0),
    row("cgroup/sock_create", P::CGROUP_SOCK, A::CGROUP_INET_SOCK_CREATE, 0),
    row("cgroup/sock_release", P::CGROUP_SOCK, A::CGROUP_INET_SOCK_RELEASE, 0),
    row("cgroup/sock", P::CGROUP_SOCK, A::CGROUP_INET_SOCK_CREATE, 0),
    row("cgroup/post_bind4", P::CGROUP_SOCK, A::CGROUP_INET4_POST_BIND, 0),
    row("cgroup/post_bind6", P::CGROUP_SOCK, A::CGROUP_INET6_POST_BIND, 0),
    row("cgroup/bind4", P::CGROUP_SOCK_ADDR, A::CGROUP_INET4_BIND, 0),
    row("cgroup/bind6", P::CGROUP_SOCK_ADDR, A::CGROUP_INET6_BIND, 0),
    row("cgroup/connect4", P::CGROUP_SOCK_ADDR, A::CGROUP_INET4_CONNECT, 0),
    row("cgroup/connect6", P::CGROUP_SOCK_ADDR, A::CGROUP_INET6_CONNECT, 0),
    row("cgroup/connect_unix", P::CGROUP_SOCK_ADDR, A::CGROUP_UNIX_CONNECT, 0),
    row("cgroup/sendmsg4", P::CGROUP_SOCK_ADDR, A::CGROUP_UDP4_SENDMSG, 0),
    row("cgroup/sendmsg6", P::CGROUP_SOCK_ADDR, A::CGROUP_UDP6_SENDMSG, 0),
    row("cgroup/sendmsg_unix", P::CGROUP_SOCK_ADDR, A::CGROUP_UNIX_SENDMSG, 0),
    row("cgroup/recvmsg4", P::CGROUP_SOCK_ADDR, A::CGROUP_UDP4_RECVMSG, 0),
    row("cgroup/recvmsg6", P::CGROUP_SOCK_ADDR, A::CGROUP_UDP6_RECVMSG, 0),
    row("cgroup/recvmsg_unix", P::CGROUP_SOCK_ADDR, A::CGROUP_UNIX_RECVMSG, 0),
    row("cgroup/getpeername4", P::CGROUP_SOCK_ADDR, A::CGROUP_INET4_GETPEERNAME, 0),
    row("cgroup/getpeername6", P::CGROUP_SOCK_ADDR, A::CGROUP_INET6_GETPEERNAME, 0),
    row("cgroup/getpeername_unix", P::CGROUP_SOCK_ADDR, A::CGROUP_UNIX_GETPEERNAME, 0),
    row("cgroup/getsockname4", P::CGROUP_SOCK_ADDR, A::CGROUP_INET4_GETSOCKNAME, 0),
    row("cgroup/getsockname6", P::CGROUP_SOCK_ADDR, A::CGROUP_INET6_GETSOCKNAME, 0),
    row("cgroup/getsockname_unix", P::CGROUP_SOCK_ADDR, A::CGROUP_UNIX_GETSOCKNAME, 0),
    row("cgroup/sysctl", P::CGROUP_SYSCTL, A::CGROUP_SYSCTL, 0),
    row("cgroup/getsockopt", P::CGROUP_SOCKOPT, A::CGROUP_GETSOCKOPT, 0),
    row("cgroup/setsockopt", P::CGROUP_SOCKOPT, A::CGROUP_SETSOCKOPT, 0),
    row("cgroup/dev", P::CGROUP_DEVICE, A::CGROUP_DEVICE, 0),
    row("struct_ops+", P::STRUCT_OPS, NONE, 0),
    row("struct_ops.s+", P::STRUCT_OPS, NONE, SLEEPABLE),
    row("sk_lookup", P::SK_LOOKUP, A::SK_LOOKUP, 0),
    row("netfilter", P::NETFILTER, A::NETFILTER, 0),
];

#[cfg(test)]
mod tests {
    use super::*;

    fn known(name: &str) -> ProgramSpec {
        match classify(name) {
            SectionName::Known(spec) => spec,
            other => panic!("{name}: {other:?}"),
        }
    }

    #[test]
    fn exact_names() {
        let xdp = known("xdp");
        assert_eq!((xdp.prog_type, xdp.attach_type), (P::XDP, Some(A::XDP)));
        assert!(!xdp.frags && xdp.autoload && xdp.attach_to.is_none());
        let frags = known("xdp.frags/devmap");
        assert!(frags.frags);
        assert_eq!(frags.attach_type, Some(A::XDP_DEVMAP));
        assert_eq!(known("tc").attach_type, None);
        assert_eq!(known("tcx/egress").attach_type, Some(A::TCX_EGRESS));
        assert_eq!(known("cgroup/connect4").prog_type, P::CGROUP_SOCK_ADDR);
        assert!(known("syscall").sleepable);
    }

    #[test]
    fn names_with_a_target() {
        let fentry = known("fentry.s/do_unlinkat");
        assert_eq!((fentry.prog_type, fentry.attach_type), (P::TRACING, Some(A::TRACE_FENTRY)));
        assert!(fentry.sleepable);
        assert_eq!(fentry.attach_to.as_deref(), Some("do_unlinkat"));
        assert_eq!(known("tp/sched/sched_switch").attach_to.as_deref(), Some("sched/sched_switch"));
        assert_eq!(known("kprobe").attach_to, None);
        assert_eq!(known("freplace/xdp_filter").prog_type, P::EXT);
    }

    #[test]
    fn not_loaded_by_default() {
        let spec = known("?xdp");
        assert!(!spec.autoload && spec.prog_type == P::XDP);
    }

    #[test]
    fn like_names() {
        assert!(nearest("xpd").contains(&"xdp"), "{:?}", nearest("xpd"));
        assert_eq!(nearest("sched_tc")[0], "tc");
        assert_eq!(nearest("?kprobbe/x")[0], "kprobe");
    }

    #[test]
    fn old_and_unknown_names() {
        // The names that the selftest of the 2019 RFC used.
        for name in ["xdp_dummy", "xdp_drop", "xdp/filter", "xdp1"] {
            let SectionName::Legacy { spec, like } = classify(name) else { panic!("{name}") };
            assert_eq!((spec.prog_type, like), (P::XDP, "xdp"));
        }
        let SectionName::Legacy { spec, .. } = classify("xdp.frags_x") else { panic!() };
        assert!(spec.frags, "the longest name counts");
        for name in ["mysection", "tcp_helpers", "kprobed/x", "", "?", "fentry_x"] {
            let SectionName::Unknown(spec) = classify(name) else { panic!("{name}") };
            assert_eq!(spec.prog_type, P::UNSPEC);
        }
    }
}
