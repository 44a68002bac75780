//! Values of kconfig externs: from the text of a kernel configuration to the bytes of the map.
//!
//! Pure: the text and the kernel's version are the caller's to get.

use std::borrow::Cow;
use std::collections::HashMap;
use std::io::{self, BufRead};

use bpfweld_object::KconfigType;

use crate::image::KconfigVar;

/// A kernel configuration, `CONFIG_NAME=value` a line. Lines that say anything else are passed over.
#[derive(Debug, Clone, Default)]
pub struct Config {
    values: HashMap<String, String>,
}

/// What the kernel itself knows, beside its configuration.
#[derive(Debug, Clone, Copy, Default)]
pub struct KernelFacts {
    /// `LINUX_KERNEL_VERSION`: major << 16 | minor << 8 | min(patch, 255).
    pub version: u32,
    /// `LINUX_HAS_BPF_COOKIE`: do attachments carry a cookie?
    pub has_bpf_cookie: bool,
    /// `LINUX_HAS_SYSCALL_WRAPPER`: do system call handlers take a pt_regs (x86, since 4.17)?
    pub has_syscall_wrapper: bool,
}

/// Why a kconfig extern got no value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KconfigError {
    /// Strong externs that the configuration does not mention: all of them.
    #[error(
        "not set in the kernel configuration: {}; declare what may be missing __weak to get 0 \
         instead, or supply a configuration that has it", .0.join(", ")
    )]
    Missing(Vec<String>),
    /// A `LINUX_…` name that is unknown.
    #[error(
        "extern `{0}` is unknown: LINUX_KERNEL_VERSION, LINUX_HAS_BPF_COOKIE and LINUX_HAS_SYSCALL_WRAPPER are known, and CONFIG_…"
    )]
    Unknown(String),
    /// A value of another kind than the extern's type.
    #[error("extern `{name}` is {ty}, but the kernel configuration has {name}={value}")]
    Kind {
        /// The extern.
        name: String,
        /// Its type, in words.
        ty: String,
        /// The value as written.
        value: String,
    },
    /// A number that does not fit.
    #[error("extern `{name}` is {ty}, too narrow for {name}={value}")]
    Range {
        /// The extern.
        name: String,
        /// Its type, in words.
        ty: String,
        /// The value as written.
        value: String,
    },
    /// The map is smaller than its variables: an image made by hand.
    #[error("extern `{0}` lies outside its map")]
    Outside(String),
}

impl Config {
    /// Reads a configuration as in `/proc/config.gz` (uncompressed) or `/boot/config-*`. The first
    /// of several lines for one name counts.
    pub fn parse(text: &str) -> Self {
        // Reading from memory does not fail.
        Self::read(text.as_bytes(), |_| true).unwrap_or_default()
    }

    /// Like [`Config::parse`], but keeps no more than the values that are wanted.
    ///
    /// # Errors
    ///
    /// Those of the source.
    pub fn read(mut source: impl BufRead, wants: impl Fn(&str) -> bool) -> io::Result<Self> {
        let mut values = HashMap::new();
        let mut line = Vec::new();
        while source.read_until(b'\n', &mut line)? > 0 {
            if let Some((name, value)) = split(&line)
                && !value.is_empty()
                && let Ok(name) = std::str::from_utf8(name)
                && wants(name)
                && !values.contains_key(name)
            {
                values.insert(name.to_owned(), String::from_utf8_lossy(value).into_owned());
            }
            line.clear();
        }
        Ok(Self { values })
    }

    /// The value as written, quotes included.
    pub fn value(&self, name: &str) -> Option<&str> {
        self.values.get(name).map(String::as_str)
    }
}

/// Name and value of a line that sets an option.
fn split(line: &[u8]) -> Option<(&[u8], &[u8])> {
    let line = line.trim_ascii_start();
    // Half of all lines are comments.
    if !line.starts_with(b"CONFIG_") {
        return None;
    }
    let at = line.iter().position(|&b| b == b'=')?;
    let (name, value) = line.split_at_checked(at)?;
    Some((name, value.get(1..)?.trim_ascii_end()))
}

