//! The packet: a buffer with room in front and behind, and bounds that helpers move as the kernel's
//! do (net/core/filter.c), with the same limits and error codes.

mod headers;

use bpfweld_object::ProgramType;

use crate::context::Skb;
use crate::maps::errno;
use crate::memory::{Memory, PACKET};

/// Bytes of an Ethernet header.
pub(crate) const ETH_HLEN: usize = 14;
/// Room in front of the packet (`XDP_PACKET_HEADROOM`).
const HEADROOM: usize = 256;
/// Of it, what the kernel keeps for itself when it moves the packet on (`struct xdp_frame`).
const FRAME_HEADER: usize = 40;
/// Bytes of a buffer, and what of its end the kernel keeps (`struct skb_shared_info`).
const BUFFER: usize = 4096;
const SHARED_INFO: usize = 320;
/// The longest packet in one buffer.
pub(crate) const MAX_LINEAR: usize = BUFFER - HEADROOM - SHARED_INFO;
/// Buffers behind the first (`MAX_SKB_FRAGS`), of a page each.
const MAX_FRAGS: usize = 17;
/// The longest metadata.
const MAX_META: usize = 255;
/// Room in front of a packet with an skb, which the kernel makes as it is needed.
const SKB_ROOM: usize = 1 << 16;

/// Where the packet is in its region, and what is known of it.
#[derive(Debug)]
pub(crate) struct Packet {
    pub(crate) kind: ProgramType,
    /// Start of the metadata; `data` when there is none.
    pub(crate) meta: usize,
    pub(crate) data: usize,
    /// End of the first buffer: what can be accessed directly.
    pub(crate) linear_end: usize,
    /// End of the packet.
    pub(crate) end: usize,
    /// May it go on behind the first buffer?
    frags: bool,
    pub(crate) ifindex: u32,
    pub(crate) rx_queue: u32,
    pub(crate) skb: Skb,
}

impl Packet {
    pub(crate) fn new() -> Self {
        Self {
            kind: ProgramType::UNSPEC,
            meta: 0,
            data: 0,
            linear_end: 0,
            end: 0,
            frags: false,
            ifindex: 0,
            rx_queue: 0,
            skb: Skb::default(),
        }
    }

    /// The longest packet that a program takes.
    pub(crate) fn limit(kind: ProgramType, frags: bool) -> usize {
        match kind {
            ProgramType::XDP if !frags => MAX_LINEAR,
            ProgramType::XDP => MAX_LINEAR + MAX_FRAGS * BUFFER,
            _ => 65_535 + ETH_HLEN,
        }
    }

    /// Puts a packet in place, `metadata` bytes of it in front.
    pub(crate) fn place(
        &mut self,
        memory: &mut Memory,
        kind: ProgramType,
        frags: bool,
        bytes: &[u8],
        metadata: usize,
    ) {
        let xdp = kind == ProgramType::XDP;
        self.kind = kind;
        self.frags = frags;
        let start = if xdp { HEADROOM } else { SKB_ROOM };
        let end = start + bytes.len();
        let size = (end + BUFFER).max(2 * BUFFER);
        if let Some(region) = memory.region_mut(PACKET) {
            if region.bytes.len() < size {
                region.bytes.resize(size, 0);
            }
            if let Some(place) = region.bytes.get_mut(start..end) {
                place.copy_from_slice(bytes);
            }
            // What the packet before left in front is not seen when this one grows; helpers that give
            // an skb room clear it.
            if xdp && let Some(room) = region.bytes.get_mut(..start) {
                room.fill(0);
            }
        }
        self.meta = start;
        self.data = start + metadata;
        self.end = end;
        self.linear_end = if xdp { end.min(start + MAX_LINEAR) } else { end };
        if !xdp {
            self.skb = Skb::new(bytes);
            self.skb.layer2 = matches!(kind, ProgramType::SCHED_CLS | ProgramType::SCHED_ACT);
            if !self.skb.layer2 {
                self.meta += ETH_HLEN;
                self.data = self.meta;
            }
        }
        let writable =
            matches!(kind, ProgramType::XDP | ProgramType::SCHED_CLS | ProgramType::SCHED_ACT);
        if let Some(region) = memory.region_mut(PACKET) {
            region.writable = writable;
        }
        self.sync(memory);
    }

    /// The bounds of direct access follow those of the packet.
    pub(crate) fn sync(&self, memory: &mut Memory) {
        let socket = self.kind == ProgramType::SOCKET_FILTER;
        if let Some(region) = memory.region_mut(PACKET) {
            region.low = self.meta as u64;
            region.high = self.linear_end as u64;
            region.readable = !socket;
        }
    }

    /// Where it begins and ends now.
    pub(crate) fn bounds(&self) -> [usize; 4] {
        [self.meta, self.data, self.linear_end, self.end]
    }

    /// Undoes what helpers did to its bounds.
    pub(crate) fn set_bounds(&mut self, memory: &mut Memory, bounds: [usize; 4]) {
        [self.meta, self.data, self.linear_end, self.end] = bounds;
        self.sync(memory);
    }

    /// Bytes, metadata left out.
    pub(crate) fn len(&self) -> usize {
        self.end - self.data
    }

