//! Headers of packets with an skb: VLAN tags, which the kernel keeps beside the bytes as long as there
//! is one only, and room in front of the network header.

use super::{ETH_HLEN, Packet, SKB_MAX};
use crate::maps::errno;
use crate::memory::{Memory, PACKET};

/// Ethertypes.
const IPV4: u16 = 0x0800;
const IPV6: u16 = 0x86dd;
const VLAN: u16 = 0x8100;
const VLAN_AD: u16 = 0x88a8;
/// Bytes of a VLAN tag, and of the two addresses in front of it.
const TAG: usize = 4;
const ADDRESSES: usize = 12;
/// Headers without options.
const IPV4_LEN: usize = 20;
const IPV6_LEN: usize = 40;

/// Modes of `bpf_skb_adjust_room`.
const BEHIND_NETWORK: u32 = 0;
const BEHIND_LINK: u32 = 1;
/// Its flags (`BPF_F_ADJ_ROOM_*`).
const FIXED_GSO: u64 = 1;
const ENCAP_IPV4: u64 = 1 << 1;
const ENCAP_IPV6: u64 = 1 << 2;
const ENCAP_GRE: u64 = 1 << 3;
const ENCAP_UDP: u64 = 1 << 4;
const NO_CSUM_RESET: u64 = 1 << 5;
const ENCAP_ETH: u64 = 1 << 6;
const DECAP_IPV4: u64 = 1 << 7;
const DECAP_IPV6: u64 = 1 << 8;
/// Length of an inner link header.
const INNER_LINK: u64 = 0xff << 56;
const KNOWN: u64 = FIXED_GSO
    | ENCAP_IPV4
    | ENCAP_IPV6
    | ENCAP_GRE
    | ENCAP_UDP
    | NO_CSUM_RESET
    | ENCAP_ETH
    | DECAP_IPV4
    | DECAP_IPV6
    | INNER_LINK;
/// `ENOTSUPP`, which is not among the codes of user space.
const NOT_SUPPORTED: i64 = -524;
/// `ENOMEM`, which also tells of a packet that is too short.
const NO_MEMORY: i64 = -12;

impl Packet {
    /// Moves the first `front` bytes by `by` bytes to the front and clears what is between; `false` when
    /// there is no room.
    fn open_gap(&mut self, memory: &mut Memory, front: usize, by: usize) -> bool {
        let Some(data) = self.data.checked_sub(by) else { return false };
        if let Some(region) = memory.region_mut(PACKET) {
            region.bytes.copy_within(self.data..self.data + front, data);
            if let Some(gap) = region.bytes.get_mut(data + front..self.data + front) {
                gap.fill(0);
            }
        }
        (self.meta, self.data) = (data, data);
        self.sync(memory);
        true
    }

    /// Removes the `by` bytes behind the first `front`.
    fn close_gap(&mut self, memory: &mut Memory, front: usize, by: usize) {
        if let Some(region) = memory.region_mut(PACKET) {
            region.bytes.copy_within(self.data..self.data + front, self.data + by);
        }
        (self.meta, self.data) = (self.data + by, self.data + by);
        self.sync(memory);
    }

    fn be16(&self, memory: &Memory, offset: usize) -> Option<u16> {
        let bytes = self.bytes(memory, offset, 2)?;
        Some(u16::from_be_bytes([*bytes.first()?, *bytes.get(1)?]))
    }

    /// `bpf_skb_vlan_push`: a tag that is there already goes into the packet.
    pub(crate) fn vlan_push(&mut self, memory: &mut Memory, protocol: u16, tci: u16) -> i64 {
        let protocol = u16::from_be(protocol);
        let protocol = if matches!(protocol, VLAN | VLAN_AD) { protocol } else { VLAN };
        if let Some((outer, old)) = self.skb.vlan() {
            if !self.open_gap(memory, ADDRESSES, TAG) {
                return NO_MEMORY;
            }
            if let Some(place) = self.bytes_mut(memory, ADDRESSES, TAG) {
                let [a, b] = outer.to_be_bytes();
                let [c, d] = old.to_be_bytes();
                place.copy_from_slice(&[a, b, c, d]);
            }
            self.skb.set_protocol(outer);
            self.skb.link_len += TAG;
        }
        self.skb.set_vlan(Some((protocol, tci)));
        0
    }

