//! Maps: types, semantics and error codes of the kernel's. Values are in regions, so that programs
//! can point into them.

mod ring;
mod table;
#[cfg(test)]
mod tests;

use crate::memory::{Memory, Region, address};
pub(crate) use ring::Ring;
use table::Table;

/// Error codes as helpers return them (`asm-generic/errno.h`), negative.
pub mod errno {
    /// No such entry.
    pub const ENOENT: i64 = -2;
    /// Too many entries, or an index beyond the last.
    pub const E2BIG: i64 = -7;
    /// Try again: a ring buffer is full.
    pub const EAGAIN: i64 = -11;
    /// Not permitted.
    pub const EACCES: i64 = -13;
    /// Bad address: outside the packet.
    pub const EFAULT: i64 = -14;
    /// The entry exists.
    pub const EEXIST: i64 = -17;
    /// No such device.
    pub const ENODEV: i64 = -19;
    /// Invalid argument.
    pub const EINVAL: i64 = -22;
    /// A trie is full.
    pub const ENOSPC: i64 = -28;
    /// Outside the range.
    pub const ERANGE: i64 = -34;
    /// Not supported.
    pub const EOPNOTSUPP: i64 = -95;
    /// Address family not supported.
    pub const EAFNOSUPPORT: i64 = -97;
}

/// An operation on a map failed, with one of the codes of [`errno`].
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, thiserror::Error)]
#[error("{} ({})", name(*.0), .0)]
pub struct MapError(pub i64);

fn name(code: i64) -> &'static str {
    match code {
        errno::ENOENT => "there is no such entry",
        errno::E2BIG => "too many entries, or an index beyond the last",
        errno::EEXIST => "the entry exists",
        errno::EINVAL => "not for this map",
        errno::ENOSPC => "the map is full",
        errno::EACCES => "not permitted",
        _ => "failed",
    }
}

/// `enum bpf_map_type`.
pub(crate) mod map_type {
    pub(crate) const HASH: u32 = 1;
    pub(crate) const ARRAY: u32 = 2;
    pub(crate) const PROG_ARRAY: u32 = 3;
    pub(crate) const PERF_EVENT_ARRAY: u32 = 4;
    pub(crate) const PERCPU_HASH: u32 = 5;
    pub(crate) const PERCPU_ARRAY: u32 = 6;
    pub(crate) const LRU_HASH: u32 = 9;
    pub(crate) const LRU_PERCPU_HASH: u32 = 10;
    pub(crate) const LPM_TRIE: u32 = 11;
    pub(crate) const ARRAY_OF_MAPS: u32 = 12;
    pub(crate) const HASH_OF_MAPS: u32 = 13;
    pub(crate) const DEVMAP: u32 = 14;
    pub(crate) const CPUMAP: u32 = 16;
    pub(crate) const XSKMAP: u32 = 17;
    pub(crate) const QUEUE: u32 = 22;
    pub(crate) const STACK: u32 = 23;
    pub(crate) const DEVMAP_HASH: u32 = 25;
    pub(crate) const RINGBUF: u32 = 27;
    pub(crate) const BLOOM_FILTER: u32 = 30;
}

/// Flags of an update.
const NOEXIST: u64 = 1;
const EXIST: u64 = 2;
const F_LOCK: u64 = 4;
/// Flags of a map.
pub(crate) const NO_PREALLOC: u32 = 1;
pub(crate) const RDONLY_PROG: u32 = 1 << 7;
pub(crate) const WRONLY_PROG: u32 = 1 << 8;

/// What a map is made of.
#[derive(Clone, Debug)]
pub(crate) struct Shape {
    pub(crate) map_type: u32,
    pub(crate) key_size: u32,
    pub(crate) value_size: u32,
    pub(crate) max_entries: u32,
    pub(crate) flags: u32,
    pub(crate) extra: u64,
}

/// A map.
#[derive(Debug)]
pub(crate) struct Map {
    pub(crate) shape: Shape,
    /// Where its values are; 0 for those that have none.
    pub(crate) region: u64,
    cpus: u32,
    body: Body,
}

