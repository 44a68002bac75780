//! Arithmetic and comparisons, as RFC 9669 defines them where a C compiler would not: division by
//! zero, overflow, shifts by more than the width.

use crate::op::Code;

/// The low `bits` bits as a signed number.
#[inline(always)]
pub(crate) fn extend(value: u64, bits: u32) -> u64 {
    let unused = 64 - bits;
    ((value << unused).cast_signed() >> unused).cast_unsigned()
}

/// By code: the first name has the immediate as its operand, the second the register.
macro_rules! operations {
    ($code:expr, $k:expr, $x:expr; $($ka:ident $xa:ident => |$b:ident| $result:expr,)*) => {
        match $code {
            $(
                Code::$ka => { let $b = $k; Some($result) }
                Code::$xa => { let $b = $x; Some($result) }
            )*
            _ => None,
        }
    };
}

/// The result of a 64-bit operation; `None` when it is none.
#[inline(always)]
pub(crate) fn alu64(code: Code, a: u64, x: u64, k: u64) -> Option<u64> {
    let simple = operations!(code, k, x;
        Add64K Add64X => |b| a.wrapping_add(b),
        Sub64K Sub64X => |b| a.wrapping_sub(b),
        Mul64K Mul64X => |b| a.wrapping_mul(b),
        Div64K Div64X => |b| a.checked_div(b).unwrap_or(0),
        Mod64K Mod64X => |b| a.checked_rem(b).unwrap_or(a),
        SDiv64K SDiv64X => |b| match b {
            0 => 0,
            b => a.cast_signed().wrapping_div(b.cast_signed()).cast_unsigned(),
        },
        SMod64K SMod64X => |b| match b {
            0 => a,
            b => a.cast_signed().wrapping_rem(b.cast_signed()).cast_unsigned(),
        },
        Or64K Or64X => |b| a | b,
        And64K And64X => |b| a & b,
        Xor64K Xor64X => |b| a ^ b,
        Lsh64K Lsh64X => |b| a.wrapping_shl(b as u32),
        Rsh64K Rsh64X => |b| a.wrapping_shr(b as u32),
        Arsh64K Arsh64X => |b| a.cast_signed().wrapping_shr(b as u32).cast_unsigned(),
    );
    if simple.is_some() {
        return simple;
    }
    Some(match code {
        Code::Neg64 => a.wrapping_neg(),
        Code::Mov8To64 => extend(x, 8),
        Code::Mov16To64 => extend(x, 16),
        Code::Mov32To64 => extend(x, 32),
        Code::Le16 => u64::from((a as u16).to_le()),
        Code::Le32 => u64::from((a as u32).to_le()),
        Code::Le64 => a.to_le(),
        Code::Be16 => u64::from((a as u16).to_be()),
        Code::Be32 => u64::from((a as u32).to_be()),
        Code::Be64 => a.to_be(),
        Code::Swap16 => u64::from((a as u16).swap_bytes()),
        Code::Swap32 => u64::from((a as u32).swap_bytes()),
        Code::Swap64 => a.swap_bytes(),
        _ => return None,
    })
}

/// The result of a 32-bit operation, zero-extended; of anything else, `a`.
#[inline(always)]
pub(crate) fn alu32(code: Code, a: u64, x: u64, k: u64) -> u64 {
    let (a, x, k) = (a as u32, x as u32, k as u32);
    let simple: Option<u32> = operations!(code, k, x;
        Add32K Add32X => |b| a.wrapping_add(b),
        Sub32K Sub32X => |b| a.wrapping_sub(b),
        Mul32K Mul32X => |b| a.wrapping_mul(b),
        Div32K Div32X => |b| a.checked_div(b).unwrap_or(0),
        Mod32K Mod32X => |b| a.checked_rem(b).unwrap_or(a),
        SDiv32K SDiv32X => |b| match b {
            0 => 0,
            b => a.cast_signed().wrapping_div(b.cast_signed()).cast_unsigned(),
        },
        SMod32K SMod32X => |b| match b {
            0 => a,
            b => a.cast_signed().wrapping_rem(b.cast_signed()).cast_unsigned(),
        },
        Or32K Or32X => |b| a | b,
        And32K And32X => |b| a & b,
        Xor32K Xor32X => |b| a ^ b,
        Lsh32K Lsh32X => |b| a.wrapping_shl(b),
        Rsh32K Rsh32X => |b| a.wrapping_shr(b),
        Arsh32K Arsh32X => |b| a.cast_signed().wrapping_shr(b).cast_unsigned(),
    );
    let result = simple.unwrap_or_else(|| match code {
        Code::Neg32 => a.wrapping_neg(),
        Code::Mov8To32 => extend(x.into(), 8) as u32,
        Code::Mov16To32 => extend(x.into(), 16) as u32,
        _ => a,
    });
    u64::from(result)
}

/// Is the jump taken? `None` when it is none.
#[inline(always)]
pub(crate) fn jump(code: Code, a: u64, x: u64, k: u64) -> Option<bool> {
    let (sa, a32, s32) = (a.cast_signed(), a as u32, (a as u32).cast_signed());
    operations!(code, k, x;
        JEq64K JEq64X => |b| a == b,
        JNe64K JNe64X => |b| a != b,
        JGt64K JGt64X => |b| a > b,
        JGe64K JGe64X => |b| a >= b,
        JLt64K JLt64X => |b| a < b,
        JLe64K JLe64X => |b| a <= b,
        JSet64K JSet64X => |b| a & b != 0,
        JSGt64K JSGt64X => |b| sa > b.cast_signed(),
        JSGe64K JSGe64X => |b| sa >= b.cast_signed(),
        JSLt64K JSLt64X => |b| sa < b.cast_signed(),
        JSLe64K JSLe64X => |b| sa <= b.cast_signed(),
        JEq32K JEq32X => |b| a32 == b as u32,
        JNe32K JNe32X => |b| a32 != b as u32,
        JGt32K JGt32X => |b| a32 > b as u32,
        JGe32K JGe32X => |b| a32 >= b as u32,
        JLt32K JLt32X => |b| a32 < b as u32,
        JLe32K JLe32X => |b| a32 <= b as u32,
        JSet32K JSet32X => |b| a32 & b as u32 != 0,
        JSGt32K JSGt32X => |b| s32 > (b as u32).cast_signed(),
        JSGe32K JSGe32X => |b| s32 >= (b as u32).cast_signed(),
        JSLt32K JSLt32X => |b| s32 < (b as u32).cast_signed(),
        JSLe32K JSLe32X => |b| s32 <= (b as u32).cast_signed(),
    )
}
