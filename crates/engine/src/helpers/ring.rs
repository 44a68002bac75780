//! Helpers for ring buffers. A record is in a region of its own until it is committed.

use crate::helpers::map::{index, with_copy};
use crate::helpers::{Value, argument, code};
use crate::maps::errno;
use crate::memory::{OFFSET, Region, address, region_of};
use crate::vm::{State, Vm, Window};

/// `bpf_ringbuf_output`.
pub(crate) fn ringbuf_output(vm: &mut Vm<'_>, map: u64, data: u64, len: u64, flags: u64) -> Value {
    let at = index(vm, map, 130)?;
    if flags & !3 != 0 {
        return Ok(code(errno::EINVAL));
    }
    with_copy(vm, [(0, 0), (data, len)], |vm, _, data| {
        let State { memory, maps, .. } = &mut *vm.state;
        let Some(map) = maps.get_mut(at) else { return code(errno::EINVAL) };
        let region = map.region;
        let Some(ring) = map.ring() else { return code(errno::EINVAL) };
        let Some(offset) = ring.reserve(data.len() as u64) else { return code(errno::EAGAIN) };
        ring.commit(offset, false);
        if let Some(place) = memory.bytes_mut(address(region, offset), data.len() as u64) {
            place.copy_from_slice(data);
        }
        0
    })
}

/// Makes room for a record: the address of its bytes, `None` when the ring is full.
pub(crate) fn open(vm: &mut Vm<'_>, map: usize, len: u64) -> Option<u64> {
    let State { memory, maps, windows, .. } = &mut *vm.state;
    let free = windows.iter().position(|window| window.record.is_none());
    let at = match free {
        Some(at) => at,
        None => {
            let region = memory.add(Region::whole(Vec::new()))?;
            windows.push(Window { region, record: None });
            windows.len() - 1
        }
    };
    let window = windows.get_mut(at)?;
    let offset = maps.get_mut(map)?.ring()?.reserve(len)?;
    window.record = Some((map, offset));
    let region = memory.region_mut(window.region)?;
    region.bytes.clear();
    region.bytes.resize(len as usize, 0);
    region.high = len;
    Some(address(window.region, 0))
}

/// Commits the record at an address; `false` when there is none.
pub(crate) fn close(vm: &mut Vm<'_>, record: u64, discard: bool) -> bool {
    let State { memory, maps, windows, .. } = &mut *vm.state;
    if record & OFFSET != 0 {
        return false;
    }
    let window = windows.iter_mut().find(|window| window.region == region_of(record));
    let Some((window, (map, offset))) = window.and_then(|w| w.record.map(|r| (w, r))) else {
        return false;
    };
    window.record = None;
    let Some(map) = maps.get_mut(map) else { return false };
    let ring = map.region;
    let done = map.ring().is_some_and(|ring| ring.commit(offset, discard));
    // What was committed is out of reach.
    let from = memory.region_mut(window.region).map(|region| {
        region.high = 0;
        std::mem::take(&mut region.bytes)
    });
    let Some(bytes) = from else { return done };
    let place = memory.region_mut(ring).and_then(|region| {
        let start = usize::try_from(offset).ok()?;
        region.bytes.get_mut(start..start.checked_add(bytes.len())?)
    });
    if let Some(place) = place {
        place.copy_from_slice(&bytes);
    }
    if let Some(region) = memory.region_mut(window.region) {
        region.bytes = bytes;
    }
    done
}

/// Discards what a run that came to no end left open: it would hold up all records behind it.
pub(crate) fn discard_all(vm: &mut Vm<'_>) {
    for at in 0..vm.state.windows.len() {
        if let Some(window) = vm.state.windows.get(at).filter(|w| w.record.is_some()) {
            close(vm, address(window.region, 0), true);
        }
    }
}

/// `bpf_ringbuf_reserve`.
pub(crate) fn ringbuf_reserve(vm: &mut Vm<'_>, map: u64, len: u64, flags: u64) -> Value {
    let at = ring_index(vm, map, 131)?;
    if flags != 0 {
        return Ok(0);
    }
    Ok(open(vm, at, len).unwrap_or(0))
}

/// The index of a map that is a ring buffer.
pub(crate) fn ring_index(vm: &mut Vm<'_>, map: u64, helper: u32) -> crate::vm::Result<usize> {
    let at = index(vm, map, helper)?;
    match vm.state.maps.get_mut(at).and_then(|map| map.ring()) {
        Some(_) => Ok(at),
        None => argument(helper, "the map is no ring buffer"),
    }
}

/// `bpf_ringbuf_submit`, `bpf_ringbuf_discard`.
pub(crate) fn ringbuf_commit(vm: &mut Vm<'_>, record: u64, discard: bool) -> Value {
    let number = if discard { 133 } else { 132 };
    match close(vm, record, discard) {
        true => Ok(0),
        false => argument(number, "the argument is no record that was reserved"),
    }
}

/// `bpf_ringbuf_query`.
pub(crate) fn ringbuf_query(vm: &mut Vm<'_>, map: u64, what: u64) -> Value {
    let at = index(vm, map, 134)?;
    match vm.state.maps.get_mut(at).and_then(|map| map.ring()) {
        Some(ring) => Ok(ring.query(what)),
        None => argument(134, "the map is no ring buffer"),
    }
}
