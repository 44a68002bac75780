//! Dynptrs (`struct bpf_dynptr`, 16 bytes of stack): address, size with the kind in its upper bits,
//! offset. Nothing in one is relied on: every access is checked as any other.

use crate::helpers::{Value, argument, code, read, ring, write};
use crate::maps::errno;
use crate::vm::{Result, Vm};

const SIZE: u64 = 16;
/// The largest piece of memory (`DYNPTR_MAX_SIZE`).
const MAX: u64 = (1 << 24) - 1;
const SIZE_MASK: u32 = (1 << 24) - 1;
/// Kinds, in bits 28 to 30 of the size.
const LOCAL: u32 = 1 << 28;
const RINGBUF: u32 = 2 << 28;
const READ_ONLY: u32 = 1 << 31;

/// What a dynptr says.
struct Dynptr {
    data: u64,
    size: u32,
    offset: u32,
}

impl Dynptr {
    const NULL: Self = Self { data: 0, size: 0, offset: 0 };

    fn load(vm: &Vm<'_>, at: u64) -> Result<Self> {
        let mut bytes = [0; SIZE as usize];
        bytes.copy_from_slice(read(vm, at, SIZE)?);
        let word = |at: usize| {
            u32::from_ne_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
        };
        let mut data = [0; 8];
        data.copy_from_slice(&bytes[..8]);
        Ok(Self { data: u64::from_ne_bytes(data), size: word(8), offset: word(12) })
    }

    fn store(&self, vm: &mut Vm<'_>, at: u64) -> Result<()> {
        let place = write(vm, at, SIZE)?;
        for (place, from) in place.iter_mut().zip(
            self.data
                .to_ne_bytes()
                .into_iter()
                .chain(self.size.to_ne_bytes())
                .chain(self.offset.to_ne_bytes()),
        ) {
            *place = from;
        }
        Ok(())
    }

    /// The address of `len` bytes from `offset`; `None` when they are not all in it.
    fn slice(&self, offset: u32, len: u32) -> Option<u64> {
        let size = self.size & SIZE_MASK;
        let fits = offset <= size && len <= size - offset;
        fits.then(|| self.data.wrapping_add(u64::from(self.offset)).wrapping_add(offset.into()))
    }
}

/// `bpf_dynptr_from_mem`: r1 memory, r2 its length, r3 flags, r4 the dynptr.
pub(crate) fn from_mem(vm: &mut Vm<'_>, data: u64, size: u64, flags: u64, to: u64) -> Value {
    let error = match () {
        () if size as u32 as u64 > MAX => Some(errno::E2BIG),
        () if flags != 0 => Some(errno::EINVAL),
        () => None,
    };
    if let Some(error) = error {
        Dynptr::NULL.store(vm, to)?;
        return Ok(code(error));
    }
    let size = size as u32;
    write(vm, data, size.into())?;
    Dynptr { data, size: size | LOCAL, offset: 0 }.store(vm, to)?;
    Ok(0)
}

/// `bpf_ringbuf_reserve_dynptr`: r1 map, r2 length, r3 flags, r4 the dynptr.
pub(crate) fn reserve(vm: &mut Vm<'_>, map: u64, len: u64, flags: u64, to: u64) -> Value {
    let at = ring::ring_index(vm, map, 198)?;
    let len = u64::from(len as u32);
    let refused = match () {
        () if flags != 0 => Err(errno::EINVAL),
        () if len > MAX => Err(errno::E2BIG),
        () => ring::open(vm, at, len).ok_or(errno::EINVAL),
    };
    match refused {
        Ok(data) => {
            Dynptr { data, size: len as u32 | RINGBUF, offset: 0 }.store(vm, to)?;
            Ok(0)
        }
        Err(error) => {
            Dynptr::NULL.store(vm, to)?;
            Ok(code(error))
        }
    }
}

/// `bpf_ringbuf_submit_dynptr`, `bpf_ringbuf_discard_dynptr`.
pub(crate) fn commit(vm: &mut Vm<'_>, at: u64, discard: bool) -> Value {
    let dynptr = Dynptr::load(vm, at)?;
    if dynptr.data == 0 {
        return Ok(0);
    }
    if !ring::close(vm, dynptr.data, discard) {
        let number = if discard { 200 } else { 199 };
        return argument(number, "the dynptr is of no record that was reserved");
    }
    Dynptr::NULL.store(vm, at)?;
    Ok(0)
}

/// `bpf_dynptr_read`: r1 where to, r2 length, r3 the dynptr, r4 offset, r5 flags.
pub(crate) fn load(
    vm: &mut Vm<'_>,
    to: u64,
    len: u32,
    from: u64,
    offset: u32,
    flags: u64,
) -> Value {
    let dynptr = Dynptr::load(vm, from)?;
    if dynptr.data == 0 || flags != 0 {
        return Ok(code(errno::EINVAL));
    }
    match dynptr.slice(offset, len) {
        Some(from) => copy(vm, from, to, len),
        None => Ok(code(errno::E2BIG)),
    }
}

/// `bpf_dynptr_write`: r1 the dynptr, r2 offset, r3 where from, r4 length, r5 flags.
pub(crate) fn store(
    vm: &mut Vm<'_>,
    to: u64,
    offset: u32,
    from: u64,
    len: u32,
    flags: u64,
) -> Value {
    let dynptr = Dynptr::load(vm, to)?;
    if dynptr.data == 0 || dynptr.size & READ_ONLY != 0 || flags != 0 {
        return Ok(code(errno::EINVAL));
    }
    match dynptr.slice(offset, len) {
        Some(to) => copy(vm, from, to, len),
        None => Ok(code(errno::E2BIG)),
    }
}

/// `bpf_dynptr_data`: r1 the dynptr, r2 offset, r3 length: the address, or 0.
pub(crate) fn data(vm: &mut Vm<'_>, at: u64, offset: u32, len: u32) -> Value {
    let dynptr = Dynptr::load(vm, at)?;
    let there = dynptr.data != 0 && dynptr.size & READ_ONLY == 0;
    Ok(dynptr.slice(offset, len).filter(|_| there).unwrap_or(0))
}

fn copy(vm: &mut Vm<'_>, from: u64, to: u64, len: u32) -> Value {
    let mut scratch = std::mem::take(&mut vm.state.scratch);
    scratch.clear();
    scratch.extend_from_slice(read(vm, from, len.into())?);
    write(vm, to, len.into())?.copy_from_slice(&scratch);
    vm.state.scratch = scratch;
    Ok(0)
}
