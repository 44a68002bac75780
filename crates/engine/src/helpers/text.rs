//! Helpers for text: trace_printk and its kin, strncmp.

use crate::helpers::{Value, code, read, write};
use crate::maps::errno;
use crate::run::Event;
use crate::vm::{Result, Vm};

/// The longest format and the longest line.
const MAX_TEXT: usize = 1024;

/// `bpf_trace_printk`.
pub(crate) fn trace_printk(vm: &mut Vm<'_>, format: u64, len: u32, args: &[u64]) -> Value {
    let format = read(vm, format, len.into())?.to_vec();
    let Some(line) = print(vm, &format, args) else { return Ok(code(errno::EINVAL)) };
    let len = line.len() as u64;
    vm.state.effects.push(Event::Trace(String::from_utf8_lossy(&line).into_owned()));
    Ok(len)
}

/// The arguments that stand in an array.
fn array(vm: &Vm<'_>, data: u64, len: u32) -> Result<Option<Vec<u64>>> {
    if !len.is_multiple_of(8) || len > 12 * 8 {
        return Ok(None);
    }
    let (words, _) = read(vm, data, len.into())?.as_chunks::<8>();
    Ok(Some(words.iter().map(|w| u64::from_ne_bytes(*w)).collect()))
}

/// `bpf_trace_vprintk`.
pub(crate) fn trace_vprintk(
    vm: &mut Vm<'_>,
    format: u64,
    len: u32,
    data: u64,
    data_len: u32,
) -> Value {
    match array(vm, data, data_len)? {
        Some(args) => trace_printk(vm, format, len, &args),
        None => Ok(code(errno::EINVAL)),
    }
}

/// `bpf_snprintf`: gives the length of the text with its zero byte, cut or not.
pub(crate) fn snprintf(
    vm: &mut Vm<'_>,
    to: u64,
    to_len: u32,
    format: u64,
    data: u64,
    data_len: u32,
) -> Value {
    let Some(args) = array(vm, data, data_len)? else { return Ok(code(errno::EINVAL)) };
    let format = string(vm, format, MAX_TEXT)?;
    let Some(text) = print(vm, &format, &args) else { return Ok(code(errno::EINVAL)) };
    let place = write(vm, to, to_len.into())?;
    let fits = text.len().min(place.len().saturating_sub(1));
    if let Some(place) = place.get_mut(..fits) {
        place.copy_from_slice(&text[..fits]);
    }
    if let Some(end) = place.get_mut(fits) {
        *end = 0;
    }
    Ok(text.len() as u64 + 1)
}

/// A zero-terminated string of the program's, without the zero.
fn string(vm: &Vm<'_>, at: u64, max: usize) -> Result<Vec<u8>> {
    let mut out = Vec::new();
    while out.len() < max {
        match read(vm, at.wrapping_add(out.len() as u64), 1)? {
            [0] | [] => break,
            [byte, ..] => out.push(*byte),
        }
    }
    Ok(out)
}

/// `bpf_strncmp`.
pub(crate) fn strncmp(vm: &mut Vm<'_>, a: u64, len: u32, b: u64) -> Value {
    vm.charge(u64::from(len / 8))?;
    let first = read(vm, a, len.into())?;
    for (i, &x) in first.iter().enumerate() {
        let y = read(vm, b.wrapping_add(i as u64), 1)?.first().copied().unwrap_or(0);
        if x != y {
            return Ok(code(if x < y { -1 } else { 1 }));
        }
        if x == 0 {
            break;
        }
    }
    Ok(0)
}

/// Formats as `printk` does, as far as programs may use it; `None` for a wrong format.
fn print(vm: &Vm<'_>, format: &[u8], args: &[u64]) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    let mut args = args.iter().copied();
    let mut rest = format.iter().copied().take_while(|&b| b != 0).peekable();
    while let Some(byte) = rest.next() {
        if out.len() >= MAX_TEXT {
            break;
        }
        if byte != b'%' {
            out.push(byte);
            continue;
        }
        let (mut zeros, mut left, mut width, mut longs) = (false, false, 0usize, 0);
        while let Some(flag) = rest.next_if(|b| b"0-+ #".contains(b)) {
            zeros |= flag == b'0';
            left |= flag == b'-';
        }
        while let Some(digit) = rest.next_if(u8::is_ascii_digit) {
            width = (width * 10 + usize::from(digit - b'0')).min(MAX_TEXT);
        }
        while rest.next_if_eq(&b'l').is_some() {
            longs += 1;
        }
        let conversion = rest.next()?;
        if conversion == b'%' {
            out.push(b'%');
            continue;
        }
        let value = args.next()?;
        let narrow = if longs > 0 { value } else { u64::from(value as u32) };
        let text = match conversion {
            b'd' | b'i' if longs > 0 => value.cast_signed().to_string(),
            b'd' | b'i' => (value as i32).to_string(),
            b'u' => narrow.to_string(),
            b'x' => format!("{narrow:x}"),
            b'X' => format!("{narrow:X}"),
            b'c' => char::from(value as u8).to_string(),
            b's' => {
                String::from_utf8_lossy(&string(vm, value, MAX_TEXT).unwrap_or_default()).into()
            }
            b'p' => {
                // %px, %pK, … : kinds of addresses, all shown as they are.
                rest.next_if(|b| b"xKBSs".contains(b));
                format!("{value:016x}")
            }
            _ => return None,
        };
        let padding = width.saturating_sub(text.len());
        let fill = if zeros && !left { b'0' } else { b' ' };
        if !left {
            out.extend(std::iter::repeat_n(fill, padding));
        }
        out.extend_from_slice(text.as_bytes());
        if left {
            out.extend(std::iter::repeat_n(b' ', padding));
        }
    }
    out.truncate(MAX_TEXT);
    Some(out)
}
