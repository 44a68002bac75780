//! Bytes of maps as what their BTF types say they are: members with names, enumerators by name.

use std::fmt::{self, Write as _};

use bpfweld::btf::{Btf, Kind, Type, TypeId};
use serde::ser::{Serialize, SerializeMap, SerializeSeq, Serializer};

/// Values in one value: what types out of a file can make of few bytes is bounded by this.
const MAX_VALUES: usize = 1 << 16;
/// Structs inside each other.
const MAX_DEPTH: usize = 32;
/// Elements of an array that are printed in words.
const SHOWN_ELEMENTS: usize = 64;

/// A value.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Shown {
    Bool(bool),
    Unsigned(u64),
    Signed(i64),
    Float(f64),
    /// Characters, or bytes in hexadecimal.
    Text(String),
    /// The name of an enumerator.
    Name(String),
    List(Vec<Shown>),
    Struct(Vec<(String, Shown)>),
}

impl Shown {
    /// A value of a type. Without one, the bytes; a number where they could be one.
    pub(crate) fn new(btf: &Btf, ty: Option<TypeId>, bytes: &[u8]) -> Self {
        match ty {
            Some(id) => Reader { btf, left: MAX_VALUES }.value(btf.resolve(id), bytes, 0),
            None => match bytes.len() {
                4 | 8 => Self::Unsigned(unsigned(bytes)),
                _ => Self::Text(hex(bytes)),
            },
        }
    }

    /// The variables of a data section.
    pub(crate) fn section(btf: &Btf, datasec: Option<TypeId>, bytes: &[u8]) -> Self {
        let Some(id) = datasec else { return Self::Text(hex(bytes)) };
        let mut reader = Reader { btf, left: MAX_VALUES };
        let variables = btf.ty(id).section_vars().map(|var| {
            let ty = btf.ty(var.type_id);
            let (from, len) = (var.offset as usize, var.size as usize);
            let bytes = bytes.get(from..).unwrap_or_default();
            let bytes = bytes.get(..len).unwrap_or(bytes);
            (ty.name().to_owned(), reader.value(btf.resolve(ty.type_id()), bytes, 0))
        });
        Self::Struct(variables.collect())
    }
}

struct Reader<'a> {
    btf: &'a Btf,
    /// Values that may still be made.
    left: usize,
}