#[derive(Debug)]
enum Body {
    /// Every index has a value.
    Array,
    /// Indices of other things: programs, maps.
    References(Vec<Option<u32>>),
    /// Values by index, those that are set.
    Slots(Vec<bool>),
    Hash(Table),
    /// Entries of each prefix length; and keys as they were written last, slot by slot: the table has
    /// them without the bits that do not count.
    Trie(Table, Vec<u32>, Vec<u8>),
    /// Index of the oldest, and how many there are.
    Queue {
        first: u32,
        len: u32,
    },
    Ring(Ring),
    Perf,
    /// Bits, and hash functions.
    Bloom {
        bits: Vec<u64>,
        hashes: u32,
        seed: u64,
    },
}

/// Who changes a map: what a per-CPU value is differs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Who {
    /// A program on this CPU, which has a value of its own.
    Program(u32),
    /// User space, with a value for each CPU.
    User,
}

/// A result with the error code of the kernel.
type Result<T> = std::result::Result<T, i64>;

impl Map {
    /// Makes a map. `Err` says what is wrong with its definition; `Ok(None)` that the engine has no
    /// such maps.
    pub(crate) fn new(
        shape: Shape,
        cpus: u32,
        seed: u64,
        memory: &mut Memory,
    ) -> std::result::Result<Option<Self>, String> {
        check(&shape)?;
        let entries = shape.max_entries as usize;
        let body = match shape.map_type {
            map_type::ARRAY | map_type::PERCPU_ARRAY => Body::Array,
            map_type::PROG_ARRAY | map_type::ARRAY_OF_MAPS => Body::References(vec![None; entries]),
            map_type::DEVMAP | map_type::CPUMAP | map_type::XSKMAP => {
                Body::Slots(vec![false; entries])
            }
            map_type::HASH
            | map_type::PERCPU_HASH
            | map_type::HASH_OF_MAPS
            | map_type::DEVMAP_HASH => Body::Hash(Table::new(shape.key_size as usize, false, seed)),
            map_type::LRU_HASH | map_type::LRU_PERCPU_HASH => {
                Body::Hash(Table::new(shape.key_size as usize, true, seed))
            }
            map_type::LPM_TRIE => {
                let lens = vec![0; (shape.key_size as usize - 4) * 8 + 1];
                Body::Trie(Table::new(shape.key_size as usize, false, seed), lens, Vec::new())
            }
            map_type::QUEUE | map_type::STACK => Body::Queue { first: 0, len: 0 },
            map_type::RINGBUF => Body::Ring(Ring::new(shape.max_entries)),
            map_type::PERF_EVENT_ARRAY => Body::Perf,
            map_type::BLOOM_FILTER => {
                let hashes = if shape.extra == 0 { 5 } else { shape.extra as u32 & 0xf };
                let bits = (entries as u64 * u64::from(hashes) * 7 / 5).next_power_of_two();
                Body::Bloom { bits: vec![0; (bits.max(64) / 64) as usize], hashes, seed }
            }
            _ => return Ok(None),
        };
        let mut map = Self { shape, region: 0, cpus, body };
        let stride = map.stride();
        let initial = match &map.body {
            Body::Array | Body::Slots(_) | Body::Queue { .. } => map.elements(entries),
            Body::Ring(_) => entries * 2,
            _ => 0,
        };
        let has_values = !matches!(map.body, Body::References(_) | Body::Perf | Body::Bloom { .. });
        if has_values {
            let bytes = vec![0; initial];
            let mut region = match map.body {
                Body::Ring(_) => Region::whole(bytes),
                _ => Region::elements(bytes, map.shape.value_size, stride),
            };
            region.readable = map.shape.flags & WRONLY_PROG == 0;
            region.writable = map.shape.flags & RDONLY_PROG == 0
                && !matches!(map.body, Body::Slots(_))
                && map.shape.map_type != map_type::DEVMAP_HASH;
            map.region = memory.add(region).ok_or("there are too many maps")?;
        }
        Ok(Some(map))
    }

