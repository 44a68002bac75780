//! How to run a program on packets: the same whichever backend does it.

/// How to run.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct RunOptions {
    /// How often each packet is run; 0 counts as 1. What the program does to the packet is undone
    /// in between only as far as its bounds go: so the kernel does it.
    pub repeat: u32,
    /// Context of an XDP program (the kernel: since Linux 5.15).
    pub context: Option<XdpContext>,
}

/// What an XDP program sees beside the packet (`struct xdp_md`, `linux/bpf.h`).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct XdpContext {
    /// How many bytes at the start of the packet given are metadata: a multiple of 4, at most 252.
    pub metadata: u32,
    /// Interface that the packet came in by; 0 for the loopback device. The kernel wants one of this
    /// network namespace.
    pub ingress_ifindex: u32,
    /// Receive queue; the kernel wants one that the interface has.
    pub rx_queue_index: u32,
}
