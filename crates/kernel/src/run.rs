//! Test runs (`BPF_PROG_TEST_RUN`): a program on one packet after the other, without any interface.

use std::io;
use std::os::fd::AsFd;

use bpfweld_link::{RunOptions, Verdict, XdpContext};
use bpfweld_object::ProgramType;

use crate::facts::prog_type;
use crate::programs::Program;
use crate::sys::TestRun;

/// Bytes of an Ethernet header: the kernel takes nothing shorter.
pub const MIN_PACKET: usize = 14;
/// Room behind the packet for what a program adds.
const HEADROOM: usize = 4096;
/// Bytes of a `struct xdp_md`.
const XDP_MD: usize = 24;

/// Outcome of one packet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Outcome<'a> {
    /// What the program returned (the last time).
    pub verdict: Verdict,
    /// Mean time of one run in nanoseconds.
    pub duration_ns: u32,
    /// The packet afterwards, metadata in front when a context was given.
    pub packet: &'a [u8],
    /// How many bytes of it are metadata.
    pub metadata: u32,
}

/// Why one packet could not be run. The next one may.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RunError {
    /// Shorter than an Ethernet header.
    #[error("{len} bytes are shorter than an Ethernet header ({MIN_PACKET})")]
    TooShort {
        /// Bytes.
        len: usize,
    },
    /// Longer than the kernel's buffer.
    #[error(
        "{len} bytes are more than the kernel takes in one buffer (a page less head and tail room); \
         an XDP program of section `xdp.frags` takes more"
    )]
    TooLong {
        /// Bytes.
        len: usize,
    },
    /// The metadata does not fit.
    #[error(
        "{metadata} bytes of metadata: must be a multiple of 4, at most 252, and leave a packet"
    )]
    Metadata {
        /// Bytes.
        metadata: u32,
    },
    /// Programs of this type cannot be run on packets.
    #[error("the kernel has no test runs on packets for programs of type {}", .0.name())]
    NoTestRun(ProgramType),
    /// The kernel refused.
    #[error("the kernel refused the test run: {0}")]
    Kernel(#[from] io::Error),
}

/// Runs one program on packet after packet. Keeps its buffers: a run allocates nothing unless the
/// packet is longer than all before it.
#[derive(Debug)]
pub struct Runner<'p> {
    program: &'p Program,
    out: Vec<u8>,
    page: usize,
}

impl Program {
    /// Prepares test runs.
    pub fn runner(&self) -> Runner<'_> {
        let page = self.sys.page_size().map_or(4096, |page| page as usize);
        Runner { program: self, out: vec![0; page + HEADROOM], page }
    }
}

impl Runner<'_> {
    /// Runs the program on one packet (the raw frame).
    pub fn run(&mut self, packet: &[u8], options: &RunOptions) -> Result<Outcome<'_>, RunError> {
        let kind = self.program.prog_type.0;
        let xdp = kind == prog_type::XDP;
        if !takes_packets(kind) {
            return Err(RunError::NoTestRun(self.program.prog_type));
        }
        let metadata = options.context.map_or(0, |c| c.metadata);
        let length = packet.len().saturating_sub(metadata as usize);
        if length < MIN_PACKET {
            return Err(RunError::TooShort { len: length });
        }
        if !metadata.is_multiple_of(4) || metadata > 252 {
            return Err(RunError::Metadata { metadata });
        }
        let room = packet.len().saturating_add(HEADROOM);
        if self.out.len() < room {
            self.out.resize(room, 0);
        }
        let context = options.context.filter(|_| xdp).map(|c| xdp_md(c, packet.len()));
        let mut context_out = [0; XDP_MD];
        let ctx_out_len = if context.is_some() { XDP_MD } else { 0 };
        let reply = self.program.sys.test_run(TestRun {
            program: self.program.fd.as_fd(),
            data_in: packet,
            data_out: &mut self.out,
            ctx_in: context.as_ref().map_or(&[], |c| c.as_slice()),
            ctx_out: context_out.get_mut(..ctx_out_len).unwrap_or_default(),
            repeat: options.repeat.max(1),
            flags: 0,
        });
        let reply = match reply {
            Ok(reply) => reply,
            // The packet is put between head and tail room (some 576 bytes) into one page.
            Err(e) if too_large(&e) && packet.len() > self.page.saturating_sub(1024) => {
                return Err(RunError::TooLong { len: packet.len() });
            }
            Err(e) => return Err(RunError::Kernel(e)),
        };
        let len = (reply.data_size_out as usize).min(self.out.len());
        let [a, b, c, d] = match context {
            // `data` is where the metadata ends.
            Some(_) => [context_out[0], context_out[1], context_out[2], context_out[3]],
            None => [0; 4],
        };
        Ok(Outcome {
            verdict: Verdict { code: reply.retval, prog_type: self.program.prog_type },
            duration_ns: reply.duration,
            packet: self.out.get(..len).unwrap_or_default(),
            metadata: u32::from_ne_bytes([a, b, c, d]),
        })
    }
}

fn too_large(error: &io::Error) -> bool {
    // EMSGSIZE is what 5.10 says.
    matches!(error.raw_os_error(), Some(libc::EINVAL | libc::ENOMEM | libc::E2BIG | libc::EMSGSIZE))
}

/// Types whose test run takes a frame.
fn takes_packets(kind: u32) -> bool {
    use prog_type::{
        CGROUP_SKB, LWT_IN, LWT_OUT, LWT_SEG6LOCAL, LWT_XMIT, SCHED_ACT, SCHED_CLS, SK_SKB,
        SOCKET_FILTER, XDP,
    };
    matches!(
        kind,
        XDP | SCHED_CLS
            | SCHED_ACT
            | SOCKET_FILTER
            | CGROUP_SKB
            | LWT_IN
            | LWT_OUT
            | LWT_XMIT
            | LWT_SEG6LOCAL
            | SK_SKB
    )
}

/// `struct xdp_md`: data, data_end, data_meta, ingress_ifindex, rx_queue_index, egress_ifindex; the
/// first three as offsets into what is given.
fn xdp_md(context: XdpContext, len: usize) -> [u8; XDP_MD] {
    let end = u32::try_from(len).unwrap_or(u32::MAX);
    let words = [context.metadata, end, 0, context.ingress_ifindex, context.rx_queue_index, 0];
    let mut out = [0; XDP_MD];
    for (to, word) in out.chunks_exact_mut(4).zip(words) {
        to.copy_from_slice(&word.to_ne_bytes());
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn context_layout() {
        let context = XdpContext { metadata: 8, ingress_ifindex: 3, rx_queue_index: 1 };
        let bytes = xdp_md(context, 72);
        let words: Vec<u32> =
            bytes.chunks(4).map(|w| u32::from_ne_bytes(w.try_into().unwrap())).collect();
        assert_eq!(words, [8, 72, 0, 3, 1, 0]);
    }
}
