//! Instructions as text, in the notation of clang and of the kernel's verifier log.

use std::fmt;

use crate::{CALL, EXIT, Insn, JA, JA32, class, flow, helper_name, pseudo};

/// One instruction as text: `r1 += 8`, `if w0 != 2 goto +5`.
///
/// Opcodes that do not exist are shown as numbers.
#[derive(Clone, Copy, Debug)]
pub struct Text {
    /// The instruction.
    pub insn: Insn,
    /// `imm` of the second slot of a 64-bit immediate load.
    pub high: i32,
}

impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let done = match self.insn.class() {
            class::LD => self.load(f),
            class::LDX | class::ST | class::STX => self.memory(f),
            class::ALU | class::ALU64 => self.arithmetic(f),
            _ => self.jump(f),
        };
        match done? {
            true => Ok(()),
            false => {
                let (code, dst, src, off, imm) = self.insn.fields();
                write!(f, "opcode {code:#04x} dst={dst} src={src} off={off} imm={imm}")
            }
        }
    }
}

/// Whether there was something to write; else the opcode is none.
type Written = Result<bool, fmt::Error>;

impl Text {
    fn load(&self, f: &mut fmt::Formatter<'_>) -> Written {
        let (code, dst, src, _, imm) = self.insn.fields();
        if self.insn.is_ld_imm64() {
            let low = u64::from(imm.cast_unsigned());
            let value = u64::from(self.high.cast_unsigned()) << 32 | low;
            match src {
                0 => write!(f, "r{dst} = {value:#x} ll")?,
                pseudo::FUNC => write!(f, "r{dst} = function {imm:+}")?,
                kind => write!(f, "r{dst} = pseudo {kind} {value:#x}")?,
            }
            return Ok(true);
        }
        let Some(size) = size(code) else { return Ok(false) };
        match code & 0xe0 {
            0x20 => write!(f, "r0 = *({size} *)skb[{imm}]")?,
            0x40 => write!(f, "r0 = *({size} *)skb[r{src} + {imm}]")?,
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn memory(&self, f: &mut fmt::Formatter<'_>) -> Written {
        let (code, dst, src, off, imm) = self.insn.fields();
        let Some(size) = size(code) else { return Ok(false) };
        let is_load = self.insn.class() == class::LDX;
        let base = if is_load { src } else { dst };
        let sign = if off < 0 { '-' } else { '+' };
        let place = |size| format!("*({size} *)(r{base} {sign} {:#x})", off.unsigned_abs());
        match (self.insn.class(), code & 0xe0) {
            (class::LDX, 0x60) => write!(f, "r{dst} = {}", place(size))?,
            (class::LDX, 0x80) => {
                write!(f, "r{dst} = {}", place(["s32", "s16", "s8", "u64"][width(code)]))?;
            }
            (class::ST, 0x60) => write!(f, "{} = {imm}", place(size))?,
            (class::STX, 0x60) => write!(f, "{} = r{src}", place(size))?,
            (class::STX, 0xc0) => return self.atomic(f, &place(size)),
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn atomic(&self, f: &mut fmt::Formatter<'_>, place: &str) -> Written {
        let (_, _, src, _, imm) = self.insn.fields();
        match imm {
            0x00 => write!(f, "lock {place} += r{src}")?,
            0x40 => write!(f, "lock {place} |= r{src}")?,
            0x50 => write!(f, "lock {place} &= r{src}")?,
            0xa0 => write!(f, "lock {place} ^= r{src}")?,
            0x01 => write!(f, "r{src} = atomic_fetch_add({place}, r{src})")?,
            0x41 => write!(f, "r{src} = atomic_fetch_or({place}, r{src})")?,
            0x51 => write!(f, "r{src} = atomic_fetch_and({place}, r{src})")?,
            0xa1 => write!(f, "r{src} = atomic_fetch_xor({place}, r{src})")?,
            0xe1 => write!(f, "r{src} = xchg({place}, r{src})")?,
            0xf1 => write!(f, "r0 = cmpxchg({place}, r0, r{src})")?,
            0x100 => {
                // Here the address is in `src`.
                let from = Insn { code: self.insn.code & 0x18 | 0x61, ..self.insn };
                let text = Self { insn: from, high: 0 }.to_string();
                let (to, from) = text.split_once(" = ").unwrap_or_default();
                write!(f, "{to} = load_acquire({from})")?;
            }
            0x110 => write!(f, "store_release({place}, r{src})")?,
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn arithmetic(&self, f: &mut fmt::Formatter<'_>) -> Written {
        let (code, dst, src, off, imm) = self.insn.fields();
        let reg = if self.insn.class() == class::ALU64 { 'r' } else { 'w' };
        let operand = match code & 8 {
            0 => imm.to_string(),
            _ => format!("{reg}{src}"),
        };
        let signed = if off == 1 { "s" } else { "" };
        let op = match code & 0xf0 {
            0x00 => "+",
            0x10 => "-",
            0x20 => "*",
            0x30 => return write!(f, "{reg}{dst} {signed}/= {operand}").map(|()| true),
            0x40 => "|",
            0x50 => "&",
            0x60 => "<<",
            0x70 => ">>",
            0x80 => return write!(f, "{reg}{dst} = -{reg}{dst}").map(|()| true),
            0x90 => return write!(f, "{reg}{dst} {signed}%= {operand}").map(|()| true),
            0xa0 => "^",
            0xb0 => {
                let cast = match off {
                    0 => String::new(),
                    bits => format!("(s{bits})"),
                };
                return write!(f, "{reg}{dst} = {cast}{operand}").map(|()| true);
            }
            0xc0 => "s>>",
            0xd0 => {
                let order = match (reg, code & 8) {
                    ('r', _) => "bswap",
                    (_, 0) => "le",
                    _ => "be",
                };
                return write!(f, "r{dst} = {order}{imm} r{dst}").map(|()| true);
            }
            _ => return Ok(false),
        };
        write!(f, "{reg}{dst} {op}= {operand}").map(|()| true)
    }

    fn jump(&self, f: &mut fmt::Formatter<'_>) -> Written {
        let (code, dst, src, off, imm) = self.insn.fields();
        match code {
            JA => write!(f, "goto {off:+}")?,
            JA32 => write!(f, "gotol {imm:+}")?,
            EXIT => write!(f, "exit")?,
            flow::JCOND => write!(f, "may_goto {off:+}")?,
            flow::CALLX => write!(f, "callx r{dst}")?,
            flow::JAX => write!(f, "gotox r{dst}")?,
            CALL => match src {
                pseudo::CALL => write!(f, "call {imm:+}")?,
                pseudo::KFUNC_CALL => write!(f, "call kernel function {imm}")?,
                _ => match u32::try_from(imm).ok().and_then(helper_name) {
                    Some(name) => write!(f, "call {name}")?,
                    None => write!(f, "call helper {imm}")?,
                },
            },
            _ => {
                let op = match code & 0xf0 {
                    0x10 => "==",
                    0x20 => ">",
                    0x30 => ">=",
                    0x40 => "&",
                    0x50 => "!=",
                    0x60 => "s>",
                    0x70 => "s>=",
                    0xa0 => "<",
                    0xb0 => "<=",
                    0xc0 => "s<",
                    0xd0 => "s<=",
                    _ => return Ok(false),
                };
                let reg = if self.insn.class() == class::JMP { 'r' } else { 'w' };
                match code & 8 {
                    0 => write!(f, "if {reg}{dst} {op} {imm} goto {off:+}")?,
                    _ => write!(f, "if {reg}{dst} {op} {reg}{src} goto {off:+}")?,
                }
            }
        }
        Ok(true)
    }
}

/// Index of an access's size: 4, 2, 1, 8 bytes.
fn width(code: u8) -> usize {
    usize::from(code >> 3 & 3)
}

fn size(code: u8) -> Option<&'static str> {
    ["u32", "u16", "u8", "u64"].get(width(code)).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(code: u8, dst: u8, src: u8, off: i16, imm: i32) -> String {
        Text { insn: Insn::new(code, dst, src, off, imm), high: 1 }.to_string()
    }

    #[test]
    fn one_of_each_sort() {
        for (insn, wanted) in [
            ((0xbf, 6, 1, 0, 0), "r6 = r1"),
            ((0xbf, 6, 1, 8, 0), "r6 = (s8)r1"),
            ((0xb4, 0, 0, 0, -1), "w0 = -1"),
            ((0x07, 2, 0, 0, -12), "r2 += -12"),
            ((0xcf, 2, 3, 0, 0), "r2 s>>= r3"),
            ((0x37, 2, 0, 1, 3), "r2 s/= 3"),
            ((0x87, 2, 0, 0, 0), "r2 = -r2"),
            ((0xdc, 2, 0, 0, 16), "r2 = be16 r2"),
            ((0x61, 2, 1, 4, 0), "r2 = *(u32 *)(r1 + 0x4)"),
            ((0x91, 2, 1, 4, 0), "r2 = *(s8 *)(r1 + 0x4)"),
            ((0x7b, 10, 1, -8, 0), "*(u64 *)(r10 - 0x8) = r1"),
            ((0x72, 10, 0, -8, 7), "*(u8 *)(r10 - 0x8) = 7"),
            ((0xdb, 1, 2, 0, 0xf1), "r0 = cmpxchg(*(u64 *)(r1 + 0x0), r0, r2)"),
            ((0xdb, 1, 2, 8, 0x100), "r1 = load_acquire(*(u64 *)(r2 + 0x8))"),
            ((0x18, 1, 0, 0, 2), "r1 = 0x100000002 ll"),
            ((0x30, 0, 0, 0, 12), "r0 = *(u8 *)skb[12]"),
            ((0x56, 0, 0, 5, 2), "if w0 != 2 goto +5"),
            ((0x2d, 4, 3, -2, 0), "if r4 > r3 goto -2"),
            ((0x05, 0, 0, 3, 0), "goto +3"),
            ((0x85, 0, 0, 0, 1), "call bpf_map_lookup_elem"),
            ((0x85, 0, 0, 0, 9999), "call helper 9999"),
            ((0x85, 0, 1, 0, 7), "call +7"),
            ((0x95, 0, 0, 0, 0), "exit"),
            ((0xff, 1, 2, 3, 4), "opcode 0xff dst=1 src=2 off=3 imm=4"),
        ] {
            let (code, dst, src, off, imm) = insn;
            assert_eq!(text(code, dst, src, off, imm), wanted);
        }
    }

    #[test]
    fn every_opcode_has_a_text() {
        for code in 0..=255 {
            assert!(!text(code, 11, 15, i16::MIN, i32::MIN).is_empty());
        }
    }
}
