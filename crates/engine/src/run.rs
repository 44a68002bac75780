//! Runs a program on one packet after the other.

use std::time::Instant;

use bpfweld_link::{RunOptions, Verdict};
use bpfweld_object::ProgramType;

use crate::error::{Fault, RunError};
use crate::loader::Program;
use crate::packet::{ETH_HLEN, Packet};
use crate::vm::{State, Trap, Vm};

/// Bytes of an Ethernet header: a packet has at least as many, as it has for the kernel.
pub const MIN_PACKET: usize = ETH_HLEN;
/// Events that are kept; a program in a loop could make any number.
const MAX_EVENTS: usize = 1 << 16;

/// What programs did beside their verdicts.
#[derive(Debug)]
pub(crate) struct Effects {
    pub(crate) redirect: Option<Redirect>,
    pub(crate) events: Vec<Event>,
    /// Events that were not kept.
    pub(crate) lost: u64,
    pub(crate) began: Instant,
}

impl Effects {
    pub(crate) fn new() -> Self {
        Self { redirect: None, events: Vec::new(), lost: 0, began: Instant::now() }
    }

    pub(crate) fn push(&mut self, event: Event) {
        match self.events.len() < MAX_EVENTS {
            true => self.events.push(event),
            false => self.lost += 1,
        }
    }
}

/// Something that a program told.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Event {
    /// A line of `bpf_trace_printk`.
    Trace(String),
    /// A copy of the packet that `bpf_clone_redirect` sent.
    Clone {
        /// The interface that it was for.
        ifindex: u32,
        /// To where it receives?
        ingress: bool,
        /// Its bytes.
        packet: Vec<u8>,
    },
    /// An event of `bpf_perf_event_output`.
    Perf {
        /// Index of the array in [`ImageSet::maps`](bpfweld_link::ImageSet::maps).
        map: usize,
        /// The CPU whose buffer it is for.
        cpu: u32,
        /// The data, and behind it the part of the packet that was asked for.
        data: Vec<u8>,
    },
}

/// Where a program wanted the packet to go.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Redirect {
    /// To an interface (`bpf_redirect`).
    Interface {
        /// Its index.
        ifindex: u32,
        /// To where it receives?
        ingress: bool,
    },
    /// To an entry of a map (`bpf_redirect_map`).
    Map {
        /// Index of the map in [`ImageSet::maps`](bpfweld_link::ImageSet::maps).
        map: usize,
        /// The entry.
        key: u32,
        /// The first 4 bytes of its value: interface of a devmap, queue size of a cpumap.
        target: Option<u32>,
        /// To all entries.
        broadcast: bool,
        /// But not to where the packet is from.
        exclude_ingress: bool,
    },
}

/// Outcome of one packet.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Outcome<'a> {
    /// What the program returned (the last time); after a fault, what drops the packet:
    /// `XDP_ABORTED`, `TC_ACT_SHOT`, 0.
    pub verdict: Verdict,
    /// Mean time of one run in nanoseconds.
    pub duration_ns: u32,
    /// The packet afterwards, metadata in front.
    pub packet: &'a [u8],
    /// How many bytes of it are metadata.
    pub metadata: u32,
    /// Where the last redirect helper wanted it to go.
    pub redirect: Option<Redirect>,
    /// Why the program did not come to its end.
    pub fault: Option<Fault>,
    /// Instructions of all runs of this packet.
    pub instructions: u64,
}

/// Runs one program on packet after packet. A run allocates nothing unless the packet is longer
/// than all before it.
#[derive(Debug)]
pub struct Runner<'p> {
    program: &'p Program,
    out: Vec<u8>,
}

impl Program {
    /// Prepares runs.
    pub fn runner(&self) -> Runner<'_> {
        Runner { program: self, out: Vec::new() }
    }
}

impl Runner<'_> {
    /// Runs the program on one packet (the raw frame).
    pub fn run(&mut self, packet: &[u8], options: &RunOptions) -> Result<Outcome<'_>, RunError> {
        let Program { shared, index, prog_type: kind, frags, .. } = self.program;
        let (kind, xdp) = (*kind, *kind == ProgramType::XDP);
        let context = options.context.filter(|_| xdp).unwrap_or_default();
        let metadata = context.metadata as usize;
        let len = packet.len().saturating_sub(metadata);
        if len < MIN_PACKET {
            return Err(RunError::TooShort { len });
        }
        if !metadata.is_multiple_of(4) || metadata > 252 {
            return Err(RunError::Metadata { metadata: context.metadata });
        }
        let limit = Packet::limit(kind, *frags);
        if packet.len() > limit {
            return Err(RunError::TooLong { len: packet.len(), limit });
        }
        let mut state = shared.state();
        let state = &mut *state;
        state.packet.place(&mut state.memory, kind, *frags, packet, metadata);
        state.packet.ifindex = match context.ingress_ifindex {
            // The loopback device.
            0 => 1,
            ifindex => ifindex,
        };
        state.packet.rx_queue = context.rx_queue_index;
        let bounds = state.packet.bounds();
        let before = state.instructions;
        let repeat = options.repeat.max(1);
        let begin = Instant::now();
        let mut result = Ok(0);
        for _ in 0..repeat {
            state.packet.set_bounds(&mut state.memory, bounds);
            state.effects.redirect = None;
            // Of several runs, the last one is noted.
            state.trace.take();
            result = Vm::new(&shared.programs, state, &shared.options).run(*index);
            if result.is_err() {
                break;
            }
        }
        let duration = begin.elapsed().as_nanos() / u128::from(repeat);
        self.out.clear();
        state.finish(kind, &mut self.out);
        let fault = result.as_ref().err().map(|trap| self.program.fault(trap));
        let code = match result {
            Ok(value) => value as u32,
            Err(_) => match kind {
                ProgramType::SCHED_CLS | ProgramType::SCHED_ACT => 2,
                _ => 0,
            },
        };
        let packet = &state.packet;
        Ok(Outcome {
            verdict: Verdict { code, prog_type: kind },
            duration_ns: u32::try_from(duration).unwrap_or(u32::MAX),
            metadata: if xdp { (packet.data - packet.meta) as u32 } else { 0 },
            packet: &self.out,
            redirect: state.effects.redirect,
            fault,
            instructions: state.instructions - before,
        })
    }
}

impl State {
    /// The packet as it is after a run.
    fn finish(&self, kind: ProgramType, out: &mut Vec<u8>) {
        let layer2 = kind == ProgramType::XDP || self.packet.skb.layer2;
        if !layer2 {
            // As the kernel's test runs give it back.
            out.extend_from_slice(&[0; ETH_HLEN]);
        }
        out.extend_from_slice(self.packet.with_metadata(&self.memory));
    }
}

impl Program {
    /// A trap in words, with its place in the sources.
    fn fault(&self, trap: &Trap) -> Fault {
        let (program, insn) = trap.at.unwrap_or((self.index, 0));
        let insn = u32::try_from(insn).unwrap_or(u32::MAX);
        let code = self.shared.programs.get(program);
        Fault {
            program: code.map(|c| c.image.name.clone()).unwrap_or_default(),
            function: code.map(|c| c.function(insn).to_owned()).unwrap_or_default(),
            insn,
            line: code.and_then(|c| c.line(insn)),
            kind: trap.kind.clone(),
        }
    }
}