    /// Bytes that the values of all entries take once they are there.
    pub(crate) fn size(shape: &Shape, cpus: u32) -> u64 {
        let each = match shape.map_type {
            map_type::RINGBUF => 2,
            map_type::PERF_EVENT_ARRAY => 0,
            map_type::BLOOM_FILTER => 4,
            _ => u64::from(shape.value_size).next_multiple_of(8) + u64::from(shape.key_size) + 24,
        };
        let copies = if is_per_cpu(shape.map_type) { cpus } else { 1 };
        each.saturating_mul(shape.max_entries.into()).saturating_mul(copies.into())
    }

    pub(crate) fn is_per_cpu(&self) -> bool {
        is_per_cpu(self.shape.map_type)
    }

    /// Bytes from one value to the next.
    fn stride(&self) -> u64 {
        u64::from(self.shape.value_size).next_multiple_of(8)
    }

    /// Values of an entry.
    fn copies(&self) -> u32 {
        if self.is_per_cpu() { self.cpus } else { 1 }
    }

    /// Bytes that so many entries take.
    fn elements(&self, entries: usize) -> usize {
        entries.saturating_mul(self.stride() as usize).saturating_mul(self.copies() as usize)
    }

    /// Number of a value among those of the region.
    fn element(&self, slot: u32, cpu: u32) -> u32 {
        slot.wrapping_mul(self.copies()).wrapping_add(if self.is_per_cpu() { cpu } else { 0 })
    }

    fn address(&self, memory: &Memory, slot: u32, cpu: u32) -> u64 {
        let offset = memory.region(self.region).map_or(0, |r| r.element(self.element(slot, cpu)));
        address(self.region, offset)
    }

    /// The entry of a key.
    fn find(&mut self, key: &[u8]) -> Option<u32> {
        let index = || key.first_chunk().map(|b| u32::from_ne_bytes(*b));
        match &mut self.body {
            Body::Array => index().filter(|&i| i < self.shape.max_entries),
            Body::Slots(set) => index().filter(|&i| set.get(i as usize).is_some_and(|&set| set)),
            Body::Hash(table) => {
                let slot = table.find(key)?;
                table.touch(slot);
                Some(slot)
            }
            Body::Trie(table, lens, _) => longest(table, lens, key),
            _ => None,
        }
    }

    /// The address of the value of a key, as a program on this CPU sees it.
    #[inline]
    pub(crate) fn lookup(&mut self, memory: &Memory, key: &[u8], cpu: u32) -> Option<u64> {
        let slot = self.find(key)?;
        Some(self.address(memory, slot, cpu))
    }

    /// The map that a map of maps has under this key.
    pub(crate) fn inner(&mut self, memory: &Memory, key: &[u8]) -> Option<Option<u32>> {
        match (&self.body, self.shape.map_type) {
            (Body::References(slots), map_type::ARRAY_OF_MAPS) => {
                let index = key.first_chunk().map(|b| u32::from_ne_bytes(*b))?;
                Some(slots.get(index as usize).copied().flatten())
            }
            (_, map_type::HASH_OF_MAPS) => {
                let Some(slot) = self.find(key) else { return Some(None) };
                let inner = memory.load::<4>(self.address(memory, slot, 0));
                Some(inner.map(|i| i as u32))
            }
            _ => None,
        }
    }

    /// The program that a prog array has at this index; `None` when it is no prog array.
    pub(crate) fn program(&self, index: u32) -> Option<Option<u32>> {
        match (&self.body, self.shape.map_type) {
            (Body::References(slots), map_type::PROG_ARRAY) => {
                Some(slots.get(index as usize).copied().flatten())
            }
            _ => None,
        }
    }

