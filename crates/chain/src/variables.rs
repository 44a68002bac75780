//! Global variables set before a program is loaded: `NAME=VALUE`, typed by BTF.

use bpfweld::btf::{Btf, Kind, TypeId};
use bpfweld::object::{DataKind, Object};

/// Sets a variable of an object. The error is a sentence about what is wrong.
pub(crate) fn set(object: &mut Object, name: &str, value: &str) -> Result<(), String> {
    let btf = object.btf.clone().ok_or("the object has no BTF, so no variable has a type")?;
    let mut names = Vec::new();
    for data in &mut object.data {
        for var in data.vars.iter().filter(|v| !v.hidden) {
            let ty = btf.ty(var.type_id);
            names.push(ty.name().to_owned());
            if ty.name() != name {
                continue;
            }
            let bytes = encode(&btf, ty.type_id(), value)?;
            let mut contents = data.bytes.to_vec();
            if data.kind == DataKind::Bss && contents.is_empty() {
                contents = vec![0; data.size as usize];
            }
            let start = var.offset as usize;
            let place = contents.get_mut(start..start.saturating_add(bytes.len()));
            place.ok_or("it lies outside its section")?.copy_from_slice(&bytes);
            data.bytes = contents.into();
            return Ok(());
        }
    }
    names.sort();
    names.dedup();
    Err(match names.as_slice() {
        [] => "the object has no global variables".into(),
        names => format!("there is no such variable; there are: {}", names.join(", ")),
    })
}

/// A value as the bytes of a variable of this type.
fn encode(btf: &Btf, id: TypeId, value: &str) -> Result<Vec<u8>, String> {
    let ty = btf.resolve(id);
    let declared = || btf.c_declaration(id, "").trim().to_owned();
    match ty.kind() {
        Kind::Int => {
            let encoding = ty.int_encoding();
            let word = match value {
                _ if encoding.is_bool => match value {
                    "true" | "1" | "y" => Some(1),
                    "false" | "0" | "n" => Some(0),
                    _ => None,
                },
                _ => number(value),
            };
            let signed = encoding.signed;
            let fits = word.filter(|&w| in_range(w, ty.size(), signed));
            fits.and_then(|w| cut(w, ty.size()))
                .ok_or_else(|| format!("`{value}` is no value of its type, {}", declared()))
        }
        Kind::Enum | Kind::Enum64 => {
            let named = ty.enumerators().find(|e| e.name == value).map(|e| i128::from(e.value));
            let word = named.or_else(|| number(value));
            word.and_then(|w| cut(w, ty.size()))
                .ok_or_else(|| format!("`{value}` is no value of {}", declared()))
        }
        Kind::Array => {
            let element = btf.resolve(ty.type_id());
            let len = ty.array_len() as usize;
            if element.kind() == Kind::Int && element.size() == 1 && !value.starts_with('[') {
                // A string; its end is what stays zero.
                let mut bytes = value.as_bytes().to_vec();
                if bytes.len() >= len {
                    return Err(format!(
                        "the string has {} bytes, {} fit",
                        bytes.len(),
                        len.saturating_sub(1)
                    ));
                }
                bytes.resize(len, 0);
                return Ok(bytes);
            }
            let inner = value.strip_prefix('[').and_then(|v| v.strip_suffix(']'));
            let inner = inner
                .ok_or_else(|| format!("an array ({}) is written as [a, b, …]", declared()))?;
            let values: Vec<_> =
                inner.split(',').map(str::trim).filter(|v| !v.is_empty()).collect();
            if values.len() > len {
                return Err(format!("{} values, {len} fit", values.len()));
            }
            let mut bytes = Vec::new();
            for value in values {
                bytes.extend(encode(btf, ty.type_id(), value)?);
            }
            Ok(bytes)
        }
        _ => Err(format!(
            "it is {}; integers, enumerations, strings and arrays of these can be set",
            declared()
        )),
    }
}

fn number(text: &str) -> Option<i128> {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let value = match digits.strip_prefix("0x").or_else(|| digits.strip_prefix("0X")) {
        Some(hex) => i128::from_str_radix(hex, 16),
        None => digits.parse::<u64>().map(i128::from),
    };
    let value = value.ok().filter(|v| *v >= 0 && *v <= i128::from(u64::MAX))?;
    Some(if negative { -value } else { value })
}

fn in_range(word: i128, size: u32, signed: bool) -> bool {
    let bits = size.clamp(1, 8) * 8;
    let (low, high) = match signed {
        true => (-(1i128 << (bits - 1)), (1i128 << (bits - 1)) - 1),
        false => (0, (1i128 << bits) - 1),
    };
    (low..=high).contains(&word)
}

/// The lowest bytes of a number that fits them, as signed or unsigned.
fn cut(word: i128, size: u32) -> Option<Vec<u8>> {
    if !matches!(size, 1 | 2 | 4 | 8)
        || !(in_range(word, size, true) || in_range(word, size, false))
    {
        return None;
    }
    word.to_le_bytes().get(..size as usize).map(<[u8]>::to_vec)
}

#[cfg(test)]
mod tests {
    use bpfweld::btf::{BtfBuilder, IntEncoding};

    use super::*;

    fn encoded(make: impl Fn(&mut BtfBuilder) -> TypeId, value: &str) -> Result<Vec<u8>, String> {
        let mut b = BtfBuilder::new();
        let id = make(&mut b);
        encode(&b.finish().unwrap(), id, value)
    }

    fn int(size: u32, signed: bool, is_bool: bool) -> impl Fn(&mut BtfBuilder) -> TypeId {
        move |b| {
            let bits = (size * 8) as u8;
            b.add_int("n", size, IntEncoding { signed, is_bool, bits, ..IntEncoding::default() })
        }
    }

    #[test]
    fn integers_fit_their_type() {
        assert_eq!(encoded(int(2, false, false), "0x1234").unwrap(), [0x34, 0x12]);
        assert_eq!(encoded(int(4, true, false), "-1").unwrap(), [0xff; 4]);
        assert_eq!(encoded(int(8, false, false), "18446744073709551615").unwrap(), [0xff; 8]);
        for (size, signed, value) in [
            (1, false, "256"),
            (1, true, "128"),
            (4, false, "-1"),
            (8, true, "9223372036854775808"),
            (4, true, "x"),
            (4, true, ""),
        ] {
            assert!(encoded(int(size, signed, false), value).is_err(), "{size} {signed} {value}");
        }
        assert_eq!(encoded(int(1, false, true), "true").unwrap(), [1]);
        assert!(encoded(int(1, false, true), "2").is_err());
    }

    #[test]
    fn enumerations_strings_arrays() {
        let colour = |b: &mut BtfBuilder| b.add_enum("c", 4, false, &[("RED", 3)]);
        assert_eq!(encoded(colour, "RED").unwrap(), [3, 0, 0, 0]);
        assert!(encoded(colour, "BLUE").is_err());
        let of = |size: u32, len: u32| {
            move |b: &mut BtfBuilder| {
                let element = int(size, true, false)(b);
                b.add_array(element, element, len)
            }
        };
        assert_eq!(encoded(of(1, 4), "abc").unwrap(), b"abc\0");
        assert!(encoded(of(1, 4), "abcd").is_err());
        assert_eq!(encoded(of(2, 3), "[1, -1]").unwrap(), [1, 0, 0xff, 0xff]);
        assert!(encoded(of(2, 1), "[1,2]").is_err());
    }
}
