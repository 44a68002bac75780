//! What a record asks for, computed on the object's own types and on a target's.

use bpfweld_btf::{Btf, Endian, Kind, Type, TypeId};

use super::access::{Path, Step, type_label};
use super::error::CoreProblem;
use super::{CoreKind, PoisonReason};

/// What to do to an instruction.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Resolution {
    /// What the instruction must hold now, where `check` is set.
    pub(super) old: u64,
    /// What it shall hold.
    pub(super) new: u64,
    /// Must the instruction hold `old`? Not where compiler and linker may fairly disagree.
    pub(super) check: bool,
    /// Set when there is no value to put in.
    pub(super) poison: Option<PoisonReason>,
    /// For a load or store: what its width becomes.
    pub(super) width: Width,
    /// The local value is an enumerator of 32 bits without a sign flag: early compilers set no
    /// flag, so only the instruction tells whether it was extended with zeros or with its sign.
    pub(super) sign_unknown: bool,
}

/// What becomes of the width of a load or store.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Width {
    Same,
    Change {
        from: u32,
        to: u32,
    },
    /// The sizes differ, and reading the target's with its own width would give a wrong value.
    Unsafe,
}

impl Resolution {
    fn value(old: u64, new: u64) -> Self {
        let width = Width::Same;
        Self { old, new, check: true, poison: None, width, sign_unknown: false }
    }

    pub(super) fn local_type_id(id: TypeId) -> Self {
        Self { check: false, ..Self::value(id.0.into(), id.0.into()) }
    }
}

/// `target` is the path that matched, or `None` when no candidate did.
pub(super) fn resolve(
    kind: CoreKind,
    local: &Path<'_>,
    target: Option<&Path<'_>>,
) -> Result<Resolution, CoreProblem> {
    match kind {
        CoreKind::FieldExists
        | CoreKind::TypeExists
        | CoreKind::TypeMatches
        | CoreKind::EnumvalExists => Ok(Resolution::value(1, target.is_some().into())),
        CoreKind::TypeIdLocal => Ok(Resolution::local_type_id(local.root)),
        CoreKind::TypeIdTarget => {
            let id = |path: &Path<'_>| u64::from(path.root.0);
            // Linking renumbers types, so what the instruction holds says nothing.
            let found = Resolution::value(id(local), target.map_or(0, id));
            Ok(Resolution { check: false, ..found })
        }
        CoreKind::TypeSize => {
            let size = |path: &Path<'_>| path.size_of(path.root).map(u64::from);
            Ok(Resolution::value(size(local)?, target.map_or(Ok(0), size)?))
        }
        CoreKind::EnumvalValue => {
            let (old, sign_unknown) = enumerator(local);
            let new = target.map(|path| enumerator(path).0);
            Ok(Resolution { sign_unknown, ..with_poison(old, new) })
        }
        CoreKind::FieldByteOffset
        | CoreKind::FieldByteSize
        | CoreKind::FieldSigned
        | CoreKind::FieldLshiftU64
        | CoreKind::FieldRshiftU64 => {
            let old = field(kind, local)?;
            let new = target.map(|path| field(kind, path)).transpose()?;
            let width = match (&new, target) {
                (Some(new), Some(path)) => width(&old, local.btf, new, path.btf),
                _ => Width::Same,
            };
            let found = with_poison(old.value, new.map(|new| new.value));
            Ok(Resolution { check: old.certain, width, ..found })
        }
    }
}

fn with_poison(old: u64, new: Option<u64>) -> Resolution {
    let poison = if new.is_none() { Some(PoisonReason::NoMatch) } else { None };
    Resolution { poison, ..Resolution::value(old, new.unwrap_or(0)) }
}

/// Value of an enumerator, always with its sign extended, and whether that was a guess.
fn enumerator(path: &Path<'_>) -> (u64, bool) {
    let Some(step) = path.steps.first() else { return (0, false) };
    let ty = path.btf.ty(step.type_id);
    let value = ty.enumerators().nth(step.index as usize).map_or(0, |found| found.value);
    match ty.kind() {
        // BTF of before the sign flag has negative values too.
        Kind::Enum if !ty.kflag() => (i64::from(value as u32 as i32) as u64, true),
        _ => (value, false),
    }
}

/// What a field record asks for, on one side.
struct Field {
    value: u64,
    /// Must the compiler have come to the same value?
    certain: bool,
    /// Bytes that a load or store of the field takes (of an array: of one element), and the
    /// field's type. Only for offsets, and not of bitfields.
    access: Option<(u32, TypeId)>,
}

fn field(kind: CoreKind, path: &Path<'_>) -> Result<Field, CoreProblem> {
    match path.steps.last() {
        Some(step @ Step { name: Some(_), .. }) => {
            let ty = path.btf.ty(step.type_id);
            match ty.members().nth(step.index as usize) {
                Some(m) => member(kind, path, m.type_id, m.bitfield_size),
                None => Err(no_size(ty)),
            }
        }
        Some(step) => element(kind, path, step.type_id),
        None => Err(CoreProblem::ArrayElement),
    }
}

fn element(kind: CoreKind, path: &Path<'_>, id: TypeId) -> Result<Field, CoreProblem> {
    match kind {
        CoreKind::FieldByteOffset => {
            let access = Some((element_size(path, id)?, id));
            Ok(Field { value: path.bit_offset / 8, certain: true, access })
        }
        CoreKind::FieldByteSize => {
            Ok(Field { value: path.size_of(id)?.into(), certain: true, access: None })
        }
        _ => Err(CoreProblem::ArrayElement),
    }
}