    /// Sets a slot of a prog array or of an array of maps.
    pub(crate) fn set_reference(&mut self, memory: &mut Memory, slot: u32, to: u32) -> Result<()> {
        match &mut self.body {
            Body::References(slots) => {
                *slots.get_mut(slot as usize).ok_or(errno::E2BIG)? = Some(to);
                Ok(())
            }
            Body::Hash(_) => {
                let mut key = vec![0; self.shape.key_size as usize];
                let bytes = slot.to_ne_bytes();
                key.iter_mut().zip(bytes).for_each(|(to, from)| *to = from);
                self.update(memory, &key, &to.to_ne_bytes(), 0, Who::User)
            }
            _ => Err(errno::EINVAL),
        }
    }

    /// Sets the value of a key.
    pub(crate) fn update(
        &mut self,
        memory: &mut Memory,
        key: &[u8],
        value: &[u8],
        flags: u64,
        who: Who,
    ) -> Result<()> {
        let flags = flags & !F_LOCK;
        if flags > EXIST {
            return Err(errno::EINVAL);
        }
        let max = self.shape.max_entries;
        let index = || key.first_chunk().map(|b| u32::from_ne_bytes(*b)).ok_or(errno::EINVAL);
        let (slot, new) = match &mut self.body {
            Body::Array => {
                let index = index()?;
                if index >= max {
                    return Err(errno::E2BIG);
                }
                if flags == NOEXIST {
                    return Err(errno::EEXIST);
                }
                (index, false)
            }
            Body::Slots(set) => {
                let index = index()?;
                let slot = set.get_mut(index as usize).ok_or(errno::E2BIG)?;
                if flags == NOEXIST {
                    return Err(errno::EEXIST);
                }
                *slot = true;
                (index, false)
            }
            Body::Hash(table) => match (table.find(key), flags) {
                (Some(_), NOEXIST) => return Err(errno::EEXIST),
                (None, EXIST) => return Err(errno::ENOENT),
                (Some(slot), _) => {
                    table.touch(slot);
                    (slot, false)
                }
                (None, _) => (table.insert(key, max as usize).ok_or(errno::E2BIG)?, true),
            },
            Body::Trie(table, lens, written) => {
                let (len, known) = prefix(key, lens).ok_or(errno::EINVAL)?;
                let known = known.get(..table_key(lens)).ok_or(errno::EINVAL)?;
                let (slot, new) = match (table.find(known), flags) {
                    (Some(_), NOEXIST) => return Err(errno::EEXIST),
                    (None, EXIST) => return Err(errno::ENOENT),
                    (Some(slot), _) => (slot, false),
                    (None, _) => {
                        let slot = table.insert(known, max as usize).ok_or(errno::ENOSPC)?;
                        lens[len] += 1;
                        (slot, true)
                    }
                };
                let start = slot as usize * key.len();
                if written.len() < start + key.len() {
                    written.resize(start + key.len(), 0);
                }
                if let Some(place) = written.get_mut(start..start + key.len()) {
                    place.copy_from_slice(key);
                }
                (slot, new)
            }
            Body::Queue { .. } if key.is_empty() => return self.push(memory, value, flags),
            Body::Bloom { .. } if key.is_empty() => return self.push(memory, value, flags),
            _ => return Err(errno::EINVAL),
        };
        self.write(memory, slot, value, new, who);
        Ok(())
    }

    /// Puts a value into an entry.
    fn write(&self, memory: &mut Memory, slot: u32, value: &[u8], new: bool, who: Who) {
        let (stride, size) = (self.stride() as usize, self.shape.value_size as usize);
        let needed = self.elements(slot as usize + 1);
        let (copies, first) = (self.copies(), self.element(slot, 0) as usize);
        let Some(region) = memory.region_mut(self.region) else { return };
        if region.bytes.len() < needed {
            // Twice as much, so that a map that fills up does not do it entry by entry.
            let all = (needed * 2).min(self.elements(self.shape.max_entries as usize)).max(needed);
            region.bytes.resize(all, 0);
        }
        for cpu in 0..copies {
            let start = (first + cpu as usize) * stride;
            let Some(place) = region.bytes.get_mut(start..start + size) else { continue };
            let from = match who {
                Who::Program(this) if copies > 1 && this != cpu => {
                    if new {
                        place.fill(0);
                    }
                    continue;
                }
                Who::User if self.is_per_cpu() => value.get(cpu as usize * stride..),
                _ => Some(value),
            };
            if let Some(from) = from.and_then(|from| from.get(..size)) {
                place.copy_from_slice(from);
            }
        }
    }

