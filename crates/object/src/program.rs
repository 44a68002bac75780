//! Section names of entry programs: program type, attach type, flags, attach target.
//!
//! A new section name goes into the table below and nowhere else.

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
    /// What it attaches to: the rest of the section name behind the `/`.
    pub attach_to: Option<String>,
    /// Loaded unless asked not to (`false` for section names that begin with `?`).
    pub autoload: bool,
}

impl ProgramType {
    /// Unknown.
    pub const UNSPEC: Self = Self(0);
    /// `BPF_PROG_TYPE_SOCKET_FILTER`.
    pub const SOCKET_FILTER: Self = Self(1);
    /// `BPF_PROG_TYPE_SCHED_CLS`.
    pub const SCHED_CLS: Self = Self(3);
    /// `BPF_PROG_TYPE_SCHED_ACT`.
    pub const SCHED_ACT: Self = Self(4);
    /// `BPF_PROG_TYPE_XDP`.
    pub const XDP: Self = Self(6);
}
