//! Hashing and hash indices for strings and records that lie in one growing vector: the index holds
//! positions only, equality is asked of the caller.

/// Folds a word into a hash: a 128-bit product, its halves joined.
pub(crate) fn fold(hash: u64, word: u64) -> u64 {
    const MULTIPLIER: u64 = 0x9e37_79b9_7f4a_7c15;
    let product = u128::from(hash ^ word ^ 0x2545_f491_4f6c_dd1d) * u128::from(MULTIPLIER | 1);
    #[expect(clippy::cast_possible_truncation, reason = "both halves are wanted")]
    let (low, high) = (product as u64, (product >> 64) as u64);
    (low ^ high).rotate_left(23)
}

/// Hash of a run of words.
pub(crate) fn hash_words(seed: u64, words: &[u32]) -> u64 {
    let (pairs, rest) = words.as_chunks::<2>();
    let hash = pairs.iter().fold(seed ^ words.len() as u64, |hash, &[a, b]| {
        fold(hash, u64::from(a) << 32 | u64::from(b))
    });
    rest.iter().fold(hash, |hash, &word| fold(hash, word.into()))
}

/// Hash of a byte string.
pub(crate) fn hash_bytes(seed: u64, bytes: &[u8]) -> u64 {
    let (words, rest) = bytes.as_chunks::<8>();
    let hash = words
        .iter()
        .fold(seed ^ bytes.len() as u64, |hash, &word| fold(hash, u64::from_le_bytes(word)));
    fold(hash, tail(bytes, rest))
}

/// The rest of a string behind its words, of eight bytes each; of one that has any, its last eight bytes.
#[inline]
fn tail(bytes: &[u8], rest: &[u8]) -> u64 {
    if let Some(&last) = bytes.last_chunk() {
        return u64::from_le_bytes(last);
    }
    let half = |half: Option<&[u8; 4]>| half.map_or(0, |&half| u32::from_le_bytes(half).into());
    match rest {
        [_, _, _, _, ..] => half(rest.first_chunk()) | half(rest.last_chunk()) << 32,
        &[one, ref others @ ..] => {
            let end = |at: usize| u64::from(others.get(at).copied().unwrap_or(0));
            u64::from(one) | end(0) << 8 | end(1) << 16
        }
        [] => 0,
    }
}

/// Positions by hash. An open table: half of a slot is the upper half of the hash, which also says where
/// to look first, the other half the position plus one.
#[derive(Clone, Debug, Default)]
pub(crate) struct HashIndex {
    /// A power of 2 of them, or none; 0 is free.
    slots: Vec<u64>,
    used: usize,
}

/// Slots of the first table.
const FIRST: usize = 64;

impl HashIndex {
    /// The entry with this hash that `same` holds for, or where to enter a new one.
    #[inline]
    #[expect(clippy::cast_possible_truncation, reason = "halves of a slot; a mask cuts anyway")]
    pub(crate) fn find(&self, hash: u64, same: impl Fn(u32) -> bool) -> Result<u32, Vacant> {
        let hash = hash >> 32;
        if self.slots.is_empty() {
            return Err(Vacant(hash));
        }
        let mask = self.slots.len() - 1;
        let mut at = hash as usize & mask;
        loop {
            match self.slots.get(at) {
                Some(&slot) if slot != 0 => {
                    let position = (slot as u32).wrapping_sub(1);
                    if slot >> 32 == hash && same(position) {
                        return Ok(position);
                    }
                }
                _ => return Err(Vacant(hash)),
            }
            at = (at + 1) & mask;
        }
    }

    /// Enters a position below `u32::MAX` where [`HashIndex::find`] found none.
    pub(crate) fn insert(&mut self, vacant: Vacant, position: u32) {
        // Never more than three quarters full: a search always ends.
        if self.used * 4 >= self.slots.len() * 3 {
            let old = std::mem::take(&mut self.slots);
            self.slots = vec![0; (old.len() * 2).max(FIRST)];
            old.into_iter().filter(|&slot| slot != 0).for_each(|slot| self.put(slot));
        }
        self.used += 1;
        self.put(vacant.0 << 32 | u64::from(position.saturating_add(1)));
    }

    fn put(&mut self, slot: u64) {
        let mask = self.slots.len() - 1;
        let mut at = (slot >> 32) as usize & mask;
        while let Some(there) = self.slots.get_mut(at) {
            if *there == 0 {
                *there = slot;
                return;
            }
            at = (at + 1) & mask;
        }
    }
}

/// Where a new entry of a [`HashIndex`] goes: the upper half of its hash.
pub(crate) struct Vacant(u64);
