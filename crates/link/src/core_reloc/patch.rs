//! Writing a value into an instruction.

use bpfweld_insn::{CALL, Insn, class};

use super::error::CoreProblem;
use super::value::{Resolution, Width};
use super::{Applied, CoreKind, POISON_HELPER, PoisonReason};

/// Size bits of a load's or store's opcode, and the bytes that they stand for (RFC 9669, 5).
const SIZES: [(u8, u32); 4] = [(0x00, 4), (0x08, 2), (0x10, 1), (0x18, 8)];
const SIZE_MASK: u8 = 0x18;
const MODE_MASK: u8 = 0xe0;
/// Load with sign extension.
const MODE_MEMSX: u8 = 0x80;
/// The operand is a register, in arithmetic.
const SOURCE_REGISTER: u8 = 0x08;

pub(super) fn apply(
    kind: CoreKind,
    resolution: &Resolution,
    index: usize,
    insns: &mut [Insn],
) -> Result<Applied, CoreProblem> {
    let len = insns.len();
    let out_of_function = CoreProblem::OutOfFunction(len);
    let insn = *insns.get(index).ok_or(out_of_function)?;
    if let Some(reason) = resolution.poison {
        return Ok(poison(kind, reason, index, insns));
    }
    let (old, new) = match insn.class() {
        class::ALU | class::ALU64 => immediate(resolution, insn)?,
        class::LDX | class::ST | class::STX => {
            return access(kind, resolution, index, insns);
        }
        class::LD => immediate64(resolution, index, insns)?,
        _ => return Err(CoreProblem::Opcode(insn.code)),
    };
    set_immediate(insns, index, new)?;
    match kind {
        CoreKind::TypeIdLocal => Ok(Applied::LocalTypeId(bpfweld_btf::TypeId(new as u32))),
        _ => Ok(Applied::Patched { old, new }),
    }
}

/// Writes a value into the immediate of an arithmetic instruction or of a 64-bit immediate load
/// (both halves). A 32-bit immediate takes what fits into it with or without sign.
pub fn set_immediate(insns: &mut [Insn], index: usize, value: u64) -> Result<(), CoreProblem> {
    let len = insns.len();
    let mut rest = insns.iter_mut().skip(index);
    let insn = rest.next().ok_or(CoreProblem::OutOfFunction(len))?;
    if insn.is_ld_imm64() {
        let high = rest.next().ok_or(CoreProblem::LdImm64)?;
        high.imm = (value >> 32) as i32;
    } else if u32::try_from(value).is_err() && i32::try_from(value as i64).is_err() {
        return Err(CoreProblem::Range { value, room: "immediate" });
    }
    insn.imm = value as u32 as i32;
    Ok(())
}

/// (held, to hold) of `rX = imm`, `rX += imm` and the like.
fn immediate(resolution: &Resolution, insn: Insn) -> Result<(u64, u64), CoreProblem> {
    if insn.code & SOURCE_REGISTER != 0 {
        return Err(CoreProblem::Opcode(insn.code));
    }
    let held = i64::from(insn.imm) as u64;
    check(resolution, held)?;
    Ok((held, resolution.new))
}

/// (held, to hold) of `rX = imm64`.
fn immediate64(
    resolution: &Resolution,
    index: usize,
    insns: &[Insn],
) -> Result<(u64, u64), CoreProblem> {
    let Some([low, high]) = insns.get(index..).and_then(|rest| rest.first_chunk::<2>()) else {
        return Err(CoreProblem::LdImm64);
    };
    let bare = Insn { imm: 0, ..*high } == Insn::default() && low.src() == 0 && low.off == 0;
    if !low.is_ld_imm64() || !bare {
        return Err(CoreProblem::LdImm64);
    }
    let held = u64::from(high.imm as u32) << 32 | u64::from(low.imm as u32);
    let cut = |value: u64| u64::from(value as u32);
    if resolution.sign_unknown && held != resolution.old && held == cut(resolution.old) {
        return Ok((held, cut(resolution.new)));
    }
    check(resolution, held)?;
    Ok((held, resolution.new))
}

/// A load or store: its offset, and its width where the field's has changed.
fn access(
    kind: CoreKind,
    resolution: &Resolution,
    index: usize,
    insns: &mut [Insn],
) -> Result<Applied, CoreProblem> {
    let len = insns.len();
    let insn = insns.get_mut(index).ok_or(CoreProblem::OutOfFunction(len))?;
    let held = i64::from(insn.off) as u64;
    check(resolution, held)?;
    let value = resolution.new;
    let off = i16::try_from(value).map_err(|_| CoreProblem::Range { value, room: "offset" })?;
    let code = match resolution.width {
        Width::Same => insn.code,
        Width::Unsafe => return Ok(poison(kind, PoisonReason::Width, index, insns)),
        Width::Change { from, to } => {
            let found = SIZES.iter().find(|size| size.0 == insn.code & SIZE_MASK);
            let found = found.map_or(0, |size| size.1);
            if found != from {
                return Err(CoreProblem::AccessWidth { found, expected: from });
            }
            let size = SIZES.iter().find(|size| size.1 == to);
            let size = size.ok_or(CoreProblem::TargetWidth(to))?.0;
            if insn.class() == class::LDX && insn.code & MODE_MASK == MODE_MEMSX {
                return Ok(poison(kind, PoisonReason::Width, index, insns));
            }
            insn.code & !SIZE_MASK | size
        }
    };
    insn.off = off;
    insn.code = code;
    Ok(Applied::Patched { old: held, new: value })
}

fn check(resolution: &Resolution, held: u64) -> Result<(), CoreProblem> {
    let Resolution { old: expected, new, check, .. } = *resolution;
    match check && held != expected {
        true => Err(CoreProblem::OldValue { found: held, expected, new }),
        false => Ok(()),
    }
}

/// Replaces an instruction, both halves of a 64-bit immediate load, by calls that no verifier lets
/// through.
fn poison(kind: CoreKind, reason: PoisonReason, index: usize, insns: &mut [Insn]) -> Applied {
    let call = Insn { code: CALL, imm: POISON_HELPER + kind as i32, ..Insn::default() };
    let slots = if insns.get(index).is_some_and(|insn| insn.is_ld_imm64()) { 2 } else { 1 };
    insns.iter_mut().skip(index).take(slots).for_each(|slot| *slot = call);
    Applied::Poisoned(reason)
}