    /// Removes a key.
    pub(crate) fn delete(&mut self, key: &[u8]) -> Result<()> {
        match &mut self.body {
            Body::Hash(table) => {
                let slot = table.find(key).ok_or(errno::ENOENT)?;
                table.remove(slot);
                Ok(())
            }
            Body::Trie(table, lens, _) => {
                let (len, key) = prefix(key, lens).ok_or(errno::EINVAL)?;
                let key = key.get(..table_key(lens)).ok_or(errno::EINVAL)?;
                let slot = table.find(key).ok_or(errno::ENOENT)?;
                table.remove(slot);
                lens[len] -= 1;
                Ok(())
            }
            Body::Slots(set) => {
                let index = key.first_chunk().map(|b| u32::from_ne_bytes(*b));
                let slot = index.and_then(|i| set.get_mut(i as usize)).ok_or(errno::EINVAL)?;
                *slot = false;
                Ok(())
            }
            Body::References(slots) => {
                let index = key.first_chunk().map(|b| u32::from_ne_bytes(*b));
                let slot = index.and_then(|i| slots.get_mut(i as usize)).ok_or(errno::E2BIG)?;
                slot.take().map(|_| ()).ok_or(errno::ENOENT)
            }
            _ => Err(errno::EINVAL),
        }
    }

    /// `bpf_map_push_elem`.
    pub(crate) fn push(&mut self, memory: &mut Memory, value: &[u8], flags: u64) -> Result<()> {
        let max = self.shape.max_entries;
        match &mut self.body {
            Body::Queue { first, len } => {
                if flags != 0 && flags != EXIST {
                    return Err(errno::EINVAL);
                }
                if *len == max {
                    if flags != EXIST {
                        return Err(errno::E2BIG);
                    }
                    // The oldest makes room.
                    *first = (*first + 1) % max;
                    *len -= 1;
                }
                let slot = ((u64::from(*first) + u64::from(*len)) % u64::from(max)) as u32;
                *len += 1;
                self.write(memory, slot, value, true, Who::User);
                Ok(())
            }
            Body::Bloom { bits, hashes, seed } => {
                if flags != 0 {
                    return Err(errno::EINVAL);
                }
                for n in 0..*hashes {
                    let (word, bit) = bloom_bit(bits.len(), *seed, n, value);
                    bits[word] |= bit;
                }
                Ok(())
            }
            _ => Err(errno::EINVAL),
        }
    }

    /// `bpf_map_pop_elem`, `bpf_map_peek_elem`: reads into `value`, which becomes zero when there
    /// is nothing. A bloom filter answers whether `value` is in it.
    pub(crate) fn take(&mut self, memory: &Memory, value: &mut [u8], keep: bool) -> Result<()> {
        let max = u64::from(self.shape.max_entries);
        let stack = self.shape.map_type == map_type::STACK;
        let stride = self.stride() as usize;
        match &mut self.body {
            Body::Queue { first, len } => {
                if *len == 0 {
                    value.fill(0);
                    return Err(errno::ENOENT);
                }
                let newest = (u64::from(*first) + u64::from(*len) - 1) % max;
                let slot = if stack { newest as usize } else { *first as usize };
                let bytes = memory.region(self.region).and_then(|r| r.bytes.get(slot * stride..));
                if let Some(bytes) = bytes.and_then(|b| b.get(..value.len())) {
                    value.copy_from_slice(bytes);
                }
                if !keep {
                    *len -= 1;
                    if !stack {
                        *first = ((u64::from(*first) + 1) % max) as u32;
                    }
                }
                Ok(())
            }
            Body::Bloom { bits, hashes, seed } if keep => {
                let all = (0..*hashes).all(|n| {
                    let (word, bit) = bloom_bit(bits.len(), *seed, n, value);
                    bits[word] & bit != 0
                });
                if all { Ok(()) } else { Err(errno::ENOENT) }
            }
            _ => Err(errno::EINVAL),
        }
    }