/// The kconfig map of one instance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Values {
    /// Its value, in native byte order.
    pub bytes: Vec<u8>,
    /// What was cut.
    pub warnings: Vec<String>,
}

/// The values of the kconfig externs of one instance, for a map value of `size` bytes.
pub fn evaluate(
    vars: &[KconfigVar],
    size: u32,
    config: &Config,
    facts: &KernelFacts,
) -> Result<Values, KconfigError> {
    let mut values = Values { bytes: vec![0; size as usize], warnings: Vec::new() };
    let mut missing = Vec::new();
    for var in vars {
        let value: Option<Cow<'_, str>> = match var.name.as_str() {
            "LINUX_KERNEL_VERSION" => Some(facts.version.to_string().into()),
            "LINUX_HAS_BPF_COOKIE" => Some(u8::from(facts.has_bpf_cookie).to_string().into()),
            "LINUX_HAS_SYSCALL_WRAPPER" => {
                Some(u8::from(facts.has_syscall_wrapper).to_string().into())
            }
            name if name.starts_with("CONFIG_") => config.value(name).map(Cow::from),
            _ if var.weak => None,
            name => return Err(KconfigError::Unknown(name.into())),
        };
        let range = var.offset as usize..(var.offset as usize).saturating_add(var.size as usize);
        let place = values.bytes.get_mut(range);
        let place = place.ok_or_else(|| KconfigError::Outside(var.name.clone()))?;
        match value {
            Some(value) => values.warnings.extend(write_value(var, &value, place)?),
            None if var.weak => {}
            None => missing.push(var.name.clone()),
        }
    }
    match missing.is_empty() {
        true => Ok(values),
        false => Err(KconfigError::Missing(missing)),
    }
}

/// Writes one value; gives a warning when it had to be cut.
fn write_value(
    var: &KconfigVar,
    value: &str,
    place: &mut [u8],
) -> Result<Option<String>, KconfigError> {
    let kind = || KconfigError::Kind {
        name: var.name.clone(),
        ty: describe(var.ty),
        value: value.to_owned(),
    };
    if value.starts_with('"') {
        let KconfigType::CharArray { .. } = var.ty else { return Err(kind()) };
        let text = unquote(value).ok_or_else(kind)?;
        // The last byte stays zero: a string too long is cut, as a C reader expects.
        let room = place.len().saturating_sub(1);
        for (to, from) in place.iter_mut().take(room).zip(text.bytes()) {
            *to = from;
        }
        return Ok((text.len() > room).then(|| {
            format!(
                "extern `{}` is {}: {value} was cut to {room} bytes",
                var.name,
                describe(var.ty)
            )
        }));
    }
    let tristate = match value {
        "n" => Some(0u8),
        "y" => Some(1),
        "m" => Some(2),
        _ => None,
    };
    if let Some(tristate) = tristate {
        let byte = match var.ty {
            KconfigType::Bool if tristate != 2 => tristate,
            KconfigType::Tristate => tristate,
            KconfigType::Char { .. } => value.bytes().next().unwrap_or(0),
            _ => return Err(kind()),
        };
        return write_number(place, i128::from(byte)).map(|()| None).ok_or_else(kind);
    }
    let number = parse_number(value).ok_or_else(kind)?;
    let (signed, bits) = match var.ty {
        KconfigType::Int { size, signed } => (signed, u32::from(size) * 8),
        KconfigType::Char { signed } => (signed, 8),
        // `is_bool = 1` is what LINUX_HAS_… give; any other number is no bool.
        KconfigType::Bool => (false, 1),
        KconfigType::Tristate | KconfigType::CharArray { .. } => return Err(kind()),
    };
    // A hexadecimal literal of 64 bits is a bit pattern (an address, a mask) in a signed type too.
    let pattern = bits == 64 && value.starts_with("0x");
    let (low, high) = match signed && !pattern {
        true => (-(1i128 << (bits - 1)), (1i128 << (bits - 1)) - 1),
        false => (0, (1i128 << bits) - 1),
    };
    if number < low || number > high {
        return Err(KconfigError::Range {
            name: var.name.clone(),
            ty: describe(var.ty),
            value: value.to_owned(),
        });
    }
    write_number(place, number).map(|()| None).ok_or_else(kind)
}