fn member(
    kind: CoreKind,
    path: &Path<'_>,
    id: TypeId,
    bitfield_size: u32,
) -> Result<Field, CoreProblem> {
    let ty = path.btf.resolve(id);
    let is_bitfield = bitfield_size > 0;
    let load = match is_bitfield {
        true => bitfield(path.bit_offset, bitfield_size, ty)?,
        false => {
            let bytes = u64::from(path.size_of(ty.id())?);
            Load { offset: path.bit_offset / 8, bytes, bits: bytes * 8 }
        }
    };
    let room = |used: u64| 64u64.checked_sub(used).ok_or(CoreProblem::TooWide(used));
    // Where a bitfield's load begins and how wide it is, is the compiler's choice.
    let (value, certain) = match kind {
        CoreKind::FieldByteOffset => (load.offset, !is_bitfield),
        CoreKind::FieldByteSize => (load.bytes, !is_bitfield),
        CoreKind::FieldSigned => (is_signed(ty).into(), true),
        CoreKind::FieldRshiftU64 => (room(load.bits)?, true),
        _ => {
            let below = path.bit_offset - load.offset * 8;
            let shift = match path.btf.endian() {
                Endian::Little => room(below + load.bits)?,
                Endian::Big => room(load.bytes * 8)? + below,
            };
            (shift, !is_bitfield)
        }
    };
    let access = match kind {
        CoreKind::FieldByteOffset if !is_bitfield => Some((element_size(path, ty.id())?, ty.id())),
        _ => None,
    };
    Ok(Field { value, certain, access })
}

/// The load that gets a field into a register.
struct Load {
    /// Where it begins, in bytes.
    offset: u64,
    /// Its width.
    bytes: u64,
    /// Width of the field itself.
    bits: u64,
}

/// The smallest aligned load, from the declared type's size up, that covers a bitfield.
fn bitfield(bit_offset: u64, bits: u32, ty: Type<'_>) -> Result<Load, CoreProblem> {
    let mut bytes = match ty.kind() {
        Kind::Int | Kind::Enum | Kind::Enum64 if ty.size().is_power_of_two() => {
            u64::from(ty.size())
        }
        _ => return Err(no_size(ty)),
    };
    loop {
        let offset = bit_offset / 8 / bytes * bytes;
        if bit_offset + u64::from(bits) <= (offset + bytes) * 8 {
            return Ok(Load { offset, bytes, bits: bits.into() });
        }
        if bytes >= 8 {
            return Err(CoreProblem::Bitfield { bit_offset, bits });
        }
        bytes *= 2;
    }
}

fn is_signed(ty: Type<'_>) -> bool {
    match ty.kind() {
        Kind::Enum | Kind::Enum64 => ty.kflag(),
        Kind::Int => ty.int_encoding().signed,
        _ => false,
    }
}

/// Bytes of what a load or store of an array's element takes, of any number of dimensions.
fn element_size(path: &Path<'_>, id: TypeId) -> Result<u32, CoreProblem> {
    let mut ty = path.btf.resolve(id);
    for _ in 0..256 {
        if ty.kind() != Kind::Array {
            break;
        }
        ty = path.btf.resolve(ty.type_id());
    }
    path.size_of(ty.id())
}

/// Two cases in which a load may change its width: pointers, which a 32-bit kernel has shorter,
/// and unsigned integers. Both come out right with zeros on top.
fn width(old: &Field, local: &Btf, new: &Field, target: &Btf) -> Width {
    let side = |field: &Field, btf: &Btf| {
        field.access.map_or((0, None), |(size, id)| {
            let ty = btf.ty(id);
            let class = match ty.kind() {
                Kind::Ptr => Some(Kind::Ptr),
                Kind::Int if !is_signed(ty) => Some(Kind::Int),
                _ => None,
            };
            (size, class)
        })
    };
    let ((from, old_class), (to, new_class)) = (side(old, local), side(new, target));
    match from == to {
        true => Width::Same,
        false if old_class.is_some() && old_class == new_class => Width::Change { from, to },
        false => Width::Unsafe,
    }
}

/// Bytes of a type in a BTF whose pointers have `pointer_size` bytes.
pub(super) fn size_of(btf: &Btf, id: TypeId, pointer_size: u32) -> Result<u32, CoreProblem> {
    let root = btf.ty(id);
    let mut ty = root;
    let mut times: u64 = 1;
    for _ in 0..256 {
        let size = match ty.kind() {
            Kind::Ptr => pointer_size,
            Kind::Array => {
                times = times.saturating_mul(ty.array_len().into());
                ty = ty.target();
                continue;
            }
            Kind::Typedef | Kind::Var | Kind::DeclTag => {
                ty = ty.target();
                continue;
            }
            kind if kind.is_qualifier() => {
                ty = ty.target();
                continue;
            }
            Kind::Void | Kind::Fwd | Kind::Func | Kind::FuncProto => return Err(no_size(root)),
            _ => ty.size(),
        };
        let size = times.saturating_mul(size.into());
        return u32::try_from(size).map_err(|_| no_size(root));
    }
    Err(no_size(root))
}

fn no_size(ty: Type<'_>) -> CoreProblem {
    CoreProblem::NoSize { id: ty.id().0, name: type_label(ty) }
}
