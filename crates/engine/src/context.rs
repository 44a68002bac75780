//! The context argument: `struct xdp_md` and `struct __sk_buff` of `linux/bpf.h`. Their fields are
//! no memory: reading `data` gives the packet's address, and what may be written is field by field.

use bpfweld_object::ProgramType;

use crate::memory::{PACKET, address};
use crate::packet::{ETH_HLEN, Packet};

/// Bytes of a `struct __sk_buff`.
const SKB: usize = 192;
/// Offsets of its fields.
mod field {
    pub(super) const LEN: usize = 0;
    pub(super) const PKT_TYPE: usize = 4;
    pub(super) const MARK: usize = 8;
    pub(super) const QUEUE_MAPPING: usize = 12;
    pub(super) const PROTOCOL: usize = 16;
    pub(super) const VLAN_PRESENT: usize = 20;
    pub(super) const VLAN_TCI: usize = 24;
    pub(super) const VLAN_PROTO: usize = 28;
    pub(super) const PRIORITY: usize = 32;
    pub(super) const IFINDEX: usize = 40;
    pub(super) const TC_INDEX: usize = 44;
    pub(super) const CB: usize = 48;
    pub(super) const HASH: usize = 68;
    pub(super) const TC_CLASSID: usize = 72;
    pub(super) const DATA: usize = 76;
    pub(super) const DATA_END: usize = 80;
    pub(super) const FAMILY: usize = 88;
    pub(super) const DATA_META: usize = 140;
    pub(super) const TSTAMP: usize = 152;
    pub(super) const WIRE_LEN: usize = 160;
    pub(super) const GSO_SEGS: usize = 164;
}
/// Interface of a packet that came from nowhere: the loopback device.
const LOOPBACK: u32 = 1;

/// What an skb has beside its bytes.
#[derive(Debug)]
pub(crate) struct Skb {
    fields: [u8; SKB],
    /// Does `data` point to the Ethernet header, not behind it?
    pub(crate) layer2: bool,
    /// Bytes in front of the network header.
    pub(crate) link_len: usize,
}

impl Default for Skb {
    fn default() -> Self {
        Self { fields: [0; SKB], layer2: false, link_len: ETH_HLEN }
    }
}

impl Skb {
    /// Of a frame, as a test run of the kernel makes it.
    pub(crate) fn new(frame: &[u8]) -> Self {
        let mut skb = Self::default();
        let protocol = match frame.get(12..14) {
            // Below 1536 it is a length (IEEE 802.3): 802.2 frames, or Novell's.
            Some(&[a, b]) if u16::from_be_bytes([a, b]) < 0x600 => match frame.get(14..16) {
                Some([0xff, 0xff]) => 0x0001u16.to_be(),
                _ => 0x0004u16.to_be(),
            },
            Some(&[a, b]) => u16::from_ne_bytes([a, b]),
            _ => 0,
        };
        // Who it is for, as seen by a device with the address 0.
        let pkt_type = match frame.get(..6) {
            Some([0xff, 0xff, 0xff, 0xff, 0xff, 0xff]) => 1,
            Some([0, 0, 0, 0, 0, 0]) => 0,
            Some([first, ..]) if first & 1 != 0 => 2,
            _ => 3,
        };
        let behind = frame.len().saturating_sub(ETH_HLEN);
        let family: u32 = match u16::from_be(protocol) {
            0x0800 if behind >= 20 => 2,
            0x86dd if behind >= 40 => 10,
            _ => 0,
        };
        skb.set(field::PKT_TYPE, pkt_type);
        skb.set(field::PROTOCOL, protocol.into());
        skb.set(field::IFINDEX, LOOPBACK);
        skb.set(field::FAMILY, family);
        skb.set(field::GSO_SEGS, 0);
        skb
    }

    fn set(&mut self, at: usize, value: u32) {
        if let Some(place) = self.fields.get_mut(at..at + 4) {
            place.copy_from_slice(&value.to_ne_bytes());
        }
    }

    /// The hash of the packet's flow.
    pub(crate) fn hash(&self) -> u32 {
        self.get(field::HASH)
    }

    pub(crate) fn set_hash(&mut self, hash: u32) {
        self.set(field::HASH, hash);
    }

    fn get(&self, at: usize) -> u32 {
        let bytes = self.fields.get(at..).and_then(<[u8]>::first_chunk);
        bytes.copied().map_or(0, u32::from_ne_bytes)
    }

    /// The ethertype.
    pub(crate) fn protocol(&self) -> u16 {
        u16::from_be(self.get(field::PROTOCOL) as u16)
    }

