//! Helpers by the kernel's numbers (`linux/bpf.h`), with the kernel's results.
//!
//! What the verifier would have refused (a pointer where none may be, a map of the wrong type) is a
//! fault; what the kernel's helper itself refuses is an error code. A new helper goes into
//! [`call`] and into the module of its kind.

mod checksum;
mod dynptr;
mod fib;
pub(crate) mod map;
mod packet;
pub(crate) mod ring;
mod skb;
mod text;

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use bpfweld_insn::helper_name;
use bpfweld_object::ProgramType;

use crate::error::FaultKind;
use crate::maps::errno;
use crate::options::Clock;
use crate::vm::{MAX_LOOPS, Regs, Result, Vm, trap};

/// What a helper gives back.
type Value = Result<u64>;

/// An error code as r0.
pub(crate) fn code(value: i64) -> u64 {
    value.cast_unsigned()
}

/// Calls the helper of this number with r1 to r5.
pub(crate) fn call(vm: &mut Vm<'_>, regs: &mut Regs, number: u32) -> Value {
    let [a, b, c, d, e] = regs.args();
    match number {
        1 => map::lookup(vm, a, b),
        2 => map::update(vm, a, b, c, d),
        3 => map::delete(vm, a, b),
        4 | 112 | 113 => probe_read(vm, a, b as u32, c),
        5 | 125 | 160 => Ok(nanoseconds(vm)),
        6 => text::trace_printk(vm, a, b as u32, &[c, d, e]),
        7 => Ok(random(vm).into()),
        8 => Ok(vm.options.cpu.into()),
        9 => skb(vm, number).and_then(|()| packet::store(vm, b as u32, c, d as u32, e)),
        10 => skb(vm, number).and_then(|()| packet::l3_csum(vm, b as u32, c, d, e)),
        11 => skb(vm, number).and_then(|()| packet::l4_csum(vm, b as u32, c, d, e)),
        13 => skb(vm, number).map(|()| skb::clone_redirect(vm, b as u32, c)),
        18 => skb(vm, number).map(|()| skb::vlan_push(vm, b as u16, c as u16)),
        19 => skb(vm, number).map(|()| skb::vlan_pop(vm)),
        23 => packet::redirect(vm, a as u32, b),
        25 => map::perf_event_output(vm, b, c, d, e),
        26 => skb(vm, number).and_then(|()| packet::load(vm, b as u32, c, d as u32)),
        28 => checksum::diff(vm, a, b as u32, c, d as u32, e as u32),
        34 => skb(vm, number).map(|()| packet::hash(vm)),
        38 => skb(vm, number).map(|()| packet::change_tail(vm, b as u32, c)),
        39 => skb(vm, number).map(|()| packet::pull(vm, b as u32)),
        40 => skb(vm, number).map(|()| code(errno::EINVAL)),
        41 => skb(vm, number).map(|()| packet::set_hash(vm, 0)),
        42 => Ok(0),
        43 => skb(vm, number).map(|()| packet::change_head(vm, b as u32, c)),
        44 => xdp(vm, number).map(|()| packet::adjust_head(vm, b as i32)),
        48 => skb(vm, number).map(|()| packet::set_hash(vm, b as u32)),
        50 => skb(vm, number).map(|()| skb::adjust_room(vm, b as i32, c as u32, d)),
        51 => map::redirect_map(vm, a, b, c),
        54 => xdp(vm, number).map(|()| packet::adjust_meta(vm, b as i32)),
        65 => xdp(vm, number).map(|()| packet::adjust_tail(vm, b as i32)),
        68 => skb(vm, number)
            .and_then(|()| packet::load_relative(vm, b as u32, c, d as u32, e as u32)),
        69 => fib::lookup(vm, b, c as i32, d as u32),
        // No socket is ever found: there is none.
        84 | 85 | 99 => read(vm, b, u64::from(c as u32)).map(|_| 0),
        86 => argument(number, "the engine has no sockets to release"),
        87 => map::push(vm, a, b, c),
        88 => map::take(vm, a, b, false),
        89 => map::take(vm, a, b, true),
        // Nothing runs at the same time: a lock is always free.
        93 | 94 => Ok(0),
        118 => Ok(nanoseconds(vm) / 4_000_000),
        130 => ring::ringbuf_output(vm, a, b, c, d),
        131 => ring::ringbuf_reserve(vm, a, b, c),
        132 => ring::ringbuf_commit(vm, a, false),
        133 => ring::ringbuf_commit(vm, a, true),
        134 => ring::ringbuf_query(vm, a, b),
        135 => skb(vm, number).map(|()| skb::csum_level(b)),
        152 => skb(vm, number).and_then(|()| skb::redirect_neigh(vm, a as u32, b, c as u32, d)),
        155 => skb(vm, number).map(|()| skb::redirect_peer(vm, a as u32, b)),
        163 => skb::check_mtu(vm, b as u32, c, d as i32, e),
        164 => map::for_each(vm, regs, [a, b, c, d]),
        165 => text::snprintf(vm, a, b as u32, c, d, e as u32),
        169..=172 => argument(number, "the engine has no timers; run it with the kernel"),
        177 => text::trace_vprintk(vm, a, b as u32, c, d as u32),
        181 => bpf_loop(vm, regs, [a, b, c, d]),
        182 => text::strncmp(vm, a, b as u32, c),
        188 => xdp(vm, number).map(|()| vm.state.packet.len() as u64),
        189 => xdp(vm, number).and_then(|()| packet::xdp_load(vm, b as u32, c, d as u32)),
        190 => xdp(vm, number).and_then(|()| packet::xdp_store(vm, b as u32, c, d as u32)),
        195 => map::lookup_per_cpu(vm, a, b, c as u32),
        197 => dynptr::from_mem(vm, a, b, c, d),
        198 => dynptr::reserve(vm, a, b, c, d),
        199 => dynptr::commit(vm, a, false),
        200 => dynptr::commit(vm, a, true),
        201 => dynptr::load(vm, a, b as u32, c, d as u32, e),
        202 => dynptr::store(vm, a, b as u32, c, d as u32, e),
        203 => dynptr::data(vm, a, b as u32, c as u32),
        208 => Ok(real_time(vm)),
        _ => trap(FaultKind::Helper { name: name(number) }),
    }
}

