//! What an entry program is: program type, attach type, flags, attach target.
//!
//! Numbers and names are the kernel's (`enum bpf_prog_type`, `enum bpf_attach_type` in
//! `linux/bpf.h`, as of Linux 7.1). What section names mean is in [`crate::sections`].

use bpfweld_btf::{Kind, Type};

/// `enum bpf_prog_type`, by the kernel's number.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct ProgramType(pub u32);

/// `enum bpf_attach_type`, by the kernel's number.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct AttachType(pub u32);

/// What the section name of an entry program says.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct ProgramSpec {
    /// Program type; [`ProgramType::UNSPEC`] when the section name is unknown.
    pub prog_type: ProgramType,
    /// Expected attach type, where the section name implies one.
    pub attach_type: Option<AttachType>,
    /// May it sleep (`BPF_F_SLEEPABLE`)?
    pub sleepable: bool,
    /// Does it take multi-buffer packets (`BPF_F_XDP_HAS_FRAGS`)?
    pub frags: bool,
    /// What it attaches to: the rest of the section name behind the `/`. Of struct_ops programs, what
    /// they implement by the table that names them: `STRUCT.MEMBER`.
    pub attach_to: Option<String>,
    /// Loaded unless asked not to (`false` for section names that begin with `?`).
    pub autoload: bool,
}

impl ProgramSpec {
    /// Of a program about which nothing is known.
    pub fn unknown() -> Self {
        Self {
            prog_type: ProgramType::UNSPEC,
            attach_type: None,
            sleepable: false,
            frags: false,
            attach_to: None,
            autoload: true,
        }
    }

    /// May an entry program of this kind run as a function of that one?
    pub fn may_run_in(&self, caller: &Self) -> bool {
        if self.prog_type == ProgramType::UNSPEC {
            // An unknown section name says nothing; the verifier has the last word.
            return true;
        }
        if self.prog_type != caller.prog_type {
            return false;
        }
        match (self.attach_type, caller.attach_type) {
            // The context of these is the same wherever they are attached.
            _ if matches!(self.prog_type, ProgramType::SCHED_CLS | ProgramType::SOCKET_FILTER) => {
                true
            }
            (None, _) | (_, None) => true,
            // What an ordinary XDP program may read, one for a devmap or cpumap may read too.
            (Some(AttachType::XDP), _) if self.prog_type == ProgramType::XDP => true,
            (Some(a), Some(b)) => a == b,
        }
    }

    /// Program type and attach type, for messages: "xdp", "cgroup_sock_addr (connect4)".
    pub fn type_name(&self) -> String {
        match self.attach_type {
            Some(a) => format!("{} ({})", self.prog_type.name(), a.name()),
            None => self.prog_type.name().to_owned(),
        }
    }
}

