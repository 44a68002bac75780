//! Memory as programs see it: regions, and addresses that say which one and where in it.
//!
//! An address is 16 bits of region and 48 bits of offset. No arithmetic on it that stays within
//! 2^47 bytes of a region's start reaches into another region: what goes below the start lands at
//! the far end of the region before, where nothing is. Region 0 is where NULL points.

/// Bits of the offset.
const OFFSET_BITS: u32 = 48;
/// Mask of the offset.
pub(crate) const OFFSET: u64 = (1 << OFFSET_BITS) - 1;

/// Region of the first of the 8 stack frames.
pub(crate) const STACK: u64 = 1;
/// The context. Its fields are computed, see `context`.
pub(crate) const CTX: u64 = 9;
/// The packet with head and tail room; its bounds move.
pub(crate) const PACKET: u64 = 10;
/// What the address of a map is: the offset is its index.
pub(crate) const MAPS: u64 = 11;
/// What the address of a function is: program << 32 | slot.
pub(crate) const FUNCTIONS: u64 = 12;
/// Keys on their way into a callback: one of 512 bytes for each frame.
pub(crate) const KEYS: u64 = 13;
/// Regions from here on belong to maps.
pub(crate) const FIRST_FREE: u64 = 16;
/// So many regions fit into an address.
const MAX_REGIONS: usize = 1 << 16;

/// Bytes of a stack frame (`MAX_BPF_STACK` of `linux/filter.h`).
pub(crate) const FRAME: usize = 512;
/// Frames inside each other (`MAX_CALL_FRAMES` of `linux/bpf_verifier.h`).
pub(crate) const FRAMES: usize = 8;

/// The address of a byte.
pub(crate) fn address(region: u64, offset: u64) -> u64 {
    region << OFFSET_BITS | offset & OFFSET
}

/// The region of an address.
pub(crate) fn region_of(address: u64) -> u64 {
    address >> OFFSET_BITS
}

/// One region: elements of equal size, each readable between two bounds. Between elements there
/// are gaps, so that no access reaches from one into the next.
#[derive(Debug)]
pub(crate) struct Region {
    pub(crate) bytes: Vec<u8>,
    /// An element begins every `1 << shift` addresses …
    shift: u32,
    mask: u64,
    /// … and every `stride` bytes of memory.
    stride: u64,
    /// First byte of an element that may be accessed.
    pub(crate) low: u64,
    /// First byte behind those.
    pub(crate) high: u64,
    pub(crate) readable: bool,
    pub(crate) writable: bool,
}

impl Region {
    /// One element, all of `bytes`.
    pub(crate) fn whole(bytes: Vec<u8>) -> Self {
        Self {
            high: bytes.len() as u64,
            bytes,
            shift: OFFSET_BITS,
            mask: OFFSET,
            stride: 0,
            low: 0,
            readable: true,
            writable: true,
        }
    }

    /// Elements of `size` bytes, in memory every `stride`.
    pub(crate) fn elements(bytes: Vec<u8>, size: u32, stride: u64) -> Self {
        let shift = u64::from(size).max(8).next_power_of_two().trailing_zeros();
        let mask = (1 << shift) - 1;
        Self { shift, mask, stride, high: size.into(), ..Self::whole(bytes) }
    }

    /// Offset of the address of an element.
    pub(crate) fn element(&self, index: u32) -> u64 {
        u64::from(index) << self.shift
    }

    /// Where `len` bytes from this offset are in `bytes`.
    #[inline(always)]
    fn locate(&self, offset: u64, len: u64) -> Option<usize> {
        let within = offset & self.mask;
        if within < self.low || within.saturating_add(len) > self.high {
            return None;
        }
        // Below 2^48 * 2^32 / 2^shift: elements have at least 8 bytes, and wrap-around is caught
        // by the bounds of `bytes`.
        Some((offset >> self.shift).wrapping_mul(self.stride).wrapping_add(within) as usize)
    }
}

