//! What `peer-bench` asks of `bpfweld-measured`, and what comes back.

use serde::{Deserialize, Serialize};

/// What to do with an object.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Work {
    /// Read it, from memory.
    Open,
    /// Read it and do everything for the load but what the kernel does.
    Prepare,
    /// Tell how many CO-RE records it has.
    Count,
    /// Nothing, for what a process takes anyway.
    Nothing,
}

impl Work {
    pub fn name(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Prepare => "prepare",
            Self::Count => "count",
            Self::Nothing => "nothing",
        }
    }
}

/// Who does it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Party {
    Ours,
    Theirs,
}

impl Party {
    pub fn name(self) -> &'static str {
        match self {
            Self::Ours => "ours",
            Self::Theirs => "theirs",
        }
    }
}

/// What became of one object.
#[derive(Serialize, Deserialize, Debug)]
pub struct Outcome {
    pub error: Option<String>,
    /// CO-RE records, if they were to be counted.
    pub records: usize,
    /// Nanoseconds of processor time.
    pub time: u64,
    /// Largest resident memory of the process so far, in KiB.
    pub peak: u64,
}
