//! Helpers that read, write, move and redirect packets.

use bpfweld_object::ProgramType;

use crate::helpers::{Value, checksum, code, read, write};
use crate::maps::errno;
use crate::packet::ETH_HLEN;
use crate::run::Redirect;
use crate::vm::{Result, Vm};

/// Flags of the checksum helpers: size of the field; then, of `bpf_l4_csum_replace` alone, that it
/// covers a pseudo header, and what a checksum of 0 means.
const FIELD: u64 = 0xf;
const PSEUDO_HEADER: u64 = 1 << 4;
const MANGLED_0: u64 = 1 << 5;
const ENFORCE: u64 = 1 << 6;
const IPV6: u64 = 1 << 7;
/// `BPF_F_INGRESS`.
const INGRESS: u64 = 1;

pub(crate) fn adjust_head(vm: &mut Vm<'_>, by: i32) -> u64 {
    code(vm.state.packet.adjust_head(&mut vm.state.memory, by))
}

pub(crate) fn adjust_meta(vm: &mut Vm<'_>, by: i32) -> u64 {
    code(vm.state.packet.adjust_meta(&mut vm.state.memory, by))
}

pub(crate) fn adjust_tail(vm: &mut Vm<'_>, by: i32) -> u64 {
    code(vm.state.packet.adjust_tail(&mut vm.state.memory, by))
}

pub(crate) fn change_tail(vm: &mut Vm<'_>, len: u32, flags: u64) -> u64 {
    match flags {
        0 => code(vm.state.packet.change_tail(&mut vm.state.memory, len)),
        _ => code(errno::EINVAL),
    }
}

pub(crate) fn change_head(vm: &mut Vm<'_>, room: u32, flags: u64) -> u64 {
    match flags {
        0 => code(vm.state.packet.change_head(&mut vm.state.memory, room)),
        _ => code(errno::EINVAL),
    }
}

/// `bpf_skb_pull_data`: all of the packet is in one piece already.
pub(crate) fn pull(vm: &mut Vm<'_>, len: u32) -> u64 {
    if len as usize > vm.state.packet.len() { code(-12) } else { 0 }
}