    /// The ring, if it is one.
    pub(crate) fn ring(&mut self) -> Option<&mut Ring> {
        match &mut self.body {
            Body::Ring(ring) => Some(ring),
            _ => None,
        }
    }

    /// Slots to go through for all entries; those that hold none have no [`Map::entry`].
    pub(crate) fn slots(&self) -> u32 {
        match &self.body {
            Body::Array | Body::Slots(_) | Body::References(_) => self.shape.max_entries,
            Body::Hash(table) | Body::Trie(table, ..) => table.slots() as u32,
            _ => 0,
        }
    }

    /// Key of a slot, put into `key`, and address of its value for this CPU.
    pub(crate) fn entry(
        &self,
        memory: &Memory,
        slot: u32,
        cpu: u32,
        key: &mut Vec<u8>,
    ) -> Option<u64> {
        key.clear();
        match &self.body {
            Body::Array => key.extend(slot.to_ne_bytes()),
            Body::Slots(set) if *set.get(slot as usize)? => key.extend(slot.to_ne_bytes()),
            Body::References(slots) => {
                (*slots.get(slot as usize)?)?;
                key.extend(slot.to_ne_bytes());
                return Some(0);
            }
            Body::Hash(table) => key.extend_from_slice(table.key(slot)?),
            Body::Trie(table, _, written) => {
                let len = table.key(slot)?.len();
                let start = slot as usize * len;
                key.extend_from_slice(written.get(start..start + len)?);
            }
            _ => return None,
        }
        Some(self.address(memory, slot, cpu))
    }

    /// The value of a key as user space sees it: of all CPUs, each rounded up to 8 bytes.
    pub(crate) fn value(&mut self, memory: &Memory, key: &[u8]) -> Option<Vec<u8>> {
        if let Body::References(slots) = &self.body {
            let index = key.first_chunk().map(|b| u32::from_ne_bytes(*b))?;
            return slots.get(index as usize).copied().flatten().map(|to| to.to_ne_bytes().into());
        }
        let slot = self.find(key)?;
        let start = self.element(slot, 0) as usize * self.stride() as usize;
        let len = match self.is_per_cpu() {
            true => self.stride() as usize * self.cpus as usize,
            false => self.shape.value_size as usize,
        };
        memory.region(self.region)?.bytes.get(start..start + len).map(<[u8]>::to_vec)
    }

    /// Bytes of what [`Map::value`] gives.
    pub(crate) fn value_len(&self) -> usize {
        match self.is_per_cpu() {
            true => self.stride() as usize * self.cpus as usize,
            false => self.shape.value_size as usize,
        }
    }

    /// The address of the first value, and how many bytes it has: what `ldimm64` of a data
    /// section refers to.
    pub(crate) fn first_value(&self, offset: u32) -> Option<u64> {
        let fits = matches!(self.body, Body::Array) && offset <= self.shape.value_size;
        fits.then(|| address(self.region, offset.into()))
    }
}

fn is_per_cpu(kind: u32) -> bool {
    matches!(kind, map_type::PERCPU_ARRAY | map_type::PERCPU_HASH | map_type::LRU_PERCPU_HASH)
}