/// All regions.
#[derive(Debug)]
pub(crate) struct Memory {
    pub(crate) regions: Vec<Region>,
}

impl Memory {
    pub(crate) fn new() -> Self {
        let mut regions: Vec<Region> = (0..FIRST_FREE).map(|_| Region::whole(Vec::new())).collect();
        for frame in regions.iter_mut().skip(STACK as usize).take(FRAMES) {
            *frame = Region::whole(vec![0; FRAME]);
        }
        if let Some(keys) = regions.get_mut(KEYS as usize) {
            *keys = Region::elements(vec![0; FRAMES * FRAME], FRAME as u32, FRAME as u64);
            keys.writable = false;
        }
        Self { regions }
    }

    /// Adds a region; `None` when there are too many.
    pub(crate) fn add(&mut self, region: Region) -> Option<u64> {
        (self.regions.len() < MAX_REGIONS).then(|| {
            self.regions.push(region);
            self.regions.len() as u64 - 1
        })
    }

    pub(crate) fn region(&self, id: u64) -> Option<&Region> {
        self.regions.get(id as usize)
    }

    pub(crate) fn region_mut(&mut self, id: u64) -> Option<&mut Region> {
        self.regions.get_mut(id as usize)
    }

    /// Reads a number of `N` bytes; `None` when it may not.
    #[inline(always)]
    pub(crate) fn load<const N: usize>(&self, address: u64) -> Option<u64> {
        let region = self.regions.get((address >> OFFSET_BITS) as usize)?;
        let at = region.locate(address & OFFSET, N as u64)?;
        let bytes = region.bytes.get(at..)?.first_chunk::<N>()?;
        if !region.readable {
            return None;
        }
        Some(number(bytes))
    }

    /// Writes the low `N` bytes of a number; `None` when it may not.
    #[inline(always)]
    pub(crate) fn store<const N: usize>(&mut self, address: u64, value: u64) -> Option<()> {
        let region = self.regions.get_mut((address >> OFFSET_BITS) as usize)?;
        let at = region.locate(address & OFFSET, N as u64)?;
        if !region.writable {
            return None;
        }
        let bytes = region.bytes.get_mut(at..)?.first_chunk_mut::<N>()?;
        bytes.copy_from_slice(low_bytes::<N>(&value.to_ne_bytes()));
        Some(())
    }

    /// Reads `len` bytes; `None` when it may not.
    pub(crate) fn bytes(&self, address: u64, len: u64) -> Option<&[u8]> {
        if len == 0 {
            return Some(&[]);
        }
        let region = self.region(region_of(address)).filter(|r| r.readable)?;
        let at = region.locate(address & OFFSET, len)?;
        region.bytes.get(at..at.checked_add(usize::try_from(len).ok()?)?)
    }

    /// For writing `len` bytes; `None` when it may not.
    pub(crate) fn bytes_mut(&mut self, address: u64, len: u64) -> Option<&mut [u8]> {
        if len == 0 {
            return Some(&mut []);
        }
        let region = self.region_mut(region_of(address)).filter(|r| r.writable)?;
        let at = region.locate(address & OFFSET, len)?;
        region.bytes.get_mut(at..at.checked_add(usize::try_from(len).ok()?)?)
    }

