//! Helpers for maps, ring buffers and event arrays.

use crate::error::FaultKind;
use crate::helpers::{Value, argument, code, read, write};
use crate::maps::{Map, Who, errno, map_type};
use crate::memory::{KEYS, MAPS, OFFSET, address, region_of};
use crate::run::{Event, Redirect};
use crate::vm::{Regs, Result, State, Vm, trap};

/// `BPF_F_CURRENT_CPU`, and the bits of a flags word that name a CPU.
const CURRENT_CPU: u64 = 0xffff_ffff;
/// `BPF_F_CTXLEN_MASK`.
const CONTEXT_BYTES: u64 = 0xf_ffff << 32;
/// Flags of `bpf_redirect_map`: the verdict when there is no such entry; to all entries, and not
/// to where the packet is from.
const ACTION: u64 = 3;
const BROADCAST: u64 = 1 << 3;
const EXCLUDE_INGRESS: u64 = 1 << 4;
/// `XDP_REDIRECT`.
const XDP_REDIRECT: u64 = 4;

/// Index of the map that an argument names.
pub(crate) fn index(vm: &Vm<'_>, map: u64, number: u32) -> Result<usize> {
    let index = (map & OFFSET) as usize;
    match region_of(map) == MAPS && index < vm.state.maps.len() {
        true => Ok(index),
        false => argument(number, "the argument is no map"),
    }
}

fn shape(vm: &Vm<'_>, index: usize) -> (u64, u64) {
    let shape = vm.state.maps.get(index).map(|m| &m.shape);
    shape.map_or((0, 0), |s| (s.key_size.into(), s.value_size.into()))
}

/// `bpf_map_lookup_elem`.
#[inline]
pub(crate) fn lookup(vm: &mut Vm<'_>, map: u64, key: u64) -> Value {
    let cpu = vm.options.cpu;
    lookup_on(vm, map, key, cpu, 1)
}

/// `bpf_map_lookup_percpu_elem`.
pub(crate) fn lookup_per_cpu(vm: &mut Vm<'_>, map: u64, key: u64, cpu: u32) -> Value {
    let at = index(vm, map, 195)?;
    if !vm.state.maps.get(at).is_some_and(Map::is_per_cpu) {
        return argument(195, "the map is none with a value for each CPU");
    }
    if cpu >= vm.options.cpus {
        return Ok(0);
    }
    lookup_on(vm, map, key, cpu, 195)
}

#[inline]
fn lookup_on(vm: &mut Vm<'_>, map: u64, key: u64, cpu: u32, number: u32) -> Value {
    let State { memory, maps, .. } = &mut *vm.state;
    let found = if region_of(map) == MAPS { maps.get_mut((map & OFFSET) as usize) } else { None };
    let Some(map) = found else { return argument(number, "the argument is no map") };
    let Some(bytes) = memory.bytes(key, map.shape.key_size.into()) else {
        let size = map.shape.key_size.into();
        return trap(FaultKind::Access { size, write: false, place: memory.describe(key) });
    };
    if let Some(inner) = map.inner(memory, bytes) {
        return Ok(inner.map_or(0, |i| address(MAPS, i.into())));
    }
    Ok(map.lookup(memory, bytes, cpu).unwrap_or(0))
}

