//! String sections in the making: strings one after the other, a zero behind each, no string twice. What
//! `.BTF` and string tables of ELF files have in common.

use std::hash::{BuildHasher, RandomState};

use crate::intern::{HashIndex, Vacant, hash_bytes};
use crate::text;

/// Strings at offsets. The empty one is there from the start, at 0.
#[derive(Clone, Debug)]
pub struct Strings {
    bytes: Vec<u8>,
    index: HashIndex,
    /// So that nobody can craft names that all fall on one hash.
    seed: u64,
}

impl Default for Strings {
    fn default() -> Self {
        Self::new()
    }
}

impl Strings {
    /// With the empty string alone.
    pub fn new() -> Self {
        Self::with_bytes(vec![0])
    }

    /// With strings that are there already; what is added is not looked for among them.
    pub(crate) fn with_bytes(bytes: Vec<u8>) -> Self {
        Self { bytes, index: HashIndex::default(), seed: RandomState::new().hash_one(0) }
    }

    /// The string's offset; it is added when it is new. A zero byte ends it. `None` when its offset would
    /// be above `most`.
    pub fn add(&mut self, string: &[u8], most: u32) -> Option<u32> {
        self.add_and(string, most, HashIndex::insert)
    }

    /// The same of a string that is asked for no more: if it is new, it will not be found.
    pub fn add_last(&mut self, string: &[u8], most: u32) -> Option<u32> {
        self.add_and(string, most, |_, _, _| {})
    }

    fn add_and(
        &mut self,
        string: &[u8],
        most: u32,
        enter: impl FnOnce(&mut HashIndex, Vacant, u32),
    ) -> Option<u32> {
        let string = match string.contains(&0) {
            false => string,
            true => text::until_zero(string).unwrap_or(string),
        };
        if string.is_empty() {
            return Some(0);
        }
        let vacant = match self.index.find(hash_bytes(self.seed, string), self.is(string)) {
            Ok(offset) => return Some(offset),
            Err(vacant) => vacant,
        };
        let offset = u32::try_from(self.bytes.len()).ok().filter(|&offset| offset <= most)?;
        self.bytes.extend_from_slice(string);
        self.bytes.push(0);
        enter(&mut self.index, vacant, offset);
        Some(offset)
    }

    /// The string's offset, if it was added.
    pub fn find(&self, string: &[u8]) -> Option<u32> {
        match string.is_empty() {
            true => Some(0),
            false => self.index.find(hash_bytes(self.seed, string), self.is(string)).ok(),
        }
    }

    fn is(&self, string: &[u8]) -> impl Fn(u32) -> bool {
        |at| {
            let tail = self.bytes.get(at as usize..).unwrap_or(&[]);
            tail.get(string.len()) == Some(&0) && tail.starts_with(string)
        }
    }

    /// The string at an offset; empty when outside.
    pub fn get(&self, offset: u32) -> &[u8] {
        self.bytes.get(offset as usize..).and_then(text::until_zero).unwrap_or(&[])
    }

    /// All bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// All bytes.
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }
}

/// Strings by number, none twice. The empty one is there from the start and has number 0.
#[derive(Clone, Debug)]
pub struct Numbered {
    bytes: Vec<u8>,
    /// Where each ends, which is where the next begins.
    ends: Vec<u32>,
    index: HashIndex,
    seed: u64,
    /// The number that was given last.
    last: u32,
}

impl Default for Numbered {
    fn default() -> Self {
        let seed = RandomState::new().hash_one(0);
        Self { bytes: Vec::new(), ends: vec![0], index: HashIndex::default(), seed, last: 0 }
    }
}

impl Numbered {
    /// The string's number; it is added when it is new. `None` when there is no room for it: all together
    /// are below 4 GiB.
    pub fn add(&mut self, string: &[u8]) -> Option<u32> {
        if string.is_empty() {
            return Some(0);
        }
        // Strings mostly come in the order in which they came first, or every other one of them.
        let likely = [1, 2].map(|distance| self.last.saturating_add(distance));
        let known = match likely.into_iter().find(|&number| self.get(number) == string) {
            Some(number) => Ok(number),
            None => self.index.find(hash_bytes(self.seed, string), |n| self.get(n) == string),
        };
        let vacant = match known {
            Ok(number) => {
                self.last = number;
                return Some(number);
            }
            Err(vacant) => vacant,
        };
        let number = u32::try_from(self.ends.len()).ok()?;
        let end = u32::try_from(self.bytes.len().checked_add(string.len())?).ok()?;
        self.bytes.extend_from_slice(string);
        self.ends.push(end);
        self.index.insert(vacant, number);
        self.last = number;
        Some(number)
    }

    /// The string's number, if it was added.
    pub fn find(&self, string: &[u8]) -> Option<u32> {
        match string.is_empty() {
            true => Some(0),
            false => {
                let same = |n| self.get(n) == string;
                self.index.find(hash_bytes(self.seed, string), same).ok()
            }
        }
    }

    /// The string with a number; empty when there is none.
    pub fn get(&self, number: u32) -> &[u8] {
        let at = number as usize;
        let start = at.checked_sub(1).and_then(|before| self.ends.get(before));
        let span = start.zip(self.ends.get(at));
        span.and_then(|(&a, &b)| self.bytes.get(a as usize..b as usize)).unwrap_or(&[])
    }

    /// Numbers are below this one.
    pub fn count(&self) -> usize {
        self.ends.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_string_is_there_once_and_found_again() {
        let mut strings = Strings::new();
        let names: Vec<String> = (0..3000).map(|n| format!("name_{n}")).collect();
        let offsets: Vec<_> =
            names.iter().map(|n| strings.add(n.as_bytes(), u32::MAX).unwrap()).collect();
        let len = strings.bytes().len();
        for (name, &offset) in names.iter().zip(&offsets) {
            assert_eq!(strings.add(name.as_bytes(), u32::MAX), Some(offset));
            assert_eq!(strings.find(name.as_bytes()), Some(offset));
            assert_eq!(strings.get(offset), name.as_bytes());
        }
        assert_eq!(strings.bytes().len(), len);
        assert_eq!(strings.find(b"name_"), None);
        assert_eq!(strings.get(u32::MAX), b"");
    }

    #[test]
    fn numbers_go_from_one_on_in_the_order_of_adding() {
        let mut names = Numbered::default();
        for round in 0..2 {
            for n in 1..3000u32 {
                let name = format!("name_{n}");
                assert_eq!(names.find(name.as_bytes()), (round > 0).then_some(n));
                assert_eq!(names.add(name.as_bytes()), Some(n));
                assert_eq!(names.get(n), name.as_bytes());
            }
        }
        assert_eq!((names.count(), names.add(b""), names.get(0)), (3000, Some(0), &b""[..]));
    }

    #[test]
    fn a_zero_ends_a_string_and_the_end_of_the_room_is_told() {
        let mut strings = Strings::new();
        assert_eq!(strings.add(b"one\0two", 10), Some(1));
        assert_eq!(strings.add(b"two", 4), None);
        assert_eq!(strings.add(b"", 4), Some(0));
        assert_eq!(strings.add(b"one", 0), Some(1));
    }
}
