//! How to load, and how to run.

use core::net::IpAddr;
use std::sync::Arc;

use bpfweld_link::kconfig::{Config, KernelFacts};
use bpfweld_link::trace::TracePlan;

/// How to load a set.
#[derive(Clone, Debug)]
pub struct EngineOptions {
    /// Number of CPUs that there might be: as many values have entries of per-CPU maps. At most
    /// 1024; 0 counts as 1.
    pub cpus: u32,
    /// The CPU that programs run on, below `cpus`.
    pub cpu: u32,
    /// Seed of `bpf_get_prandom_u32`; without one it differs from load to load.
    pub seed: Option<u64>,
    /// What programs are told of the time.
    pub clock: Clock,
    /// Configuration for kconfig externs.
    pub kconfig: Option<Config>,
    /// What the kernel would tell of itself to kconfig externs.
    pub kernel: KernelFacts,
    /// Bytes that all maps together may take.
    pub memory: u64,
    /// Instructions that one run may take.
    pub instructions: u64,
    /// Calls (of functions, helpers and callbacks) that one run may make.
    pub calls: u64,
    /// What `bpf_fib_lookup` knows.
    pub routes: Vec<Route>,
    /// Does somebody read the perf event arrays? If so, their events are collected; if not,
    /// `bpf_perf_event_output` fails as it does in a kernel (ENOENT).
    pub perf_readers: bool,
    /// What to note of each run, see [`Loaded::take_trace`](crate::Loaded::take_trace); it must be a
    /// plan of the set that is loaded. Without one, nothing is noted and nothing is lost by it.
    pub trace: Option<Arc<TracePlan>>,
}

impl Default for EngineOptions {
    fn default() -> Self {
        Self {
            cpus: 1,
            cpu: 0,
            seed: None,
            clock: Clock::System,
            kconfig: None,
            kernel: KernelFacts::default(),
            memory: 4 << 30,
            instructions: 1 << 28,
            calls: 1 << 26,
            routes: Vec::new(),
            perf_readers: false,
            trace: None,
        }
    }
}

/// What programs are told of the time.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Clock {
    /// It goes on; nanoseconds since some moment before the load.
    System,
    /// Always these nanoseconds.
    Fixed(u64),
}

/// A route for `bpf_fib_lookup`. The longest prefix that fits counts.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Route {
    /// Network.
    pub prefix: IpAddr,
    /// Bits of it that count.
    pub len: u8,
    /// Interface that packets leave by.
    pub ifindex: u32,
    /// MTU of the route in bytes; 0 for none.
    pub mtu: u16,
    /// The next hop where it is not the destination itself.
    pub gateway: Option<IpAddr>,
    /// Who is there; without it the answer is that the neighbour is not known.
    pub neighbour: Option<Neighbour>,
}

/// Link-layer addresses towards a next hop.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Neighbour {
    /// Address of the interface that packets leave by.
    pub source: [u8; 6],
    /// Address of the next hop.
    pub destination: [u8; 6],
}
