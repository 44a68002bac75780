//! Keys → slots: what hash maps, LRU maps and tries look things up by. Values are elsewhere, in the
//! region of the map, under the slot's number.

/// No slot.
const NONE: u32 = u32::MAX;

/// A hash table with open addressing. Slots stay where they are as long as their key does.
#[derive(Debug)]
pub(crate) struct Table {
    key_size: usize,
    /// Slot by slot.
    keys: Vec<u8>,
    hashes: Vec<u64>,
    used: Vec<bool>,
    /// Slots that were used and are not any more.
    free: Vec<u32>,
    len: usize,
    /// Slots by hash, a power of two of them, at most half full.
    index: Vec<u32>,
    /// Differs from load to load, so that nobody can make keys that collide.
    seed: u64,
    order: Option<Order>,
}

/// Slots by last use, most recent first: a list in two arrays.
#[derive(Debug)]
struct Order {
    next: Vec<u32>,
    previous: Vec<u32>,
    first: u32,
    last: u32,
}

impl Table {
    pub(crate) fn new(key_size: usize, lru: bool, seed: u64) -> Self {
        let order = Order { next: vec![], previous: vec![], first: NONE, last: NONE };
        Self {
            key_size,
            keys: Vec::new(),
            hashes: Vec::new(),
            used: Vec::new(),
            free: Vec::new(),
            len: 0,
            index: vec![NONE; 16],
            seed: seed | 1,
            order: lru.then_some(order),
        }
    }

    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Slots that there are, used or not.
    pub(crate) fn slots(&self) -> usize {
        self.used.len()
    }

    /// The key of a slot in use.
    pub(crate) fn key(&self, slot: u32) -> Option<&[u8]> {
        let at = slot as usize;
        self.used.get(at).filter(|&&used| used)?;
        self.keys.get(at * self.key_size..(at + 1) * self.key_size)
    }

    #[inline]
    fn hash(&self, key: &[u8]) -> u64 {
        let mix = |state: u64, word: u64| {
            let wide = u128::from(state ^ word) * 0x9e37_79b9_7f4a_7c15;
            (wide as u64) ^ (wide >> 64) as u64
        };
        let (words, rest) = key.as_chunks::<8>();
        let mut state = self.seed;
        for word in words {
            state = mix(state, u64::from_ne_bytes(*word));
        }
        if !rest.is_empty() {
            let mut last = [0; 8];
            for (to, from) in last.iter_mut().zip(rest) {
                *to = *from;
            }
            state = mix(state, u64::from_ne_bytes(last));
        }
        state
    }

    /// Where in the index a key is, or would be.
    #[inline]
    fn place(&self, hash: u64, key: &[u8]) -> (usize, Option<u32>) {
        let mask = self.index.len() - 1;
        let mut at = hash as usize & mask;
        loop {
            let slot = self.index[at & mask];
            if slot == NONE {
                return (at, None);
            }
            let s = slot as usize;
            if self.hashes.get(s) == Some(&hash)
                && self.keys.get(s * self.key_size..(s + 1) * self.key_size) == Some(key)
            {
                return (at, Some(slot));
            }
            at = (at + 1) & mask;
        }
    }

    /// The slot of a key.
    #[inline]
    pub(crate) fn find(&self, key: &[u8]) -> Option<u32> {
        self.place(self.hash(key), key).1
    }

    /// The slot was used: it will be the last one to go.
    pub(crate) fn touch(&mut self, slot: u32) {
        if let Some(order) = &mut self.order
            && order.first != slot
        {
            order.unlink(slot);
            order.push(slot);
        }
    }

    /// A slot for a key that is not there yet. `None` when all `max` are taken and none may go.
    pub(crate) fn insert(&mut self, key: &[u8], max: usize) -> Option<u32> {
        if self.len >= max {
            let oldest =
                self.order.as_ref().map(|order| order.last).filter(|&slot| slot != NONE)?;
            self.remove(oldest);
        }
        if (self.len + 1) * 2 > self.index.len() {
            self.grow();
        }
        let hash = self.hash(key);
        let slot = match self.free.pop() {
            Some(slot) => slot,
            None => {
                let slot = u32::try_from(self.used.len()).ok()?;
                self.keys.resize(self.keys.len() + self.key_size, 0);
                self.hashes.push(0);
                self.used.push(false);
                slot
            }
        };
        let at = slot as usize;
        if let Some(place) = self.keys.get_mut(at * self.key_size..(at + 1) * self.key_size) {
            place.copy_from_slice(key);
        }
        self.hashes[at] = hash;
        self.used[at] = true;
        self.len += 1;
        let (place, _) = self.place(hash, key);
        // The place that was found is one of the key itself only if the key was there.
        self.index[place] = slot;
        if let Some(order) = &mut self.order {
            order.push(slot);
        }
        Some(slot)
    }