impl ProgramType {
    /// The kernel's name ("BPF_PROG_TYPE_XDP"); `None` for a number that is not in the table.
    pub fn kernel_name(self) -> Option<&'static str> {
        PROGRAM_TYPES.get(self.0 as usize).map(|&(kernel, _)| kernel)
    }

    /// The short name that bpftool shows ("xdp", "sched_cls"); "unknown" for a number that is not in
    /// the table.
    pub fn name(self) -> &'static str {
        PROGRAM_TYPES.get(self.0 as usize).map_or("unknown", |&(_, short)| short)
    }

    /// The type with this short name ("xdp").
    pub fn from_name(name: &str) -> Option<Self> {
        let index = PROGRAM_TYPES.iter().position(|&(_, short)| short == name)?;
        Some(Self(u32::try_from(index).ok()?))
    }

    /// Name of the type that the context argument of a global function must point to, for the
    /// verifier to take it for the context: a struct, for kprobes the typedef `bpf_user_pt_regs_t`.
    /// `None` where the context is no named type (tracing, LSM, struct_ops, syscall: any) or an
    /// array of numbers (tracepoints: `__u64`, lirc: `__u32`). From the kernel's
    /// `linux/bpf_types.h`.
    pub fn ctx_type_name(self) -> Option<&'static str> {
        Some(match self {
            Self::SOCKET_FILTER
            | Self::SCHED_CLS
            | Self::SCHED_ACT
            | Self::CGROUP_SKB
            | Self::LWT_IN
            | Self::LWT_OUT
            | Self::LWT_XMIT
            | Self::LWT_SEG6LOCAL
            | Self::SK_SKB
            | Self::FLOW_DISSECTOR => "__sk_buff",
            Self::XDP => "xdp_md",
            Self::KPROBE => "bpf_user_pt_regs_t",
            Self::PERF_EVENT => "bpf_perf_event_data",
            Self::RAW_TRACEPOINT | Self::RAW_TRACEPOINT_WRITABLE => "bpf_raw_tracepoint_args",
            Self::CGROUP_SOCK => "bpf_sock",
            Self::CGROUP_SOCK_ADDR => "bpf_sock_addr",
            Self::CGROUP_DEVICE => "bpf_cgroup_dev_ctx",
            Self::CGROUP_SYSCTL => "bpf_sysctl",
            Self::CGROUP_SOCKOPT => "bpf_sockopt",
            Self::SOCK_OPS => "bpf_sock_ops",
            Self::SK_MSG => "sk_msg_md",
            Self::SK_REUSEPORT => "sk_reuseport_md",
            Self::SK_LOOKUP => "bpf_sk_lookup",
            Self::NETFILTER => "bpf_nf_ctx",
            _ => return None,
        })
    }

    /// Can the kernel verify a global function with this prototype alone, for programs of this type?
    /// It takes nothing, or the context, known by the name of its struct, and returns a number
    /// (kernel, `btf_prepare_func_args`).
    pub fn verifies_alone(self, proto: Type<'_>) -> bool {
        let btf = proto.btf();
        let mut params = proto.params();
        let arguments_fit = match (params.next(), params.next()) {
            (None, _) => true,
            (Some(param), None) => {
                let ptr = btf.resolve(param.type_id);
                let pointee = btf.resolve(ptr.type_id());
                ptr.kind() == Kind::Ptr
                    && pointee.kind() == Kind::Struct
                    && self.ctx_type_name() == Some(pointee.name())
            }
            _ => false,
        };
        arguments_fit && proto.returns_number()
    }
}

impl AttachType {
    /// The kernel's name ("BPF_XDP_DEVMAP"); `None` for a number that is not in the table.
    pub fn kernel_name(self) -> Option<&'static str> {
        ATTACH_TYPES.get(self.0 as usize).map(|&(kernel, _)| kernel)
    }

    /// The short name ("xdp_devmap", "cgroup_inet_ingress"); "unknown" for a number that is not in the
    /// table.
    pub fn name(self) -> &'static str {
        ATTACH_TYPES.get(self.0 as usize).map_or("unknown", |&(_, short)| short)
    }
}

impl std::fmt::Display for ProgramType {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.kernel_name() {
            Some(_) => f.write_str(self.name()),
            None => write!(f, "type {}", self.0),
        }
    }
}

impl std::fmt::Display for AttachType {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.kernel_name() {
            Some(_) => f.write_str(self.name()),
            None => write!(f, "attach type {}", self.0),
        }
    }
}

/// One line of a table gives the number, the constant and both names. A new one of the kernel's goes to
/// the end.
macro_rules! numbered {
    ($type:ident, $prefix:literal, $table:ident, [$($number:literal $name:ident $short:literal,)*]) => {
        impl $type {
            $(
                #[doc = concat!("`", $prefix, stringify!($name), "`.")]
                pub const $name: Self = Self($number);
            )*
        }

        /// Kernel name and short name, by number.
        const $table: [(&str, &str); [$($number),*].len()] =
            [$((concat!($prefix, stringify!($name)), $short)),*];
    };
}