fn write_number(place: &mut [u8], number: i128) -> Option<()> {
    let len = place.len();
    if len > 8 {
        return None;
    }
    let all = number.to_le_bytes();
    let low = all.get(..len)?;
    place.copy_from_slice(low);
    if cfg!(target_endian = "big") {
        place.reverse();
    }
    Some(())
}

fn parse_number(text: &str) -> Option<i128> {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let value = match digits.strip_prefix("0x").or_else(|| digits.strip_prefix("0X")) {
        Some(hex) => u64::from_str_radix(hex, 16).ok()?,
        None if digits.len() > 1 && digits.starts_with('0') => {
            u64::from_str_radix(digits, 8).ok()?
        }
        None if digits.starts_with(|c: char| c.is_ascii_digit()) => digits.parse().ok()?,
        None => return None,
    };
    Some(if negative { -i128::from(value) } else { i128::from(value) })
}

/// The inside of a quoted string; a backslash takes the next character as it is.
fn unquote(value: &str) -> Option<String> {
    let inner = value.strip_prefix('"')?.strip_suffix('"')?;
    let mut text = String::with_capacity(inner.len());
    let mut chars = inner.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => text.push(chars.next()?),
            '"' => return None,
            c => text.push(c),
        }
    }
    Some(text)
}