    fn buffer<'m>(&self, memory: &'m Memory) -> &'m [u8] {
        memory.region(PACKET).map_or(&[], |r| &r.bytes)
    }

    /// The packet, metadata in front.
    pub(crate) fn with_metadata<'m>(&self, memory: &'m Memory) -> &'m [u8] {
        self.buffer(memory).get(self.meta..self.end).unwrap_or_default()
    }

    /// `len` bytes from `offset`, all buffers.
    pub(crate) fn bytes<'m>(
        &self,
        memory: &'m Memory,
        offset: usize,
        len: usize,
    ) -> Option<&'m [u8]> {
        let start = self.data.checked_add(offset)?;
        let end = start.checked_add(len).filter(|&end| end <= self.end)?;
        self.buffer(memory).get(start..end)
    }

    /// The same for writing.
    pub(crate) fn bytes_mut<'m>(
        &self,
        memory: &'m mut Memory,
        offset: usize,
        len: usize,
    ) -> Option<&'m mut [u8]> {
        let start = self.data.checked_add(offset)?;
        let end = start.checked_add(len).filter(|&end| end <= self.end)?;
        memory.region_mut(PACKET)?.bytes.get_mut(start..end)
    }

    /// `bpf_xdp_adjust_head`.
    pub(crate) fn adjust_head(&mut self, memory: &mut Memory, offset: i32) -> i64 {
        let meta_len = self.data - self.meta;
        let data = self.data as i64 + i64::from(offset);
        let first = (FRAME_HEADER + meta_len) as i64;
        if data < first || data > self.linear_end as i64 - ETH_HLEN as i64 {
            return errno::EINVAL;
        }
        let data = data as usize;
        // The metadata stays in front.
        let meta = data - meta_len;
        if let Some(region) = memory.region_mut(PACKET) {
            region.bytes.copy_within(self.meta..self.data, meta);
        }
        (self.meta, self.data) = (meta, data);
        self.sync(memory);
        0
    }

    /// `bpf_xdp_adjust_meta`.
    pub(crate) fn adjust_meta(&mut self, memory: &mut Memory, offset: i32) -> i64 {
        let meta = self.meta as i64 + i64::from(offset);
        if meta < FRAME_HEADER as i64 || meta > self.data as i64 {
            return errno::EINVAL;
        }
        let len = self.data - meta as usize;
        if !len.is_multiple_of(4) || len > MAX_META {
            return errno::EACCES;
        }
        self.meta = meta as usize;
        self.sync(memory);
        0
    }

    /// `bpf_xdp_adjust_tail`: what is added is zero.
    pub(crate) fn adjust_tail(&mut self, memory: &mut Memory, offset: i32) -> i64 {
        let end = self.end as i64 + i64::from(offset);
        if self.end > self.linear_end {
            return self.adjust_frags(memory, offset);
        }
        if end > (BUFFER - SHARED_INFO) as i64 || end < (self.data + ETH_HLEN) as i64 {
            return errno::EINVAL;
        }
        self.set_end(memory, end as usize);
        0
    }

    /// The same where there are several buffers.
    fn adjust_frags(&mut self, memory: &mut Memory, offset: i32) -> i64 {
        if offset >= 0 {
            let last = (self.end - self.linear_end).wrapping_sub(1) % BUFFER + 1;
            if offset as usize > BUFFER - last {
                return errno::EINVAL;
            }
        } else if offset.unsigned_abs() as usize > self.len().saturating_sub(ETH_HLEN) {
            return errno::EINVAL;
        }
        self.set_end(memory, (self.end as i64 + i64::from(offset)) as usize);
        0
    }

    fn set_end(&mut self, memory: &mut Memory, end: usize) {
        if let Some(region) = memory.region_mut(PACKET) {
            if region.bytes.len() < end {
                region.bytes.resize(end, 0);
            }
            if let Some(added) = region.bytes.get_mut(self.end.min(end)..end) {
                added.fill(0);
            }
        }
        if self.end == self.linear_end {
            self.linear_end = end;
        }
        self.end = end;
        self.linear_end = self.linear_end.min(end);
        self.sync(memory);
    }

    /// `bpf_skb_change_tail`.
    pub(crate) fn change_tail(&mut self, memory: &mut Memory, len: u32) -> i64 {
        let max = SKB_MAX;
        if (len as usize) < ETH_HLEN || len as usize > max {
            return errno::EINVAL;
        }
        self.set_end(memory, self.data + len as usize);
        0
    }

    /// `bpf_skb_change_head`: room for a header in front, zeros.
    pub(crate) fn change_head(&mut self, memory: &mut Memory, room: u32) -> i64 {
        let room = room as usize;
        if self.len() + room > SKB_MAX || room > self.data {
            return errno::EINVAL;
        }
        let data = self.data - room;
        if let Some(region) = memory.region_mut(PACKET)
            && let Some(added) = region.bytes.get_mut(data..self.data)
        {
            added.fill(0);
        }
        (self.meta, self.data) = (data, data);
        self.sync(memory);
        0
    }

    /// A legacy load: big-endian, from the packet, or from its link or network header.
    pub(crate) fn legacy(&self, memory: &Memory, at: i32, size: u64) -> Option<u64> {
        /// `SKF_NET_OFF` and `SKF_LL_OFF` of `linux/filter.h`.
        const NET: i32 = -0x10_0000;
        const LINK: i32 = -0x20_0000;
        let link = if self.skb.layer2 { self.data } else { self.data - ETH_HLEN };
        let start = match at {
            0.. => self.data.checked_add(at as usize)?,
            NET.. => link.checked_add(ETH_HLEN)?.checked_add((at - NET) as usize)?,
            LINK.. => link.checked_add((at - LINK) as usize)?,
            _ => return None,
        };
        let end = start.checked_add(size as usize).filter(|&end| end <= self.end)?;
        let bytes = self.buffer(memory).get(start..end)?;
        Some(bytes.iter().fold(0, |all, &byte| all << 8 | u64::from(byte)))
    }
}

/// The longest packet that helpers make of an skb: the MTU of the loopback device and its header.
const SKB_MAX: usize = 65_536 + ETH_HLEN;