/// What the kernel wants of a definition.
fn check(shape: &Shape) -> std::result::Result<(), String> {
    let Shape { map_type: kind, key_size, value_size, max_entries, .. } = *shape;
    let wants = |ok: bool, what: &str| if ok { Ok(()) } else { Err(what.to_owned()) };
    wants(max_entries > 0, "it has no entries")?;
    let indexed = matches!(
        kind,
        map_type::ARRAY
            | map_type::PERCPU_ARRAY
            | map_type::PROG_ARRAY
            | map_type::ARRAY_OF_MAPS
            | map_type::DEVMAP
            | map_type::CPUMAP
            | map_type::XSKMAP
            | map_type::DEVMAP_HASH
            | map_type::PERF_EVENT_ARRAY
    );
    if indexed {
        wants(key_size == 4, "its key must have 4 bytes")?;
    }
    match kind {
        map_type::RINGBUF => {
            let page = max_entries.is_multiple_of(4096) && max_entries.is_power_of_two();
            wants(key_size == 0 && value_size == 0, "a ring buffer has no key and no value")?;
            wants(page, "the size of a ring buffer must be a power of two, and whole pages")
        }
        map_type::QUEUE | map_type::STACK | map_type::BLOOM_FILTER => {
            wants(key_size == 0, "it must have no key")?;
            wants(value_size > 0, "its value has no bytes")
        }
        map_type::PERF_EVENT_ARRAY => wants(value_size == 4, "its value must have 4 bytes"),
        map_type::LPM_TRIE => {
            wants((5..=260).contains(&key_size), "its key must have 5 to 260 bytes")?;
            wants(shape.flags & NO_PREALLOC != 0, "it needs the flag BPF_F_NO_PREALLOC")?;
            wants(value_size > 0, "its value has no bytes")
        }
        map_type::PROG_ARRAY
        | map_type::ARRAY_OF_MAPS
        | map_type::HASH_OF_MAPS
        | map_type::XSKMAP => wants(value_size == 4, "its value must have 4 bytes"),
        map_type::DEVMAP | map_type::DEVMAP_HASH | map_type::CPUMAP => {
            wants(matches!(value_size, 4 | 8), "its value must have 4 or 8 bytes")
        }
        _ => {
            wants(key_size > 0, "its key has no bytes")?;
            wants(value_size > 0, "its value has no bytes")?;
            // Keys are on the stack of programs; values were bounded by KMALLOC_MAX_SIZE.
            wants(key_size <= 512 || indexed, "its key has more than 512 bytes")
        }
    }
}

/// The longest key of a trie.
const MAX_PREFIX_KEY: usize = 260;

/// Bytes of a trie's key.
fn table_key(lens: &[u32]) -> usize {
    4 + (lens.len() - 1) / 8
}

/// Prefix length of a trie's key, and the key with all bits behind it cleared.
fn prefix(key: &[u8], lens: &[u32]) -> Option<(usize, [u8; MAX_PREFIX_KEY])> {
    let len = u32::from_ne_bytes(*key.first_chunk()?) as usize;
    (len < lens.len()).then(|| (len, masked(key, len)))
}

fn masked(key: &[u8], len: usize) -> [u8; MAX_PREFIX_KEY] {
    let mut out = [0; MAX_PREFIX_KEY];
    out[..4].copy_from_slice(&(len as u32).to_ne_bytes());
    for (i, (to, from)) in out.iter_mut().zip(key).enumerate().skip(4) {
        let bits = len.saturating_sub((i - 4) * 8).min(8);
        // Of the byte, the `bits` highest.
        *to = from & !(0xffu16 >> bits) as u8;
    }
    out
}

fn longest(table: &Table, lens: &[u32], key: &[u8]) -> Option<u32> {
    let len = u32::from_ne_bytes(*key.first_chunk()?) as usize;
    if len >= lens.len() {
        return None;
    }
    (0..=len)
        .rev()
        .filter(|&len| lens[len] > 0)
        .find_map(|len| table.find(masked(key, len).get(..table_key(lens))?))
}

/// Word and bit of a value in a bloom filter, for its hash function `n`.
fn bloom_bit(words: usize, seed: u64, n: u32, value: &[u8]) -> (usize, u64) {
    let mut hash = seed ^ u64::from(n).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    for &byte in value {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
        hash ^= hash >> 29;
    }
    ((hash >> 6) as usize % words, 1 << (hash & 63))
}
