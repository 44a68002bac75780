//! What a program returned: the same number and name whichever backend ran it.

use std::fmt;

use bpfweld_object::ProgramType;

/// Names of the verdicts of XDP programs by number (`enum xdp_action`, `linux/bpf.h`).
pub const XDP_VERDICTS: [&str; 5] =
    ["XDP_ABORTED", "XDP_DROP", "XDP_PASS", "XDP_TX", "XDP_REDIRECT"];

/// What a program returned.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Verdict {
    /// The number.
    pub code: u32,
    /// The program's type, which gives it its meaning.
    pub prog_type: ProgramType,
}

impl Verdict {
    /// The name of the number for this type of program (`enum xdp_action`, `TC_ACT_*`); `None`
    /// where it has none.
    pub fn name(self) -> Option<&'static str> {
        const TC: [&str; 9] = [
            "TC_ACT_OK",
            "TC_ACT_RECLASSIFY",
            "TC_ACT_SHOT",
            "TC_ACT_PIPE",
            "TC_ACT_STOLEN",
            "TC_ACT_QUEUED",
            "TC_ACT_REPEAT",
            "TC_ACT_REDIRECT",
            "TC_ACT_TRAP",
        ];
        match self.prog_type {
            ProgramType::XDP => XDP_VERDICTS.get(self.code as usize).copied(),
            ProgramType::SCHED_CLS | ProgramType::SCHED_ACT if self.code == u32::MAX => {
                Some("TC_ACT_UNSPEC")
            }
            ProgramType::SCHED_CLS | ProgramType::SCHED_ACT => TC.get(self.code as usize).copied(),
            ProgramType::SK_SKB => ["SK_DROP", "SK_PASS"].get(self.code as usize).copied(),
            ProgramType::CGROUP_SKB => ["DROP", "PASS"].get(self.code as usize).copied(),
            _ => None,
        }
    }
}

impl fmt::Display for Verdict {
    /// The name, or the number where it has none.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.write_str(name),
            None => write!(f, "{}", self.code),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn verdict_names() {
        let name = |kind, code| Verdict { code, prog_type: kind }.to_string();
        assert_eq!(name(ProgramType::XDP, 1), "XDP_DROP");
        assert_eq!(name(ProgramType::XDP, 4), "XDP_REDIRECT");
        assert_eq!(name(ProgramType::XDP, 5), "5");
        assert_eq!(name(ProgramType::SCHED_CLS, 2), "TC_ACT_SHOT");
        assert_eq!(name(ProgramType::SCHED_CLS, u32::MAX), "TC_ACT_UNSPEC");
        assert_eq!(name(ProgramType::SOCKET_FILTER, 64), "64");
    }
}