impl Reader<'_> {
    fn value(&mut self, ty: Type<'_>, bytes: &[u8], depth: usize) -> Shown {
        self.left = self.left.saturating_sub(1);
        let size = ty.byte_size().and_then(|s| usize::try_from(s).ok()).unwrap_or(bytes.len());
        let bytes = bytes.get(..size).unwrap_or(bytes);
        if depth > MAX_DEPTH || self.left == 0 {
            return Shown::Text(hex(bytes));
        }
        match ty.kind() {
            Kind::Int if bytes.len() <= 8 => integer(ty, unsigned(bytes), bytes.len() * 8),
            Kind::Enum | Kind::Enum64 => enumerator(ty, unsigned(bytes), bytes.len() * 8),
            Kind::Float if bytes.len() == 8 => Shown::Float(f64::from_bits(unsigned(bytes))),
            Kind::Float if bytes.len() == 4 => {
                Shown::Float(f32::from_bits(unsigned(bytes) as u32).into())
            }
            Kind::Ptr => Shown::Text(format!("{:#x}", unsigned(bytes))),
            Kind::Array => self.array(ty, bytes, depth),
            Kind::Struct | Kind::Union => self.members(ty, bytes, depth),
            _ => Shown::Text(hex(bytes)),
        }
    }

    fn array(&mut self, ty: Type<'_>, bytes: &[u8], depth: usize) -> Shown {
        let element = self.btf.resolve(ty.type_id());
        let size = element.byte_size().and_then(|s| usize::try_from(s).ok()).unwrap_or(0);
        if size == 0 {
            return Shown::List(Vec::new());
        }
        if element.kind() == Kind::Int && size == 1 {
            return match element.name() {
                "char" => text(bytes).map_or_else(|| Shown::Text(hex(bytes)), Shown::Text),
                "_Bool" | "bool" => {
                    Shown::List(bytes.iter().map(|b| Shown::Bool(*b != 0)).collect())
                }
                _ => Shown::Text(hex(bytes)),
            };
        }
        let elements = bytes.chunks_exact(size).take(ty.array_len() as usize);
        let mut list = Vec::new();
        for bytes in elements {
            if self.left == 0 {
                break;
            }
            list.push(self.value(element, bytes, depth + 1));
        }
        Shown::List(list)
    }

    fn members(&mut self, ty: Type<'_>, bytes: &[u8], depth: usize) -> Shown {
        let mut members = Vec::new();
        for member in ty.members() {
            if self.left == 0 {
                break;
            }
            let of = self.btf.resolve(member.type_id);
            let encoding = of.int_encoding();
            // A bitfield says so itself, or (before kflag) its integer does.
            let (bits, at) = match member.bitfield_size {
                0 if of.kind() == Kind::Int
                    && u64::from(encoding.bits) < of.byte_size().unwrap_or(0) * 8 =>
                {
                    (
                        u32::from(encoding.bits),
                        u64::from(member.bit_offset) + u64::from(encoding.bit_offset),
                    )
                }
                bits => (bits, u64::from(member.bit_offset)),
            };
            let from = usize::try_from(at / 8).unwrap_or(usize::MAX);
            let rest = bytes.get(from..).unwrap_or_default();
            let value = if bits == 0 && at.is_multiple_of(8) {
                self.value(of, rest, depth + 1)
            } else {
                self.left = self.left.saturating_sub(1);
                let bits = bits.clamp(1, 64);
                // At most 71 bits from the byte where it begins.
                let word = rest.iter().take(9).rev().fold(0u128, |w, b| w << 8 | u128::from(*b));
                let value = (word >> (at % 8)) as u64 & u64::MAX >> (64 - bits);
                match of.kind() {
                    Kind::Enum | Kind::Enum64 => enumerator(of, value, bits as usize),
                    _ => integer(of, value, bits as usize),
                }
            };
            match (member.name, value) {
                // As in C, members of an anonymous struct are the struct's own.
                ("", Shown::Struct(inner)) => members.extend(inner),
                (name, value) => members.push((name.to_owned(), value)),
            }
        }
        Shown::Struct(members)
    }
}

fn integer(ty: Type<'_>, value: u64, bits: usize) -> Shown {
    let encoding = ty.int_encoding();
    if encoding.is_bool && value <= 1 {
        return Shown::Bool(value == 1);
    }
    match encoding.signed {
        true => Shown::Signed(extended(value, bits)),
        false => Shown::Unsigned(value),
    }
}

fn enumerator(ty: Type<'_>, value: u64, bits: usize) -> Shown {
    // Enumerators are kept sign-extended, of signed and of unsigned ones of 32 bits.
    let same = |known: u64| known == value || known == extended(value, bits).cast_unsigned();
    match ty.enumerators().find(|e| same(e.value)) {
        Some(found) => Shown::Name(found.name.to_owned()),
        None => Shown::Unsigned(value),
    }
}

fn extended(value: u64, bits: usize) -> i64 {
    let unused = 64 - bits.clamp(1, 64) as u32;
    (value << unused).cast_signed() >> unused
}

/// Up to 8 bytes, in the order of this machine.
fn unsigned(bytes: &[u8]) -> u64 {
    let add = |word: u64, byte: &u8| word << 8 | u64::from(*byte);
    if cfg!(target_endian = "little") {
        bytes.iter().take(8).rev().fold(0, add)
    } else {
        bytes.iter().take(8).fold(0, add)
    }
}