numbered!(ProgramType, "BPF_PROG_TYPE_", PROGRAM_TYPES, [
    0 UNSPEC "unspec",
    1 SOCKET_FILTER "socket_filter",
    2 KPROBE "kprobe",
    3 SCHED_CLS "sched_cls",
    4 SCHED_ACT "sched_act",
    5 TRACEPOINT "tracepoint",
    6 XDP "xdp",
    7 PERF_EVENT "perf_event",
    8 CGROUP_SKB "cgroup_skb",
    9 CGROUP_SOCK "cgroup_sock",
    10 LWT_IN "lwt_in",
    11 LWT_OUT "lwt_out",
    12 LWT_XMIT "lwt_xmit",
    13 SOCK_OPS "sock_ops",
    14 SK_SKB "sk_skb",
    15 CGROUP_DEVICE "cgroup_device",
    16 SK_MSG "sk_msg",
    17 RAW_TRACEPOINT "raw_tracepoint",
    18 CGROUP_SOCK_ADDR "cgroup_sock_addr",
    19 LWT_SEG6LOCAL "lwt_seg6local",
    20 LIRC_MODE2 "lirc_mode2",
    21 SK_REUSEPORT "sk_reuseport",
    22 FLOW_DISSECTOR "flow_dissector",
    23 CGROUP_SYSCTL "cgroup_sysctl",
    24 RAW_TRACEPOINT_WRITABLE "raw_tracepoint_writable",
    25 CGROUP_SOCKOPT "cgroup_sockopt",
    26 TRACING "tracing",
    27 STRUCT_OPS "struct_ops",
    28 EXT "ext",
    29 LSM "lsm",
    30 SK_LOOKUP "sk_lookup",
    31 SYSCALL "syscall",
    32 NETFILTER "netfilter",
]);

