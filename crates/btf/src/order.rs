//! Sorting. The standard library's makes some 5 KiB of code for each type that is sorted, most of it for
//! large numbers of elements; here it is there once, for places, and comparing is a call.

use std::cmp::Ordering;

/// Sorts.
pub fn sort<T: Ord>(items: &mut [T]) {
    sort_by(items, T::cmp);
}

/// Sorts by a key; what is equal stays in order.
pub fn sort_by_key<T, K: Ord>(items: &mut [T], key: impl Fn(&T) -> K) {
    sort_by(items, |a, b| key(a).cmp(&key(b)));
}

/// Sorts; what is equal stays in order.
pub fn sort_by<T>(items: &mut [T], compare: impl Fn(&T, &T) -> Ordering) {
    // What comes from a compiler often is.
    if items.is_sorted_by(|a, b| compare(a, b).is_le()) {
        return;
    }
    let at = |place: usize| items.get(place);
    let swaps = swaps(items.len(), &|a, b| match (at(a), at(b)) {
        (Some(a), Some(b)) => compare(a, b),
        _ => Ordering::Equal,
    });
    for (a, b) in swaps {
        items.swap(a, b);
    }
}

/// What to swap, one pair after the other, so that as many elements are in order, of which two can be
/// compared by their places.
#[inline(never)]
fn swaps(count: usize, compare: &dyn Fn(usize, usize) -> Ordering) -> Vec<(usize, usize)> {
    let mut sorted: Vec<usize> = (0..count).collect();
    sorted.sort_by(|&a, &b| compare(a, b));
    // Where the element at each place has to go.
    let mut goal = vec![0; count];
    for (to, &from) in sorted.iter().enumerate() {
        if let Some(goal) = goal.get_mut(from) {
            *goal = to;
        }
    }
    let mut swaps = Vec::new();
    for place in 0..count {
        // Each swap brings one element to its goal.
        while let Some(&to) = goal.get(place).filter(|&&to| to != place) {
            goal.swap(place, to);
            swaps.push((place, to));
        }
    }
    swaps
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn is_what_the_standard_library_makes_of_it(given: Vec<(u8, u32)>) {
            let (mut ours, mut theirs) = (given.clone(), given);
            sort_by_key(&mut ours, |&(key, _)| key);
            theirs.sort_by_key(|&(key, _)| key);
            prop_assert_eq!(ours, theirs);
        }
    }
}