/// Runs `f` with the key and the value copied out of the program's memory.
pub(crate) fn with_copy<T>(
    vm: &mut Vm<'_>,
    parts: [(u64, u64); 2],
    f: impl FnOnce(&mut Vm<'_>, &[u8], &[u8]) -> T,
) -> Result<T> {
    let mut scratch = std::mem::take(&mut vm.state.scratch);
    scratch.clear();
    for (at, len) in parts {
        scratch.extend_from_slice(read(vm, at, len)?);
    }
    let (first, second) = scratch.split_at((parts[0].1 as usize).min(scratch.len()));
    let result = f(vm, first, second);
    vm.state.scratch = scratch;
    Ok(result)
}

/// `Ok` as 0, an error as its code.
fn answer(result: std::result::Result<(), i64>) -> u64 {
    result.map_or_else(code, |()| 0)
}

/// `bpf_map_update_elem`.
pub(crate) fn update(vm: &mut Vm<'_>, map: u64, key: u64, value: u64, flags: u64) -> Value {
    let at = index(vm, map, 2)?;
    let (key_size, value_size) = shape(vm, at);
    let who = Who::Program(vm.options.cpu);
    let kind = vm.state.maps.get(at).map_or(0, |m| m.shape.map_type);
    let for_programs = matches!(
        kind,
        map_type::HASH
            | map_type::ARRAY
            | map_type::PERCPU_HASH
            | map_type::PERCPU_ARRAY
            | map_type::LRU_HASH
            | map_type::LRU_PERCPU_HASH
            | map_type::LPM_TRIE
    );
    if !for_programs {
        return argument(2, "programs cannot update maps of this type");
    }
    let read_only = vm.state.memory.region(vm.state.maps[at].region).is_some_and(|r| !r.writable);
    if read_only {
        return argument(2, "the map is read only");
    }
    with_copy(vm, [(key, key_size), (value, value_size)], |vm, key, value| {
        let State { memory, maps, .. } = &mut *vm.state;
        let map = maps.get_mut(at).ok_or(errno::EINVAL);
        answer(map.and_then(|map| map.update(memory, key, value, flags, who)))
    })
}

/// `bpf_map_delete_elem`.
pub(crate) fn delete(vm: &mut Vm<'_>, map: u64, key: u64) -> Value {
    let at = index(vm, map, 3)?;
    let (key_size, _) = shape(vm, at);
    let State { memory, maps, .. } = &mut *vm.state;
    let (Some(map), Some(key)) = (maps.get_mut(at), memory.bytes(key, key_size)) else {
        return trap(vm.access(key, key_size, false));
    };
    match map.shape.map_type {
        map_type::PROG_ARRAY
        | map_type::DEVMAP
        | map_type::DEVMAP_HASH
        | map_type::CPUMAP
        | map_type::XSKMAP
        | map_type::ARRAY_OF_MAPS
        | map_type::HASH_OF_MAPS => argument(3, "programs cannot delete from maps of this type"),
        _ => Ok(answer(map.delete(key))),
    }
}

/// `bpf_map_push_elem`.
pub(crate) fn push(vm: &mut Vm<'_>, map: u64, value: u64, flags: u64) -> Value {
    let at = index(vm, map, 87)?;
    let (_, value_size) = shape(vm, at);
    with_copy(vm, [(0, 0), (value, value_size)], |vm, _, value| {
        let State { memory, maps, .. } = &mut *vm.state;
        let map = maps.get_mut(at).ok_or(errno::EINVAL);
        answer(map.and_then(|map| map.push(memory, value, flags)))
    })
}

/// `bpf_map_pop_elem`, `bpf_map_peek_elem`.
pub(crate) fn take(vm: &mut Vm<'_>, map: u64, value: u64, keep: bool) -> Value {
    let at = index(vm, map, if keep { 89 } else { 88 })?;
    let (_, value_size) = shape(vm, at);
    let mut scratch = std::mem::take(&mut vm.state.scratch);
    scratch.clear();
    // A bloom filter is asked for what is there.
    scratch.extend_from_slice(read(vm, value, value_size)?);
    let State { memory, maps, .. } = &mut *vm.state;
    let map = maps.get_mut(at).ok_or(errno::EINVAL);
    let result = map.and_then(|map| map.take(memory, &mut scratch, keep));
    write(vm, value, value_size)?.copy_from_slice(&scratch);
    vm.state.scratch = scratch;
    Ok(answer(result))
}

/// `bpf_for_each_map_elem`: r1 map, r2 function(map, key, value, context), r3 context, r4 flags.
pub(crate) fn for_each(
    vm: &mut Vm<'_>,
    regs: &mut Regs,
    [map, function, context, flags]: [u64; 4],
) -> Value {
    let at = index(vm, map, 164)?;
    if flags != 0 {
        return Ok(code(errno::EINVAL));
    }
    let mut key = Vec::new();
    let mut count = 0;
    let mut slot = 0;
    // The map may grow meanwhile.
    while slot < vm.state.maps.get(at).map_or(0, Map::slots) {
        let State { memory, maps, .. } = &mut *vm.state;
        let value = maps.get(at).and_then(|m| m.entry(memory, slot, vm.options.cpu, &mut key));
        slot += 1;
        vm.charge(1)?;
        let Some(value) = value else { continue };
        let depth = vm.depth() as u32;
        let keys = vm.state.memory.region_mut(KEYS);
        let place = keys.map(|region| {
            let start = depth as usize * 512;
            if let Some(place) = region.bytes.get_mut(start..start + key.len()) {
                place.copy_from_slice(&key);
            }
            address(KEYS, region.element(depth))
        });
        count += 1;
        let args = [map, place.unwrap_or_default(), value, context];
        if vm.call_back(regs, function, args)? != 0 {
            break;
        }
    }
    Ok(count)
}

/// `bpf_redirect_map`.
pub(crate) fn redirect_map(vm: &mut Vm<'_>, map: u64, key: u64, flags: u64) -> Value {
    let at = index(vm, map, 51)?;
    let State { memory, maps, .. } = &mut *vm.state;
    let Some(target) = maps.get_mut(at) else { return argument(51, "the argument is no map") };
    let to_devices = matches!(target.shape.map_type, map_type::DEVMAP | map_type::DEVMAP_HASH);
    if !to_devices && !matches!(target.shape.map_type, map_type::CPUMAP | map_type::XSKMAP) {
        return argument(51, "the map is none to redirect to");
    }
    let more = if to_devices { BROADCAST | EXCLUDE_INGRESS } else { 0 };
    if flags & !(ACTION | more) != 0 {
        return Ok(0);
    }
    let key = key as u32;
    let value = target.lookup(memory, &key.to_ne_bytes(), 0);
    let value = value.map(|at| memory.load::<4>(at).unwrap_or(0) as u32);
    let broadcast = flags & BROADCAST != 0;
    if value.is_none() && !broadcast {
        vm.state.effects.redirect = None;
        return Ok(flags & ACTION);
    }
    vm.state.effects.redirect = Some(Redirect::Map {
        map: at,
        key,
        target: value,
        broadcast,
        exclude_ingress: flags & EXCLUDE_INGRESS != 0,
    });
    Ok(XDP_REDIRECT)
}

/// `bpf_perf_event_output`: r2 map, r3 flags, r4 data, r5 its length.
pub(crate) fn perf_event_output(
    vm: &mut Vm<'_>,
    map: u64,
    flags: u64,
    data: u64,
    len: u64,
) -> Value {
    let at = index(vm, map, 25)?;
    let context = (flags & CONTEXT_BYTES) >> 32;
    if flags & !(CURRENT_CPU | CONTEXT_BYTES) != 0 {
        return Ok(code(errno::EINVAL));
    }
    if context > vm.state.packet.len() as u64 {
        return Ok(code(errno::EFAULT));
    }
    let cpu = match flags & CURRENT_CPU {
        CURRENT_CPU => vm.options.cpu.into(),
        cpu => cpu,
    };
    let entries = vm.state.maps.get(at).map_or(0, |m| m.shape.max_entries);
    read(vm, data, len)?;
    if cpu >= entries.into() {
        return Ok(code(errno::E2BIG));
    }
    if !vm.options.perf_readers {
        return Ok(code(errno::ENOENT));
    }
    let mut bytes = read(vm, data, len)?.to_vec();
    let packet = vm.state.packet.bytes(&vm.state.memory, 0, context as usize);
    bytes.extend_from_slice(packet.unwrap_or_default());
    vm.state.effects.push(Event::Perf { map: at, cpu: cpu as u32, data: bytes });
    Ok(0)
}