numbered!(AttachType, "BPF_", ATTACH_TYPES, [
    0 CGROUP_INET_INGRESS "cgroup_inet_ingress",
    1 CGROUP_INET_EGRESS "cgroup_inet_egress",
    2 CGROUP_INET_SOCK_CREATE "cgroup_inet_sock_create",
    3 CGROUP_SOCK_OPS "cgroup_sock_ops",
    4 SK_SKB_STREAM_PARSER "sk_skb_stream_parser",
    5 SK_SKB_STREAM_VERDICT "sk_skb_stream_verdict",
    6 CGROUP_DEVICE "cgroup_device",
    7 SK_MSG_VERDICT "sk_msg_verdict",
    8 CGROUP_INET4_BIND "cgroup_inet4_bind",
    9 CGROUP_INET6_BIND "cgroup_inet6_bind",
    10 CGROUP_INET4_CONNECT "cgroup_inet4_connect",
    11 CGROUP_INET6_CONNECT "cgroup_inet6_connect",
    12 CGROUP_INET4_POST_BIND "cgroup_inet4_post_bind",
    13 CGROUP_INET6_POST_BIND "cgroup_inet6_post_bind",
    14 CGROUP_UDP4_SENDMSG "cgroup_udp4_sendmsg",
    15 CGROUP_UDP6_SENDMSG "cgroup_udp6_sendmsg",
    16 LIRC_MODE2 "lirc_mode2",
    17 FLOW_DISSECTOR "flow_dissector",
    18 CGROUP_SYSCTL "cgroup_sysctl",
    19 CGROUP_UDP4_RECVMSG "cgroup_udp4_recvmsg",
    20 CGROUP_UDP6_RECVMSG "cgroup_udp6_recvmsg",
    21 CGROUP_GETSOCKOPT "cgroup_getsockopt",
    22 CGROUP_SETSOCKOPT "cgroup_setsockopt",
    23 TRACE_RAW_TP "trace_raw_tp",
    24 TRACE_FENTRY "trace_fentry",
    25 TRACE_FEXIT "trace_fexit",
    26 MODIFY_RETURN "modify_return",
    27 LSM_MAC "lsm_mac",
    28 TRACE_ITER "trace_iter",
    29 CGROUP_INET4_GETPEERNAME "cgroup_inet4_getpeername",
    30 CGROUP_INET6_GETPEERNAME "cgroup_inet6_getpeername",
    31 CGROUP_INET4_GETSOCKNAME "cgroup_inet4_getsockname",
    32 CGROUP_INET6_GETSOCKNAME "cgroup_inet6_getsockname",
    33 XDP_DEVMAP "xdp_devmap",
    34 CGROUP_INET_SOCK_RELEASE "cgroup_inet_sock_release",
    35 XDP_CPUMAP "xdp_cpumap",
    36 SK_LOOKUP "sk_lookup",
    37 XDP "xdp",
    38 SK_SKB_VERDICT "sk_skb_verdict",
    39 SK_REUSEPORT_SELECT "sk_reuseport_select",
    40 SK_REUSEPORT_SELECT_OR_MIGRATE "sk_reuseport_select_or_migrate",
    41 PERF_EVENT "perf_event",
    42 TRACE_KPROBE_MULTI "trace_kprobe_multi",
    43 LSM_CGROUP "lsm_cgroup",
    44 STRUCT_OPS "struct_ops",
    45 NETFILTER "netfilter",
    46 TCX_INGRESS "tcx_ingress",
    47 TCX_EGRESS "tcx_egress",
    48 TRACE_UPROBE_MULTI "trace_uprobe_multi",
    49 CGROUP_UNIX_CONNECT "cgroup_unix_connect",
    50 CGROUP_UNIX_SENDMSG "cgroup_unix_sendmsg",
    51 CGROUP_UNIX_RECVMSG "cgroup_unix_recvmsg",
    52 CGROUP_UNIX_GETPEERNAME "cgroup_unix_getpeername",
    53 CGROUP_UNIX_GETSOCKNAME "cgroup_unix_getsockname",
    54 NETKIT_PRIMARY "netkit_primary",
    55 NETKIT_PEER "netkit_peer",
    56 TRACE_KPROBE_SESSION "trace_kprobe_session",
    57 TRACE_UPROBE_SESSION "trace_uprobe_session",
    58 TRACE_FSESSION "trace_fsession",
    59 TRACE_FENTRY_MULTI "trace_fentry_multi",
    60 TRACE_FEXIT_MULTI "trace_fexit_multi",
    61 TRACE_FSESSION_MULTI "trace_fsession_multi",
]);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_positions() {
        // The tables are looked up by position; `numbered!` takes the numbers as written.
        assert_eq!(PROGRAM_TYPES.len(), 33);
        assert_eq!(ProgramType::NETFILTER.0, 32);
        assert_eq!(ATTACH_TYPES.len(), 62);
        for (i, (_, short)) in PROGRAM_TYPES.iter().enumerate() {
            assert_eq!(ProgramType::from_name(short).map(|t| t.0 as usize), Some(i));
        }
    }

    #[test]
    fn names() {
        // Numbers as in `linux/bpf.h`.
        assert_eq!(ProgramType(6).name(), "xdp");
        assert_eq!(ProgramType(6).kernel_name(), Some("BPF_PROG_TYPE_XDP"));
        assert_eq!(ProgramType(3), ProgramType::SCHED_CLS);
        assert_eq!(ProgramType(26), ProgramType::TRACING);
        assert_eq!(ProgramType(31), ProgramType::SYSCALL);
        assert_eq!(ProgramType(99).name(), "unknown");
        assert_eq!(ProgramType(99).to_string(), "type 99");
        assert_eq!(AttachType(37), AttachType::XDP);
        assert_eq!(AttachType(33).name(), "xdp_devmap");
        assert_eq!(AttachType(46), AttachType::TCX_INGRESS);
        assert_eq!(AttachType(43).kernel_name(), Some("BPF_LSM_CGROUP"));
        assert_eq!(AttachType(1000).kernel_name(), None);
    }

    #[test]
    fn contexts() {
        assert_eq!(ProgramType::XDP.ctx_type_name(), Some("xdp_md"));
        assert_eq!(ProgramType::CGROUP_SKB.ctx_type_name(), Some("__sk_buff"));
        assert_eq!(ProgramType::TRACING.ctx_type_name(), None);
    }
}