    /// The address in words, for a fault.
    pub(crate) fn describe(&self, address: u64) -> String {
        let (region, offset) = (region_of(address), address & OFFSET);
        // What lies just below a region has the number of the one before.
        let (region, offset) = match offset >> 47 {
            0 => (region, offset.cast_signed()),
            _ => (region.wrapping_add(1), offset.cast_signed() - (1 << OFFSET_BITS)),
        };
        let Some(at) = self.region(region).filter(|_| region != 0) else {
            return format!("{address:#x}, which points nowhere");
        };
        let len = at.high.saturating_sub(at.low);
        match region {
            STACK..CTX => {
                let from_end = offset - FRAME as i64;
                format!("r10{from_end:+} of frame {}, outside its {FRAME} bytes", region - STACK)
            }
            CTX => format!("byte {offset} of the context"),
            PACKET => {
                let offset = offset - at.low.cast_signed();
                format!("byte {offset} of the packet, of {len}")
            }
            MAPS => "a map, which is not memory".into(),
            FUNCTIONS => "a function, which is not memory".into(),
            _ if region < FIRST_FREE => format!("{address:#x}, which points nowhere"),
            _ => {
                let within = match offset >= 0 {
                    true => (offset.cast_unsigned() & at.mask).cast_signed(),
                    false => offset,
                };
                let only = match (at.readable, at.writable) {
                    (true, false) => " (read only)",
                    (false, true) => " (write only)",
                    _ => "",
                };
                format!("byte {within} of a map value of {len}{only}")
            }
        }
    }
}

#[inline(always)]
fn number<const N: usize>(bytes: &[u8; N]) -> u64 {
    let mut all = [0; 8];
    let start = if cfg!(target_endian = "big") { 8 - N } else { 0 };
    all[start..start + N].copy_from_slice(bytes);
    u64::from_ne_bytes(all)
}

#[inline(always)]
fn low_bytes<const N: usize>(all: &[u8; 8]) -> &[u8] {
    let start = if cfg!(target_endian = "big") { 8 - N } else { 0 };
    &all[start..start + N]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accesses_stay_in_their_element() {
        let mut memory = Memory::new();
        let region = memory.add(Region::elements(vec![0; 48], 12, 16)).unwrap();
        let second = address(region, memory.region(region).unwrap().element(1));
        assert_eq!(memory.store::<4>(second + 8, 0x1_2345_6789), Some(()));
        assert_eq!(memory.load::<4>(second + 8), Some(0x2345_6789));
        assert_eq!(memory.regions[region as usize].bytes[24..28], 0x2345_6789u32.to_ne_bytes());
        assert_eq!(memory.load::<8>(second + 4), Some(0x2345_6789 << 32));
        for outside in [second + 9, second + 12, second - 1, second - 16 + 12] {
            assert_eq!(memory.load::<4>(outside), None, "{outside:#x}");
            assert_eq!(memory.store::<4>(outside, 1), None, "{outside:#x}");
        }
        let beyond = address(region, memory.region(region).unwrap().element(3));
        assert_eq!(memory.load::<1>(beyond), None);
        assert_eq!(memory.load::<1>(0), None);
        assert_eq!(memory.load::<1>(u64::MAX), None);
    }

    #[test]
    fn frames_have_ends() {
        let mut memory = Memory::new();
        for frame in 0..FRAMES as u64 {
            let top = address(STACK + frame, FRAME as u64);
            assert_eq!(memory.store::<8>(top - 8, frame), Some(()));
            assert_eq!(memory.load::<8>(top - 512), Some(0));
            assert_eq!(memory.load::<8>(top - 4), None);
            assert_eq!(memory.load::<1>(top), None);
            assert_eq!(memory.load::<8>(top - 520), None);
        }
        let text = memory.describe(address(STACK, 512) - 520);
        assert_eq!(text, "r10-520 of frame 0, outside its 512 bytes");
    }

    #[test]
    fn permissions_hold() {
        let mut memory = Memory::new();
        let region = Region { writable: false, ..Region::whole(vec![7; 8]) };
        let region = memory.add(region).unwrap();
        assert_eq!(memory.load::<1>(address(region, 0)), Some(7));
        assert_eq!(memory.store::<1>(address(region, 0), 1), None);
        assert!(memory.bytes(address(region, 0), 8).is_some());
        assert!(memory.bytes(address(region, 0), 9).is_none());
        assert!(memory.bytes(address(region, 1), u64::MAX).is_none());
        assert!(memory.bytes_mut(address(region, 0), 1).is_none());
        assert!(memory.bytes(0, 0).is_some());
    }
}