/// Characters up to a zero byte, if nothing but zeros follows and all can be printed.
fn text(bytes: &[u8]) -> Option<String> {
    let end = bytes.iter().position(|b| *b == 0).unwrap_or(bytes.len());
    let (text, rest) = bytes.split_at_checked(end)?;
    let plain = text.iter().all(|b| (b' '..=b'~').contains(b)) && rest.iter().all(|b| *b == 0);
    plain.then(|| String::from_utf8_lossy(text).into_owned())
}

/// Bytes in hexadecimal.
pub(crate) fn hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        // Writing into a string cannot fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}

impl Serialize for Shown {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Bool(value) => serializer.serialize_bool(*value),
            Self::Unsigned(value) => serializer.serialize_u64(*value),
            Self::Signed(value) => serializer.serialize_i64(*value),
            Self::Float(value) => serializer.serialize_f64(*value),
            Self::Text(text) | Self::Name(text) => serializer.serialize_str(text),
            Self::List(list) => {
                let mut seq = serializer.serialize_seq(Some(list.len()))?;
                list.iter().try_for_each(|value| seq.serialize_element(value))?;
                seq.end()
            }
            Self::Struct(members) => {
                let mut map = serializer.serialize_map(Some(members.len()))?;
                members.iter().try_for_each(|(name, value)| map.serialize_entry(name, value))?;
                map.end()
            }
        }
    }
}

impl fmt::Display for Shown {
    /// On one line; long arrays are cut.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bool(value) => write!(f, "{value}"),
            Self::Unsigned(value) => write!(f, "{value}"),
            Self::Signed(value) => write!(f, "{value}"),
            Self::Float(value) => write!(f, "{value}"),
            Self::Text(text) => write!(f, "{text:?}"),
            Self::Name(name) => f.write_str(name),
            Self::List(list) => {
                f.write_char('[')?;
                for (i, value) in list.iter().take(SHOWN_ELEMENTS).enumerate() {
                    if i > 0 {
                        f.write_str(", ")?;
                    }
                    write!(f, "{value}")?;
                }
                if list.len() > SHOWN_ELEMENTS {
                    write!(f, ", … {} more", list.len() - SHOWN_ELEMENTS)?;
                }
                f.write_char(']')
            }
            Self::Struct(members) => {
                f.write_char('{')?;
                for (i, (name, value)) in members.iter().enumerate() {
                    let comma = if i > 0 { ", " } else { "" };
                    write!(f, "{comma}{name}: {value}")?;
                }
                f.write_char('}')
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use bpfweld::btf::{BtfBuilder, MemberSpec};

    use super::*;

    #[test]
    fn texts_are_texts_only_if_they_can_be_read() {
        assert_eq!(text(b"eth0\0\0").as_deref(), Some("eth0"));
        assert_eq!(text(b"\0\0").as_deref(), Some(""));
        assert_eq!(text(b"a\0b"), None);
        assert_eq!(text(b"\x1b[31m"), None);
    }

    #[test]
    fn numbers_have_their_signs() {
        assert_eq!(extended(0xff, 8), -1);
        assert_eq!(extended(0x7f, 8), 127);
        assert_eq!(extended(u64::MAX, 64), -1);
    }

    #[test]
    fn types_that_never_end_do() {
        // Arrays of arrays of nothing, 2^32 - 1 times; structs of them, each twice as many.
        let mut builder = BtfBuilder::new();
        let empty = builder.add_struct("empty", 0, &[]);
        let mut id = builder.add_array(empty, empty, u32::MAX);
        for _ in 0..40 {
            let member = |name| MemberSpec { name, type_id: id, bit_offset: 0, bitfield_size: 0 };
            id = builder.add_struct("s", 0, &[member("a"), member("b")]);
        }
        let btf = builder.finish().unwrap();
        let shown = Shown::new(&btf, Some(id), &[]);
        assert!(matches!(shown, Shown::Struct(_)));
    }
}
