//! Places of records: numbers that rise, most of them by little.

/// Numbers that share a first one.
const BLOCK: usize = 16;

/// A list of rising numbers, in two bytes each and four for every sixteenth: a kernel's types are 20,000
/// of them. When one is too far from its block's first, all are kept in four bytes.
#[derive(Clone, Debug, Default)]
pub(crate) struct Rising {
    /// The first number of each block.
    firsts: Vec<u32>,
    /// How far each is from its block's first; none when `far` has all.
    near: Vec<u16>,
    far: Vec<u32>,
}

impl Rising {
    #[inline]
    pub(crate) fn get(&self, at: usize) -> Option<u32> {
        match self.near.get(at) {
            Some(&distance) => {
                self.firsts.get(at / BLOCK).map(|first| first.wrapping_add(distance.into()))
            }
            None => self.far.get(at).copied(),
        }
    }

    /// How many are no greater than this one.
    pub(crate) fn count_to(&self, number: u32) -> usize {
        let (mut from, mut to) = (0, self.near.len().max(self.far.len()));
        while from < to {
            let middle = from.midpoint(to);
            match self.get(middle) {
                Some(one) if one <= number => from = middle + 1,
                _ => to = middle,
            }
        }
        from
    }
}

impl From<Vec<u32>> for Rising {
    fn from(numbers: Vec<u32>) -> Self {
        let mut firsts = Vec::with_capacity(numbers.len().div_ceil(BLOCK));
        let mut near = Vec::with_capacity(numbers.len());
        for block in numbers.chunks(BLOCK) {
            let (Some(&first), Some(&last)) = (block.first(), block.last()) else { continue };
            if last.wrapping_sub(first) > u16::MAX.into() {
                return Self { far: numbers, ..Self::default() };
            }
            firsts.push(first);
            near.extend(block.iter().map(|&number| (number.wrapping_sub(first) & 0xffff) as u16));
        }
        Self { firsts, near, far: Vec::new() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn is_a_list_of_numbers(steps in prop::collection::vec(0..5000u32, 0..100), leap in 0..70_000u32) {
            let mut numbers: Vec<u32> = Vec::new();
            for step in steps.iter().copied().chain([leap]).chain(steps.iter().copied()) {
                numbers.push(numbers.last().map_or(0, |last| last + step));
            }
            let rising = Rising::from(numbers.clone());
            let all: Vec<_> = (0..).map_while(|at| rising.get(at)).collect();
            prop_assert_eq!(&all, &numbers);
            for number in numbers.iter().flat_map(|&n| [n, n + 1]).chain([0, u32::MAX]) {
                prop_assert_eq!(rising.count_to(number), numbers.partition_point(|&n| n <= number));
            }
        }
    }
}