/// The flow's hash: one that was set, else one of the bytes.
pub(crate) fn hash(vm: &mut Vm<'_>) -> u64 {
    let set = vm.state.packet.skb.hash();
    if set != 0 {
        return set.into();
    }
    let bytes = vm.state.packet.with_metadata(&vm.state.memory);
    // FNV-1a over what tells flows apart: addresses and ports are within these bytes.
    let hash = bytes
        .iter()
        .skip(12)
        .take(42)
        .fold(0x811c_9dc5u32, |hash, &byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
    vm.state.packet.skb.set_hash(hash.max(1));
    hash.max(1).into()
}

pub(crate) fn set_hash(vm: &mut Vm<'_>, hash: u32) -> u64 {
    vm.state.packet.skb.set_hash(hash);
    0
}

/// Copies a part of the packet out; `false` when it is not all there.
fn copy_out(vm: &mut Vm<'_>, offset: usize, to: u64, len: u32) -> Result<bool> {
    let mut scratch = std::mem::take(&mut vm.state.scratch);
    scratch.clear();
    let found = vm.state.packet.bytes(&vm.state.memory, offset, len as usize);
    let ok = found.is_some();
    scratch.extend_from_slice(found.unwrap_or_default());
    let place = write(vm, to, len.into())?;
    if ok {
        place.copy_from_slice(&scratch);
    }
    vm.state.scratch = scratch;
    Ok(ok)
}

/// Copies into a part of the packet; `false` when it is not all there.
fn copy_in(vm: &mut Vm<'_>, offset: usize, from: u64, len: u32) -> Result<bool> {
    let mut scratch = std::mem::take(&mut vm.state.scratch);
    scratch.clear();
    scratch.extend_from_slice(read(vm, from, len.into())?);
    let place = vm.state.packet.bytes_mut(&mut vm.state.memory, offset, len as usize);
    let ok = place.is_some();
    if let Some(place) = place {
        place.copy_from_slice(&scratch);
    }
    vm.state.scratch = scratch;
    Ok(ok)
}

/// `bpf_xdp_load_bytes`.
pub(crate) fn xdp_load(vm: &mut Vm<'_>, offset: u32, to: u64, len: u32) -> Value {
    if offset > 0xffff || len > 0xffff {
        return Ok(code(errno::EFAULT));
    }
    Ok(if copy_out(vm, offset as usize, to, len)? { 0 } else { code(errno::EINVAL) })
}

/// `bpf_xdp_store_bytes`.
pub(crate) fn xdp_store(vm: &mut Vm<'_>, offset: u32, from: u64, len: u32) -> Value {
    if offset > 0xffff || len > 0xffff {
        return Ok(code(errno::EFAULT));
    }
    Ok(if copy_in(vm, offset as usize, from, len)? { 0 } else { code(errno::EINVAL) })
}

/// `bpf_skb_load_bytes`: zeros where there is nothing.
pub(crate) fn load(vm: &mut Vm<'_>, offset: u32, to: u64, len: u32) -> Value {
    if offset <= i32::MAX as u32 && copy_out(vm, offset as usize, to, len)? {
        return Ok(0);
    }
    write(vm, to, len.into())?.fill(0);
    Ok(code(errno::EFAULT))
}

/// `bpf_skb_load_bytes_relative`: from the link (0) or network (1) header.
pub(crate) fn load_relative(vm: &mut Vm<'_>, offset: u32, to: u64, len: u32, header: u32) -> Value {
    let layer2 = vm.state.packet.skb.layer2;
    let start = match (header, layer2) {
        (0, true) | (1, false) => Some(offset as usize),
        (1, true) => Some(offset as usize + ETH_HLEN),
        _ => None,
    };
    if let Some(start) = start.filter(|_| offset <= 0xffff)
        && copy_out(vm, start, to, len)?
    {
        return Ok(0);
    }
    write(vm, to, len.into())?.fill(0);
    Ok(code(errno::EFAULT))
}

/// `bpf_skb_store_bytes`. Flags: recompute the checksum (no one has it here), forget the hash.
pub(crate) fn store(vm: &mut Vm<'_>, offset: u32, from: u64, len: u32, flags: u64) -> Value {
    if flags & !3 != 0 {
        return Ok(code(errno::EINVAL));
    }
    if offset > i32::MAX as u32 || !copy_in(vm, offset as usize, from, len)? {
        return Ok(code(errno::EFAULT));
    }
    if flags & 2 != 0 {
        vm.state.packet.skb.set_hash(0);
    }
    Ok(0)
}

/// Changes a checksum field in the packet.
fn change_field(vm: &mut Vm<'_>, offset: u32, change: impl FnOnce(u16) -> Option<u16>) -> u64 {
    if offset > 0xffff || offset & 1 != 0 {
        return code(errno::EFAULT);
    }
    let place = vm.state.packet.bytes_mut(&mut vm.state.memory, offset as usize, 2);
    let Some(place) = place else { return code(errno::EFAULT) };
    let old = place.first_chunk().map_or(0, |b| u16::from_ne_bytes(*b));
    match change(old) {
        Some(new) => {
            place.copy_from_slice(&new.to_ne_bytes());
            0
        }
        None => code(errno::EINVAL),
    }
}

/// The new checksum; `None` when flags and arguments do not fit.
fn replaced(field: u16, from: u64, to: u64, flags: u64) -> Option<u16> {
    match flags & FIELD {
        0 if from == 0 => Some(checksum::replace_by_diff(field, to as u32)),
        2 => Some(checksum::replace(field, u32::from(from as u16), u32::from(to as u16))),
        4 => Some(checksum::replace(field, from as u32, to as u32)),
        _ => None,
    }
}

/// `bpf_l3_csum_replace`.
pub(crate) fn l3_csum(vm: &mut Vm<'_>, offset: u32, from: u64, to: u64, flags: u64) -> Value {
    if flags & !FIELD != 0 {
        return Ok(code(errno::EINVAL));
    }
    Ok(change_field(vm, offset, |field| replaced(field, from, to, flags)))
}

/// `bpf_l4_csum_replace`.
pub(crate) fn l4_csum(vm: &mut Vm<'_>, offset: u32, from: u64, to: u64, flags: u64) -> Value {
    if flags & !(FIELD | PSEUDO_HEADER | MANGLED_0 | ENFORCE | IPV6) != 0 {
        return Ok(code(errno::EINVAL));
    }
    let zero_is_none = flags & MANGLED_0 != 0;
    Ok(change_field(vm, offset, |field| {
        if zero_is_none && flags & ENFORCE == 0 && field == 0 {
            return Some(field);
        }
        let new = replaced(field, from, to, flags)?;
        Some(if zero_is_none && new == 0 { 0xffff } else { new })
    }))
}

/// `bpf_redirect`.
pub(crate) fn redirect(vm: &mut Vm<'_>, ifindex: u32, flags: u64) -> Value {
    let xdp = vm.state.packet.kind == ProgramType::XDP;
    let (allowed, refused, verdict) = if xdp { (0, 0, 4) } else { (INGRESS, 2, 7) };
    if flags & !allowed != 0 {
        return Ok(refused);
    }
    let ingress = flags & INGRESS != 0;
    vm.state.effects.redirect = Some(Redirect::Interface { ifindex, ingress });
    Ok(verdict)
}