    /// `bpf_skb_vlan_pop`: the tag beside the packet, or the first in it; then the next one is taken out
    /// of the packet.
    pub(crate) fn vlan_pop(&mut self, memory: &mut Memory) -> i64 {
        let tagged = |packet: &Self| matches!(packet.skb.protocol(), VLAN | VLAN_AD);
        if self.skb.vlan().is_some() {
            self.skb.set_vlan(None);
        } else {
            if !tagged(self) {
                return 0;
            }
            self.take_tag(memory);
        }
        if tagged(self) {
            let protocol = self.skb.protocol();
            if let Some(tci) = self.take_tag(memory) {
                self.skb.set_vlan(Some((protocol, tci)));
            }
        }
        0
    }

    fn take_tag(&mut self, memory: &mut Memory) -> Option<u16> {
        let tci = self.be16(memory, ADDRESSES + 2)?;
        self.close_gap(memory, ADDRESSES, TAG);
        let protocol = self.be16(memory, ADDRESSES).unwrap_or(0);
        self.skb.set_protocol(protocol);
        self.skb.link_len = self.skb.link_len.saturating_sub(TAG).max(ETH_HLEN);
        Some(tci)
    }

    /// `bpf_skb_adjust_room`.
    pub(crate) fn adjust_room(
        &mut self,
        memory: &mut Memory,
        by: i32,
        mode: u32,
        flags: u64,
    ) -> i64 {
        if flags & !KNOWN != 0 {
            return errno::EINVAL;
        }
        let len = by.unsigned_abs() as usize;
        if len > 0xfff {
            return errno::EFAULT;
        }
        let base = match self.skb.protocol() {
            IPV4 => IPV4_LEN,
            IPV6 => IPV6_LEN,
            _ => return NOT_SUPPORTED,
        };
        let link = self.skb.link_len;
        let front = match mode {
            BEHIND_NETWORK => link + base,
            BEHIND_LINK => link,
            _ => return NOT_SUPPORTED,
        };
        let decap = flags & (DECAP_IPV4 | DECAP_IPV6);
        let least = match decap {
            0 => base,
            _ if by >= 0 => return errno::EINVAL,
            DECAP_IPV4 => IPV4_LEN,
            DECAP_IPV6 => IPV6_LEN,
            _ => return errno::EINVAL,
        };
        let current = self.len().saturating_sub(link);
        if by < 0 {
            if len >= current || current - len < least {
                return NOT_SUPPORTED;
            }
            return self.shrink(memory, front, len, flags);
        }
        if self.len() + len > SKB_MAX {
            return NOT_SUPPORTED;
        }
        self.grow(memory, front, len, flags)
    }

    fn shrink(&mut self, memory: &mut Memory, front: usize, len: usize, flags: u64) -> i64 {
        if flags & !(FIXED_GSO | DECAP_IPV4 | DECAP_IPV6 | NO_CSUM_RESET) != 0 {
            return errno::EINVAL;
        }
        if front + len > self.len() {
            return NO_MEMORY;
        }
        self.close_gap(memory, front, len);
        match flags & (DECAP_IPV4 | DECAP_IPV6) {
            DECAP_IPV4 => self.skb.set_protocol(IPV4),
            DECAP_IPV6 => self.skb.set_protocol(IPV6),
            _ => {}
        }
        0
    }

    fn grow(&mut self, memory: &mut Memory, front: usize, len: usize, flags: u64) -> i64 {
        if flags & (ENCAP_IPV4 | ENCAP_IPV6) != 0 {
            let both = |a: u64, b: u64| flags & a != 0 && flags & b != 0;
            let inner = (flags >> 56) as usize;
            if both(ENCAP_IPV4, ENCAP_IPV6)
                || both(ENCAP_GRE, ENCAP_UDP)
                || flags & ENCAP_ETH != 0 && inner < ETH_HLEN
                || inner > len
            {
                return errno::EINVAL;
            }
        }
        if front > self.len() {
            return errno::EFAULT;
        }
        if !self.open_gap(memory, front, len) {
            return NO_MEMORY;
        }
        if flags & ENCAP_IPV4 != 0 {
            self.skb.set_protocol(IPV4);
        }
        if flags & ENCAP_IPV6 != 0 {
            self.skb.set_protocol(IPV6);
        }
        0
    }
}
