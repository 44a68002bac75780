//! Internet checksums (RFC 1071), folded as the kernel folds them, so that results are equal to the
//! bit and not only as numbers modulo 65535.

use crate::helpers::{Value, read};
use crate::vm::Vm;

/// The sum of the 32-bit words of `bytes` and `start`, with every carry added again.
pub(crate) fn partial(bytes: &[u8], start: u32) -> u32 {
    let mut sum = u64::from(start);
    let (words, rest) = bytes.as_chunks::<4>();
    for word in words {
        sum += u64::from(u32::from_ne_bytes(*word));
    }
    let mut last = [0; 4];
    for (to, from) in last.iter_mut().zip(rest) {
        *to = *from;
    }
    sum += u64::from(u32::from_ne_bytes(last));
    while sum >> 32 != 0 {
        sum = (sum & 0xffff_ffff) + (sum >> 32);
    }
    sum as u32
}

/// The sum of two, its carry added again.
pub(crate) fn add(a: u32, b: u32) -> u32 {
    let (sum, carry) = a.overflowing_add(b);
    sum.wrapping_add(carry.into())
}

/// The difference of two.
pub(crate) fn sub(a: u32, b: u32) -> u32 {
    add(a, !b)
}

/// The checksum field of a sum.
pub(crate) fn fold(sum: u32) -> u16 {
    let sum = (sum & 0xffff) + (sum >> 16);
    !((sum & 0xffff) + (sum >> 16)) as u16
}

/// `bpf_csum_diff`, as from Linux 6.13 on: before, lengths had to be multiples of 4.
pub(crate) fn diff(
    vm: &mut Vm<'_>,
    from: u64,
    from_len: u32,
    to: u64,
    to_len: u32,
    seed: u32,
) -> Value {
    let old = read(vm, from, from_len.into())?;
    let new = read(vm, to, to_len.into())?;
    let sum = match (old, new) {
        ([], []) => seed,
        ([], new) => partial(new, seed),
        (old, []) => !partial(old, !seed),
        (old, new) => sub(partial(new, seed), partial(old, 0)),
    };
    Ok(u64::from(sum.wrapping_add(sum.rotate_left(16)) >> 16))
}

/// A checksum field after `from` became `to` in what it covers.
pub(crate) fn replace(field: u16, from: u32, to: u32) -> u16 {
    fold(add(sub(!u32::from(field), from), to))
}

/// A checksum field after a change whose sum is `diff`.
pub(crate) fn replace_by_diff(field: u16, diff: u32) -> u16 {
    fold(add(diff, !u32::from(field)))
}