    pub(crate) fn set_protocol(&mut self, protocol: u16) {
        self.set(field::PROTOCOL, protocol.to_be().into());
    }

    /// The VLAN tag beside the packet: ethertype and tag.
    pub(crate) fn vlan(&self) -> Option<(u16, u16)> {
        (self.get(field::VLAN_PRESENT) != 0).then(|| {
            let protocol = u16::from_be(self.get(field::VLAN_PROTO) as u16);
            (protocol, self.get(field::VLAN_TCI) as u16)
        })
    }

    pub(crate) fn set_vlan(&mut self, tag: Option<(u16, u16)>) {
        let (protocol, tci) = tag.unwrap_or_default();
        self.set(field::VLAN_PRESENT, tag.is_some().into());
        self.set(field::VLAN_TCI, tci.into());
        self.set(field::VLAN_PROTO, protocol.to_be().into());
    }
}

impl Packet {
    /// Reads a field; `None` where none may be read in this size.
    pub(crate) fn load_context(&self, at: u64, size: u64) -> Option<u64> {
        let at = usize::try_from(at).ok()?;
        let size = usize::try_from(size).ok()?;
        if self.kind == ProgramType::XDP {
            let offset = match (at, size) {
                (0, 4) => self.data,
                (4, 4) => self.linear_end,
                (8, 4) => self.meta,
                (12, 4) => return Some(self.ifindex.into()),
                (16, 4) => return Some(self.rx_queue.into()),
                // egress_ifindex: only programs of devmaps have one.
                (20, 4) => return Some(0),
                _ => return None,
            };
            return Some(address(PACKET, offset as u64));
        }
        let socket = self.kind == ProgramType::SOCKET_FILTER;
        if !at.is_multiple_of(size) {
            return None;
        }
        match (at, size) {
            (field::DATA | field::DATA_END | field::DATA_META, 4) if socket => return None,
            (field::DATA, 4) => return Some(address(PACKET, self.data as u64)),
            (field::DATA_END, 4) => return Some(address(PACKET, self.linear_end as u64)),
            (field::DATA_META, 4) => return Some(address(PACKET, self.meta as u64)),
            (field::DATA..84 | field::DATA_META..144, _) => return None,
            // flow_keys, for flow dissectors alone.
            (144..152, _) => return None,
            _ => {}
        }
        let len = (self.len() as u32).to_ne_bytes();
        let (base, bytes) = match at {
            field::LEN..4 => (field::LEN, &len[..]),
            field::WIRE_LEN..164 => (field::WIRE_LEN, &len[..]),
            _ => (0, &self.skb.fields[..]),
        };
        let bytes = bytes.get(at - base..)?.get(..size)?;
        let mut all = [0; 8];
        let start = if cfg!(target_endian = "big") { 8 - size } else { 0 };
        all.get_mut(start..start + size)?.copy_from_slice(bytes);
        Some(u64::from_ne_bytes(all))
    }

    /// Writes a field; `None` where none may be written in this size.
    pub(crate) fn store_context(&mut self, at: u64, value: u64, size: u64) -> Option<()> {
        let at = usize::try_from(at).ok()?;
        let size = usize::try_from(size).ok()?;
        let tc = matches!(self.kind, ProgramType::SCHED_CLS | ProgramType::SCHED_ACT);
        let cgroup = self.kind == ProgramType::CGROUP_SKB;
        let socket = self.kind == ProgramType::SOCKET_FILTER;
        let cb = (field::CB..field::HASH).contains(&at) && at.is_multiple_of(size);
        let may = match (at, size) {
            _ if cb => at + size <= field::HASH && (tc || socket || cgroup),
            (field::MARK | field::PRIORITY, 4) => tc || cgroup,
            (field::QUEUE_MAPPING | field::TC_INDEX | field::TC_CLASSID, 4) => tc,
            (field::TSTAMP, 8) => tc || cgroup,
            _ => false,
        };
        if !may {
            return None;
        }
        let value = match at {
            // 16 bits in the kernel.
            field::TC_INDEX => u64::from(value as u16),
            // NO_QUEUE_MAPPING is no queue: what is written is not taken.
            field::QUEUE_MAPPING if value as u32 >= 0xffff => return Some(()),
            // Kept plus one, 0 meaning none; read back, 0 stays 0.
            field::QUEUE_MAPPING => u64::from(value as u16),
            _ => value,
        };
        let bytes = value.to_ne_bytes();
        let start = if cfg!(target_endian = "big") { 8 - size } else { 0 };
        let place = self.skb.fields.get_mut(at..at + size)?;
        place.copy_from_slice(bytes.get(start..start + size)?);
        Some(())
    }
}
