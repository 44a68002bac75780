//! Checks beyond those of parsing: do the types make sense together, and would the kernel take them?

/// A name that every kernel takes for a type, member, parameter or function (`btf_name_valid_identifier`
/// of kernels before 6.6, which took no dots; 127 bytes, the limit before 6.1).
pub(crate) fn is_identifier(name: &[u8]) -> bool {
    let letter = |c: u8| c.is_ascii_alphabetic() || c == b'_';
    name.first().is_some_and(|&c| letter(c))
        && name.iter().all(|&c| letter(c) || c.is_ascii_digit())
        && name.len() <= 127
}