fn describe(ty: KconfigType) -> String {
    match ty {
        KconfigType::Bool => "a bool".into(),
        KconfigType::Tristate => "a tristate".into(),
        KconfigType::Char { signed: true } => "a char".into(),
        KconfigType::Char { signed: false } => "an unsigned char".into(),
        KconfigType::Int { size, signed } => {
            let sign = if signed { "a signed" } else { "an unsigned" };
            format!("{sign} integer of {size} byte{}", if size == 1 { "" } else { "s" })
        }
        KconfigType::CharArray { len } => format!("a char[{len}]"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bpfweld_object::ExternId;

    fn one(
        name: &str,
        ty: KconfigType,
        size: u32,
        weak: bool,
        text: &str,
    ) -> Result<Vec<u8>, KconfigError> {
        let var = KconfigVar { id: ExternId(0), name: name.into(), ty, weak, offset: 0, size };
        let facts = KernelFacts { version: 0x06_0c_ff, has_bpf_cookie: true, ..Default::default() };
        evaluate(&[var], size, &Config::parse(text), &facts).map(|v| v.bytes)
    }

    fn int(size: u8, signed: bool, value: &str) -> Result<Vec<u8>, KconfigError> {
        let ty = KconfigType::Int { size, signed };
        one("CONFIG_X", ty, size.into(), false, &format!("CONFIG_X={value}\n"))
    }

    #[test]
    fn integers_of_every_width_and_sign_are_range_checked() {
        for size in [1u8, 2, 4, 8] {
            let bits = u32::from(size) * 8;
            let top_signed = (1i128 << (bits - 1)) - 1;
            let top_unsigned = (1i128 << bits) - 1;
            let le = |n: i128| n.to_le_bytes()[..size.into()].to_vec();
            assert_eq!(int(size, true, &top_signed.to_string()), Ok(le(top_signed)));
            assert_eq!(int(size, true, &(-top_signed - 1).to_string()), Ok(le(-top_signed - 1)));
            assert!(matches!(
                int(size, true, &(top_signed + 1).to_string()),
                Err(KconfigError::Range { .. })
            ));
            assert_eq!(int(size, false, &format!("{top_unsigned:#x}")), Ok(le(top_unsigned)));
            assert!(matches!(int(size, false, "-1"), Err(KconfigError::Range { .. })));
            if size < 8 {
                assert!(matches!(
                    int(size, false, &(top_unsigned + 1).to_string()),
                    Err(KconfigError::Range { .. })
                ));
            }
        }
        // More than 64 bits is no number at all.
        assert!(matches!(int(8, false, "0x10000000000000000"), Err(KconfigError::Kind { .. })));
        assert_eq!(int(4, false, "010"), Ok(vec![8, 0, 0, 0]));
    }

    #[test]
    fn tristates_go_where_they_fit() {
        let get =
            |ty, size, value: &str| one("CONFIG_X", ty, size, false, &format!("CONFIG_X={value}"));
        assert_eq!(get(KconfigType::Bool, 1, "y"), Ok(vec![1]));
        assert_eq!(get(KconfigType::Bool, 1, "n"), Ok(vec![0]));
        assert!(matches!(get(KconfigType::Bool, 1, "m"), Err(KconfigError::Kind { .. })));
        assert_eq!(get(KconfigType::Tristate, 4, "m"), Ok(vec![2, 0, 0, 0]));
        assert_eq!(get(KconfigType::Char { signed: true }, 1, "m"), Ok(vec![b'm']));
        assert!(matches!(
            get(KconfigType::Int { size: 4, signed: true }, 4, "y"),
            Err(KconfigError::Kind { .. })
        ));
        assert!(matches!(get(KconfigType::Tristate, 4, "5"), Err(KconfigError::Kind { .. })));
    }

    #[test]
    fn strings_are_cut_and_terminated() {
        let get = |len, value: &str| {
            one(
                "CONFIG_X",
                KconfigType::CharArray { len },
                len,
                false,
                &format!("CONFIG_X={value}"),
            )
        };
        assert_eq!(get(8, "\"abc\""), Ok(b"abc\0\0\0\0\0".to_vec()));
        assert_eq!(get(3, "\"abc\""), Ok(b"ab\0".to_vec()));
        assert_eq!(get(8, "\"a\\\"b\""), Ok(b"a\"b\0\0\0\0\0".to_vec()));
        assert!(matches!(get(8, "7"), Err(KconfigError::Kind { .. })));
        assert!(matches!(get(8, "\"abc"), Err(KconfigError::Kind { .. })));
        assert!(matches!(int(4, true, "\"abc\""), Err(KconfigError::Kind { .. })));
    }

    #[test]
    fn missing_is_an_error_unless_weak() {
        let ty = KconfigType::Int { size: 4, signed: false };
        let unset = "# CONFIG_X is not set\n";
        assert_eq!(one("CONFIG_X", ty, 4, true, unset), Ok(vec![0; 4]));
        assert_eq!(
            one("CONFIG_X", ty, 4, false, unset),
            Err(KconfigError::Missing(vec!["CONFIG_X".into()]))
        );
        assert_eq!(
            one("LINUX_NO", ty, 4, false, ""),
            Err(KconfigError::Unknown("LINUX_NO".into()))
        );
        assert_eq!(one("LINUX_NO", ty, 4, true, ""), Ok(vec![0; 4]));
    }

    #[test]
    fn the_kernel_itself_is_asked_for_linux_names() {
        let ty = KconfigType::Int { size: 4, signed: false };
        assert_eq!(one("LINUX_KERNEL_VERSION", ty, 4, false, ""), Ok(vec![0xff, 0x0c, 0x06, 0]));
        assert_eq!(one("LINUX_HAS_BPF_COOKIE", KconfigType::Bool, 1, false, ""), Ok(vec![1]));
    }
}
