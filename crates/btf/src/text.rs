//! Strings in string sections, eight bytes at a time: where they end, how they hash.

const ONES: u64 = 0x0101_0101_0101_0101;
const UNDERSCORES: u64 = 0x5f5f_5f5f_5f5f_5f5f;
const TOPS: u64 = 0x8080_8080_8080_8080;

/// The top bit of each byte that is zero, exact up to the first such byte; bits above may be wrong.
#[inline]
fn zeroes(word: u64) -> u64 {
    word.wrapping_sub(ONES) & !word & TOPS
}

/// The bytes in front of the first zero; `None` when there is none. For short strings faster than
/// searching byte by byte, or by a library's call.
#[inline]
pub fn until_zero(bytes: &[u8]) -> Option<&[u8]> {
    let (words, rest) = bytes.as_chunks::<8>();
    for (at, &word) in words.iter().enumerate() {
        let found = zeroes(u64::from_le_bytes(word));
        if found != 0 {
            return bytes.get(..at * 8 + (found.trailing_zeros() / 8) as usize);
        }
    }
    let end = rest.iter().position(|&b| b == 0)?;
    bytes.get(..bytes.len() - rest.len() + end)
}

/// Is any of these strings, each ended by a zero, longer than `most`?
pub(crate) fn any_longer(strings: &[u8], most: usize) -> bool {
    let mut rest = strings;
    // Of any `most + 1` bytes that follow a zero, one must be zero again.
    while rest.len() > most {
        let Some(window) = rest.get(..=most) else { return false };
        let Some(last) = window.iter().rposition(|&b| b == 0) else { return true };
        rest = rest.get(last + 1..).unwrap_or(&[]);
    }
    false
}

/// A name up to its flavour: `task_struct` of `task_struct___v6`. A flavour begins at the last three
/// underscores that stand alone, between two other characters.
pub fn essential_name(name: &[u8]) -> &[u8] {
    let flavour = |w: &[u8]| matches!(w, [before, b'_', b'_', b'_', after] if *before != b'_' && *after != b'_');
    match name.windows(5).rposition(flavour) {
        Some(at) => name.get(..=at).unwrap_or(name),
        None => name,
    }
}

/// Sixteen bits that names with the same essential part have in common: made of their first eight bytes
/// up to where two underscores follow one another, as they do in front of a flavour. `tail` begins with
/// the name, which a zero or its end ends.
#[inline]
pub(crate) fn mark(tail: &[u8]) -> u16 {
    let word = first_bytes(tail);
    let underscores = zeroes(word ^ UNDERSCORES);
    // Behind the last byte another one may follow.
    let pairs = underscores & (underscores >> 8 | 1 << 63);
    let end = zeroes(word) | pairs;
    // The bytes in front of the first end.
    spread(word & ((end & end.wrapping_neg()) >> 7).wrapping_sub(1))
}

/// The first eight bytes, the first of them lowest; zeros behind the end.
#[inline]
pub(crate) fn first_bytes(tail: &[u8]) -> u64 {
    u64::from_le_bytes(tail.first_chunk().copied().unwrap_or_else(|| short(tail)))
}

/// Sixteen bits made of all.
#[inline]
pub(crate) fn spread(word: u64) -> u16 {
    const ODD: u64 = 0x9e37_79b9_7f4a_7c15;
    (word.wrapping_mul(ODD) >> 48) as u16
}

/// What the section ends in: seldom asked for.
#[cold]
fn short(tail: &[u8]) -> [u8; 8] {
    let mut short = [0; 8];
    for (to, from) in short.iter_mut().zip(tail) {
        *to = *from;
    }
    short
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_end_at_the_first_zero() {
        for len in 0..40 {
            let mut bytes = vec![b'x'; len];
            assert_eq!(until_zero(&bytes), None);
            bytes.extend([0, 1, 0, b'x', 0]);
            assert_eq!(until_zero(&bytes), Some(&[b'x'].repeat(len)[..]));
        }
    }

    #[test]
    fn long_strings_are_found_wherever_they_are() {
        let strings = |len: usize| [b"\0abc\0", &*vec![b'x'; len], b"\0abc\0"].concat();
        for len in 90..110 {
            assert_eq!(any_longer(&strings(len), 100), len > 100, "{len}");
        }
    }

    #[test]
    fn flavours_do_not_count() {
        assert_eq!(essential_name(b"task_struct___v6"), b"task_struct");
        assert_eq!(essential_name(b"___a"), b"___a");
        assert_eq!(essential_name(b"a____b"), b"a____b");
        let names: [&[u8]; 10] = [
            b"",
            b"a",
            b"__u32",
            b"task_struct",
            b"sk_buff",
            b"eight_by",
            b"a____b",
            b"x__y__z_",
            b"seven_____",
            b"sixteen_bytes_ok",
        ];
        for name in names {
            let plain = mark(&[name, b"\0"].concat());
            for behind in [&b"\0other"[..], b"\0", b"\0more than eight bytes\0", b""] {
                assert_eq!(mark(&[name, behind].concat()), plain, "{name:?} {behind:?}");
            }
            if !name.is_empty() && !name.ends_with(b"_") {
                let flavoured = [name, b"___v6\0more than eight bytes"].concat();
                assert_eq!(mark(&flavoured), plain, "{name:?}");
            }
        }
        assert_ne!(mark(b"sk_buff\0"), mark(b"sk_bufg\0"));
    }

    proptest::proptest! {
        #[test]
        fn a_mark_is_one_of_the_essential_name(name in "[a-c_^]{0,12}") {
            let essential = essential_name(name.as_bytes());
            proptest::prop_assert_eq!(mark(name.as_bytes()), mark(essential));
            let behind = [essential, b"\0___"].concat();
            proptest::prop_assert_eq!(mark(&behind), mark(essential));
        }
    }
}
