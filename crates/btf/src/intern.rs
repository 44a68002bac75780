//! Hashing and hash indices for strings and records that lie in one growing vector: the index holds
//! positions only, equality is asked of the caller.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

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
    let mut last = [0; 8];
    for (to, from) in last.iter_mut().zip(rest) {
        *to = *from;
    }
    fold(hash, u64::from_le_bytes(last))
}

/// Positions by hash. Two entries of one hash are kept at different keys, a fixed step apart.
#[derive(Clone, Debug, Default)]
pub(crate) struct HashIndex {
    at: HashMap<u64, u32, BuildHasherDefault<Identity>>,
}

/// Distance of the keys tried one after the other.
const STEP: u64 = 0x9e37_79b9_7f4a_7c15;

impl HashIndex {
    /// The entry with this hash that `same` holds for, or the key to enter a new one at.
    pub(crate) fn find(&self, hash: u64, same: impl Fn(u32) -> bool) -> Result<u32, Vacant> {
        let mut key = hash;
        while let Some(&position) = self.at.get(&key) {
            if same(position) {
                return Ok(position);
            }
            key = key.wrapping_add(STEP);
        }
        Err(Vacant(key))
    }

    /// Enters a position where [`HashIndex::find`] found none.
    pub(crate) fn insert(&mut self, vacant: Vacant, position: u32) {
        self.at.insert(vacant.0, position);
    }
}

/// Where a new entry of a [`HashIndex`] goes.
pub(crate) struct Vacant(u64);

/// The keys are hashes already.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Identity(u64);

impl Hasher for Identity {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        self.0 = hash_bytes(self.0, bytes);
    }

    fn write_u64(&mut self, value: u64) {
        self.0 = value;
    }
}