/// Does the engine have this helper?
pub(crate) fn exists(number: u32) -> bool {
    matches!(
        number,
        1..=13
            | 18
            | 19
            | 23
            | 25
            | 26
            | 28
            | 34
            | 38..=44
            | 48
            | 50
            | 51
            | 54
            | 65
            | 68
            | 69
            | 84..=89
            | 93
            | 94
            | 99
            | 112
            | 113
            | 118
            | 125
            | 130..=135
            | 152
            | 155
            | 160
            | 163
            | 164
            | 165
            | 177
            | 181
            | 182
            | 188..=190
            | 195
            | 197..=203
            | 208
    )
}

/// A helper's name, or its number.
pub(crate) fn name(number: u32) -> String {
    helper_name(number).map_or_else(|| format!("number {number}"), str::to_owned)
}

/// The fault of an argument that the verifier would have refused.
#[cold]
pub(crate) fn argument<T>(number: u32, problem: &str) -> Result<T> {
    trap(FaultKind::Argument { helper: name(number), problem: problem.into() })
}

/// Only for programs that have an skb.
fn skb(vm: &Vm<'_>, number: u32) -> Result<()> {
    match vm.state.packet.kind {
        ProgramType::XDP => argument(number, "programs of type xdp have no socket buffer"),
        _ => Ok(()),
    }
}

/// Only for XDP programs.
fn xdp(vm: &Vm<'_>, number: u32) -> Result<()> {
    match vm.state.packet.kind {
        ProgramType::XDP => Ok(()),
        _ => argument(number, "only programs of type xdp have it"),
    }
}

/// Bytes that a program hands over.
pub(crate) fn read<'m>(vm: &'m Vm<'_>, at: u64, len: u64) -> Result<&'m [u8]> {
    match vm.state.memory.bytes(at, len) {
        Some(bytes) => Ok(bytes),
        None => trap(vm.access(at, len, false)),
    }
}

/// Bytes that a program wants filled.
pub(crate) fn write<'m>(vm: &'m mut Vm<'_>, at: u64, len: u64) -> Result<&'m mut [u8]> {
    if vm.state.memory.bytes_mut(at, len).is_none() {
        return trap(vm.access(at, len, true));
    }
    Ok(vm.state.memory.bytes_mut(at, len).unwrap_or_default())
}

fn nanoseconds(vm: &Vm<'_>) -> u64 {
    match vm.options.clock {
        Clock::Fixed(at) => at,
        Clock::System => {
            let since = Instant::now().saturating_duration_since(vm.state.effects.began);
            u64::try_from(since.as_nanos()).unwrap_or(u64::MAX).saturating_add(1_000_000_000)
        }
    }
}

fn real_time(vm: &Vm<'_>) -> u64 {
    match vm.options.clock {
        Clock::Fixed(at) => at,
        Clock::System => SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |since| u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)),
    }
}

/// splitmix64: short, and every seed will do.
fn random(vm: &mut Vm<'_>) -> u32 {
    vm.state.random = vm.state.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut x = vm.state.random;
    x = (x ^ x >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ x >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    (x ^ x >> 31) as u32
}

/// `bpf_probe_read`: what cannot be read is zeros and an error, no fault.
fn probe_read(vm: &mut Vm<'_>, to: u64, len: u32, from: u64) -> Value {
    let mut scratch = std::mem::take(&mut vm.state.scratch);
    scratch.clear();
    let found = vm.state.memory.bytes(from, len.into());
    let ok = found.is_some();
    scratch.extend_from_slice(found.unwrap_or_default());
    let result = write(vm, to, len.into()).map(|place| match ok {
        true => place.copy_from_slice(&scratch),
        false => place.fill(0),
    });
    vm.state.scratch = scratch;
    result.map(|()| if ok { 0 } else { code(errno::EFAULT) })
}

/// r1 how often, r2 function, r3 its second argument, r4 flags.
fn bpf_loop(
    vm: &mut Vm<'_>,
    regs: &mut Regs,
    [times, function, context, flags]: [u64; 4],
) -> Value {
    let times = times as u32;
    if flags != 0 {
        return Ok(code(errno::EINVAL));
    }
    if times > MAX_LOOPS {
        return Ok(code(errno::E2BIG));
    }
    for i in 0..times {
        if vm.call_back(regs, function, [i.into(), context, 0, 0])? != 0 {
            return Ok(u64::from(i) + 1);
        }
    }
    Ok(times.into())
}
