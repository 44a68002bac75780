//! Helpers that push and pop headers of packets with an skb, and what devices would answer.

use crate::helpers::{Value, code, read, write};
use crate::maps::errno;
use crate::run::{Event, Redirect};
use crate::vm::Vm;

/// `TC_ACT_SHOT` and `TC_ACT_REDIRECT` of `linux/pkt_cls.h`.
const SHOT: u64 = 2;
const REDIRECT: u64 = 7;
/// `BPF_F_INGRESS`.
const INGRESS: u64 = 1;
/// Bytes of a `struct bpf_redir_neigh`.
const NEIGHBOUR: u32 = 20;
/// The loopback device: its index, and its MTU.
const LOOPBACK: u32 = 1;
const LOOPBACK_MTU: u32 = 65_536;

/// `bpf_skb_vlan_push`.
pub(crate) fn vlan_push(vm: &mut Vm<'_>, protocol: u16, tci: u16) -> u64 {
    code(vm.state.packet.vlan_push(&mut vm.state.memory, protocol, tci))
}

/// `bpf_skb_vlan_pop`.
pub(crate) fn vlan_pop(vm: &mut Vm<'_>) -> u64 {
    code(vm.state.packet.vlan_pop(&mut vm.state.memory))
}

/// `bpf_skb_adjust_room`: r2 by how many bytes, r3 mode, r4 flags.
pub(crate) fn adjust_room(vm: &mut Vm<'_>, by: i32, mode: u32, flags: u64) -> u64 {
    code(vm.state.packet.adjust_room(&mut vm.state.memory, by, mode, flags))
}

/// `bpf_clone_redirect`: a copy goes, the packet stays.
pub(crate) fn clone_redirect(vm: &mut Vm<'_>, ifindex: u32, flags: u64) -> u64 {
    if flags & !INGRESS != 0 {
        return code(errno::EINVAL);
    }
    let packet = vm.state.packet.with_metadata(&vm.state.memory).to_vec();
    vm.state.effects.push(Event::Clone { ifindex, ingress: flags & INGRESS != 0, packet });
    0
}

/// `bpf_redirect_neigh`: r1 interface, r2 next hop or NULL, r3 its length, r4 flags.
pub(crate) fn redirect_neigh(
    vm: &mut Vm<'_>,
    ifindex: u32,
    hop: u64,
    len: u32,
    flags: u64,
) -> Value {
    if flags != 0 || len != 0 && len < NEIGHBOUR {
        return Ok(SHOT);
    }
    read(vm, hop, len.into())?;
    vm.state.effects.redirect = Some(Redirect::Interface { ifindex, ingress: false });
    Ok(REDIRECT)
}

/// `bpf_redirect_peer`.
pub(crate) fn redirect_peer(vm: &mut Vm<'_>, ifindex: u32, flags: u64) -> u64 {
    if flags != 0 {
        return SHOT;
    }
    vm.state.effects.redirect = Some(Redirect::Interface { ifindex, ingress: true });
    REDIRECT
}

/// `bpf_csum_level`: packets of a test run have no checksum that was verified.
pub(crate) fn csum_level(level: u64) -> u64 {
    match level {
        0 => code(errno::EACCES),
        1..=3 => 0,
        _ => code(errno::EINVAL),
    }
}

/// `bpf_check_mtu`: r2 interface, r3 its MTU and a length to check, r4 by how much it will change, r5
/// flags. Interfaces are the loopback device and those of the table of routes.
pub(crate) fn check_mtu(vm: &mut Vm<'_>, ifindex: u32, mtu: u64, by: i32, flags: u64) -> Value {
    /// `BPF_MTU_CHK_SEGS`, for packets with an skb.
    const SEGMENTS: u64 = 1;
    const FRAGMENTATION_NEEDED: u64 = 1;
    let xdp = vm.state.packet.kind == bpfweld_object::ProgramType::XDP;
    let word = read(vm, mtu, 4)?.first_chunk().copied().map_or(0, u32::from_ne_bytes);
    let allowed = if xdp { 0 } else { SEGMENTS };
    if flags & !allowed != 0 || flags & SEGMENTS != 0 && (by != 0 || word != 0) {
        return Ok(code(errno::EINVAL));
    }
    let ifindex = if ifindex == 0 { vm.state.packet.ifindex.max(LOOPBACK) } else { ifindex };
    let of_route = |r: &&crate::Route| r.ifindex == ifindex && r.mtu != 0;
    let found = match vm.options.routes.iter().find(of_route) {
        Some(route) => u32::from(route.mtu),
        None if ifindex == LOOPBACK => LOOPBACK_MTU,
        None => return Ok(code(errno::ENODEV)),
    };
    let header = crate::packet::ETH_HLEN as i64;
    let len = match word {
        0 => vm.state.packet.len() as i64,
        len => i64::from(len) + header,
    };
    let fits = len + i64::from(by) <= i64::from(found) + header;
    write(vm, mtu, 4)?.copy_from_slice(&found.to_ne_bytes());
    Ok(if fits { 0 } else { FRAGMENTATION_NEEDED })
}