    /// Frees a slot in use.
    pub(crate) fn remove(&mut self, slot: u32) {
        let at = slot as usize;
        if self.used.get(at) != Some(&true) {
            return;
        }
        let mask = self.index.len() - 1;
        let mut hole = self.hashes[at] as usize & mask;
        while self.index[hole] != slot {
            if self.index[hole] == NONE {
                return;
            }
            hole = (hole + 1) & mask;
        }
        // What stands behind and would not be found any more moves up.
        let mut next = (hole + 1) & mask;
        while self.index[next] != NONE {
            let home = self.hashes[self.index[next] as usize] as usize & mask;
            if next.wrapping_sub(home) & mask >= next.wrapping_sub(hole) & mask {
                self.index[hole] = self.index[next];
                hole = next;
            }
            next = (next + 1) & mask;
        }
        self.index[hole] = NONE;
        self.used[at] = false;
        self.free.push(slot);
        self.len -= 1;
        if let Some(order) = &mut self.order {
            order.unlink(slot);
        }
    }

    fn grow(&mut self) {
        let len = self.index.len() * 2;
        self.index = vec![NONE; len];
        for (slot, (&hash, &used)) in self.hashes.iter().zip(&self.used).enumerate() {
            if used {
                let mut at = hash as usize & (len - 1);
                while self.index[at] != NONE {
                    at = (at + 1) & (len - 1);
                }
                self.index[at] = slot as u32;
            }
        }
    }
}

impl Order {
    fn push(&mut self, slot: u32) {
        let at = slot as usize;
        if self.next.len() <= at {
            self.next.resize(at + 1, NONE);
            self.previous.resize(at + 1, NONE);
        }
        self.next[at] = self.first;
        self.previous[at] = NONE;
        match self.first {
            NONE => self.last = slot,
            first => self.previous[first as usize] = slot,
        }
        self.first = slot;
    }

    fn unlink(&mut self, slot: u32) {
        let (previous, next) = (self.previous[slot as usize], self.next[slot as usize]);
        match previous {
            NONE => self.first = next,
            previous => self.next[previous as usize] = next,
        }
        match next {
            NONE => self.last = previous,
            next => self.previous[next as usize] = previous,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn agrees_with_a_map_of_the_standard_library(
            steps in prop::collection::vec((0..3u8, 0..40u32), 0..400),
            seed: u64,
        ) {
            let mut table = Table::new(4, false, seed);
            let mut model: HashMap<u32, u32> = HashMap::new();
            for (what, key) in steps {
                let bytes = key.to_ne_bytes();
                prop_assert_eq!(table.find(&bytes), model.get(&key).copied());
                match what {
                    0 if !model.contains_key(&key) => {
                        let slot = table.insert(&bytes, 30);
                        prop_assert_eq!(slot.is_some(), model.len() < 30);
                        if let Some(slot) = slot {
                            prop_assert!(!model.values().any(|&s| s == slot));
                            model.insert(key, slot);
                        }
                    }
                    1 => if let Some(slot) = model.remove(&key) {
                        table.remove(slot);
                    },
                    _ => {}
                }
                prop_assert_eq!(table.len(), model.len());
            }
            for (key, slot) in model {
                prop_assert_eq!(table.find(&key.to_ne_bytes()), Some(slot));
                prop_assert_eq!(table.key(slot), Some(&key.to_ne_bytes()[..]));
            }
        }
    }

    #[test]
    fn the_least_recently_used_goes() {
        let mut table = Table::new(4, true, 7);
        let key = |n: u32| n.to_ne_bytes();
        for n in 0..3 {
            table.insert(&key(n), 3).unwrap();
        }
        table.touch(table.find(&key(0)).unwrap());
        table.insert(&key(3), 3).unwrap();
        assert!(table.find(&key(1)).is_none() && table.find(&key(0)).is_some());
        table.insert(&key(4), 3).unwrap();
        assert!(table.find(&key(2)).is_none());
        table.remove(table.find(&key(4)).unwrap());
        table.insert(&key(5), 3).unwrap();
        assert!(table.find(&key(0)).is_some() && table.find(&key(3)).is_some());
    }
}
