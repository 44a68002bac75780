//! Does a target type fit a local one? Three different questions: can the same field be reached by
//! the same names ([`match_root`] with a field), are two types roughly alike ([`types_alike`], for
//! type existence, size and id), does the target have all that the local type has
//! ([`types_match`]).

use bpfweld_btf::{Btf, Kind, Type, TypeId, essential_name};

use super::CoreKind;
use super::access::{MAX_STEPS, Path, Step};
use super::error::CoreProblem;
use super::targets::{Candidate, is_enum, same_kind};

/// Levels of pointers, arrays and prototypes, and of nested types, that are compared (libbpf's
/// limit for either).
const MAX_LEVELS: usize = 32;

/// Steps that comparing types may still take. Types can refer to each other in ways that make the
/// number of paths through them exponential.
#[derive(Debug)]
pub(super) struct Work {
    /// Of this record.
    record: u64,
    /// Of all records of the object.
    object: u64,
}

/// Matching each type of Linux 6.18 against itself takes at most 65,391.
const RECORD_STEPS: u64 = 1 << 20;
/// Ten thousand distinct records of the size of `task_struct`, a second of a machine's time.
const OBJECT_STEPS: u64 = 1 << 26;

impl Default for Work {
    fn default() -> Self {
        Self { record: RECORD_STEPS, object: OBJECT_STEPS }
    }
}

impl Work {
    pub(super) fn next_record(&mut self) {
        self.record = RECORD_STEPS;
    }

    fn step(&mut self) -> Result<(), CoreProblem> {
        self.record = self.record.checked_sub(1).ok_or(CoreProblem::TooComplex)?;
        self.object = self.object.checked_sub(1).ok_or(CoreProblem::TooComplex)?;
        Ok(())
    }
}

/// Finds in a candidate what `local` leads to; `None` when it is not there.
pub(super) fn match_root<'t>(
    kind: CoreKind,
    local: &Path<'_>,
    candidate: Candidate<'t>,
    work: &mut Work,
) -> Result<Option<Path<'t>>, CoreProblem> {
    let mut path = Path::new(candidate.btf(), candidate.pointer_size(), candidate.id);
    let found = if kind.is_field() {
        match_field(local, &mut path, work)?
    } else if kind.is_enumerator() {
        match_enumerator(local, &mut path, work)?
    } else {
        let mut pair = Pair { local: local.btf, target: path.btf, work };
        match kind {
            CoreKind::TypeMatches => pair.types_match(local.root, path.root, false, MAX_LEVELS)?,
            _ => pair.types_alike(local.root, path.root, MAX_LEVELS)?,
        }
    };
    Ok(found.then_some(path))
}

fn match_enumerator(
    local: &Path<'_>,
    path: &mut Path<'_>,
    work: &mut Work,
) -> Result<bool, CoreProblem> {
    let wanted = local.steps.first().and_then(|step| step.name).unwrap_or_default();
    let ty = path.btf.resolve(path.root);
    for (index, enumerator) in (0..).zip(ty.enumerators()) {
        work.step()?;
        let name = path.btf.bytes_at(enumerator.name_off).unwrap_or_default();
        if essential_name(name) == essential_name(wanted) {
            path.steps.push(Step { type_id: ty.id(), index, name: Some(name) });
            path.raw_len = 1;
            return Ok(true);
        }
    }
    Ok(false)
}

fn match_field<'t>(
    local: &Path<'_>,
    path: &mut Path<'t>,
    work: &mut Work,
) -> Result<bool, CoreProblem> {
    let mut id = path.root;
    for (i, step) in local.steps.iter().enumerate() {
        let ty = path.btf.resolve(id);
        id = ty.id();
        if let Some(name) = step.name {
            let member = local.btf.ty(step.type_id).members().nth(step.index as usize);
            let wanted = Wanted {
                name,
                btf: local.btf,
                type_id: member.map_or(TypeId::VOID, |member| member.type_id),
            };
            match find_member(&wanted, ty, path, work)? {
                Some(type_id) => id = type_id,
                None => return Ok(false),
            }
            continue;
        }
        // The first step is an element of a notional array of the root, every other one of a real
        // array.
        if i > 0 {
            if ty.kind() != Kind::Array {
                return Ok(false);
            }
            if step.index >= ty.array_len() && !path.is_flexible(ty) {
                return Ok(false);
            }
            id = path.btf.resolve(ty.type_id()).id();
        }
        enter(path)?;
        path.steps.push(Step { type_id: id, index: step.index, name: None });
        path.advance(step.index, id)?;
    }
    Ok(true)
}

fn enter(path: &mut Path<'_>) -> Result<(), CoreProblem> {
    if path.raw_len >= MAX_STEPS {
        return Err(CoreProblem::TooDeep(MAX_STEPS));
    }
    path.raw_len += 1;
    Ok(())
}

/// A member that is looked for in a target type.
struct Wanted<'l> {
    name: &'l [u8],
    btf: &'l Btf,
    type_id: TypeId,
}

/// Looks for a member by name, through anonymous structs and unions, and goes there. The first one
/// of that name decides: C has no two. Gives its type.
fn find_member<'t>(
    wanted: &Wanted<'_>,
    ty: Type<'t>,
    path: &mut Path<'t>,
    work: &mut Work,
) -> Result<Option<TypeId>, CoreProblem> {
    let start = (path.bit_offset, path.raw_len);
    for (index, member) in (0..).zip(ty.members()) {
        work.step()?;
        let name = path.btf.bytes_at(member.name_off).unwrap_or_default();
        if !name.is_empty() && name != wanted.name {
            continue;
        }
        enter(path)?;
        path.bit_offset += u64::from(member.bit_offset);
        if name.is_empty() {
            let inner = path.btf.resolve(member.type_id);
            if let Some(found) = find_member(wanted, inner, path, work)? {
                return Ok(Some(found));
            }
        } else if fields_alike(wanted.btf, wanted.type_id, path.btf, member.type_id) {
            path.steps.push(Step { type_id: ty.id(), index, name: Some(name) });
            return Ok(Some(member.type_id));
        }
        (path.bit_offset, path.raw_len) = start;
        if !name.is_empty() {
            break;
        }
    }
    Ok(None)
}

/// Can a field of one type be read as one of the other? Structs and unions are one; pointers are
/// all alike, and so are integers and floats of any size; enumerations and declared-only structs
/// go by name, if they have one; arrays by their elements.
fn fields_alike(local_btf: &Btf, local: TypeId, target_btf: &Btf, target: TypeId) -> bool {
    let (mut local, mut target) = (local, target);
    for _ in 0..256 {
        let (l, t) = (local_btf.resolve(local), target_btf.resolve(target));
        if is_composite(l) && is_composite(t) {
            return true;
        }
        if !same_kind(l.kind(), t.kind()) {
            return false;
        }
        match l.kind() {
            Kind::Ptr | Kind::Float => return true,
            Kind::Int => return plain_ints(l, t),
            Kind::Fwd | Kind::Enum | Kind::Enum64 => {
                let (l, t) = (essential(l), essential(t));
                return l.is_empty() || t.is_empty() || l == t;
            }
            Kind::Array => (local, target) = (l.type_id(), t.type_id()),
            _ => return false,
        }
    }
    false
}

fn is_composite(ty: Type<'_>) -> bool {
    matches!(ty.kind(), Kind::Struct | Kind::Union)
}

/// Neither is one of the bitfield-like integers of early BTF.
fn plain_ints(l: Type<'_>, t: Type<'_>) -> bool {
    l.int_encoding().bit_offset == 0 && t.int_encoding().bit_offset == 0
}

fn essential<'a>(ty: Type<'a>) -> &'a [u8] {
    essential_at(ty.btf(), ty.name_off())
}

fn essential_at(btf: &Btf, name_off: u32) -> &[u8] {
    essential_name(btf.bytes_at(name_off).unwrap_or_default())
}

/// Two BTFs whose types are compared as wholes.
struct Pair<'a, 'w> {
    local: &'a Btf,
    target: &'a Btf,
    work: &'w mut Work,
}

/// Are these the same thing, more or less, for CO-RE? Kinds must agree along pointers, arrays and
/// prototypes; members, sizes and names do not count. For functions and variables of the kernel,
/// whose types an object declares for itself.
pub fn alike(local: (&Btf, TypeId), kernel: (&Btf, TypeId)) -> Result<bool, CoreProblem> {
    let (l, k) = (local.0.resolve(local.1).id(), kernel.0.resolve(kernel.1).id());
    let work = &mut Work::default();
    Pair { local: local.0, target: kernel.0, work }.types_alike(l, k, MAX_LEVELS)
}

impl Pair<'_, '_> {
    /// Are two types of equal name the same thing, more or less? Kinds must agree along pointers,
    /// arrays and prototypes; members, sizes and names do not count.
    fn types_alike(
        &mut self,
        mut local: TypeId,
        mut target: TypeId,
        levels: usize,
    ) -> Result<bool, CoreProblem> {
        // Before typedefs are looked through: a typedef is no candidate for a struct.
        if !same_kind(self.local.ty(local).kind(), self.target.ty(target).kind()) {
            return Ok(false);
        }
        for _ in 0..MAX_LEVELS {
            self.work.step()?;
            let (l, t) = (self.local.resolve(local), self.target.resolve(target));
            if !same_kind(l.kind(), t.kind()) {
                return Ok(false);
            }
            match l.kind() {
                Kind::Void | Kind::Struct | Kind::Union | Kind::Enum | Kind::Enum64 | Kind::Fwd => {
                    return Ok(true);
                }
                Kind::Int => return Ok(plain_ints(l, t)),
                Kind::Ptr | Kind::Array => (local, target) = (l.type_id(), t.type_id()),
                Kind::FuncProto => {
                    if l.vlen() != t.vlen() {
                        return Ok(false);
                    }
                    for (lp, tp) in l.params().zip(t.params()) {
                        let deeper = levels.checked_sub(1);
                        let deeper = deeper.ok_or(CoreProblem::TooDeep(MAX_LEVELS))?;
                        let lp = self.local.resolve(lp.type_id).id();
                        let tp = self.target.resolve(tp.type_id).id();
                        if !self.types_alike(lp, tp, deeper)? {
                            return Ok(false);
                        }
                    }
                    (local, target) = (l.type_id(), t.type_id());
                }
                _ => return Ok(false),
            }
        }
        Err(CoreProblem::TooDeep(MAX_LEVELS))
    }

    /// Does the target have all that the local type has: every member with a type that matches in
    /// turn, every enumerator, the same size and sign of integers? Behind a pointer, structs need
    /// only agree by name, and a declaration stands for its definition.
    fn types_match(
        &mut self,
        mut local: TypeId,
        mut target: TypeId,
        mut behind_pointer: bool,
        levels: usize,
    ) -> Result<bool, CoreProblem> {
        if levels == 0 {
            return Err(CoreProblem::TooDeep(MAX_LEVELS));
        }
        for _ in 0..MAX_LEVELS {
            self.work.step()?;
            let (l, t) = (self.local.resolve(local), self.target.resolve(target));
            if !self.names_match(l.name_off(), t.name_off()) {
                return Ok(false);
            }
            let same = l.kind() == t.kind();
            match l.kind() {
                Kind::Void => return Ok(same),
                Kind::Fwd if same => return Ok(l.kflag() == t.kflag()),
                Kind::Fwd => return Ok(behind_pointer && declares(l, t)),
                Kind::Enum | Kind::Enum64 => {
                    return Ok(is_enum(t.kind()) && self.enums_match(l, t)?);
                }
                Kind::Struct | Kind::Union if behind_pointer => {
                    return Ok(same || t.kind() == Kind::Fwd && declares(t, l));
                }
                Kind::Struct | Kind::Union => return Ok(same && self.members_match(l, t, levels)?),
                Kind::Int => {
                    let signs = l.int_encoding().signed == t.int_encoding().signed;
                    return Ok(same && l.size() == t.size() && signs);
                }
                Kind::Ptr if same => {
                    behind_pointer = true;
                    (local, target) = (l.type_id(), t.type_id());
                }
                Kind::Array if same && l.array_len() == t.array_len() => {
                    (local, target) = (l.type_id(), t.type_id());
                }
                Kind::FuncProto if same && l.vlen() == t.vlen() => {
                    for (lp, tp) in l.params().zip(t.params()) {
                        if !self.types_match(lp.type_id, tp.type_id, behind_pointer, levels - 1)? {
                            return Ok(false);
                        }
                    }
                    (local, target) = (l.type_id(), t.type_id());
                }
                _ => return Ok(false),
            }
        }
        Err(CoreProblem::TooDeep(MAX_LEVELS))
    }

    fn names_match(&self, local: u32, target: u32) -> bool {
        essential_at(self.local, local) == essential_at(self.target, target)
    }

    fn enums_match(&mut self, l: Type<'_>, t: Type<'_>) -> Result<bool, CoreProblem> {
        if l.size() != t.size() || l.vlen() > t.vlen() {
            return Ok(false);
        }
        for wanted in l.enumerators() {
            let mut found = false;
            for on_offer in t.enumerators() {
                self.work.step()?;
                found = self.names_match(wanted.name_off, on_offer.name_off);
                if found {
                    break;
                }
            }
            if !found {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn members_match(
        &mut self,
        l: Type<'_>,
        t: Type<'_>,
        levels: usize,
    ) -> Result<bool, CoreProblem> {
        if l.vlen() > t.vlen() {
            return Ok(false);
        }
        for wanted in l.members() {
            let mut found = false;
            for on_offer in t.members() {
                self.work.step()?;
                // Anonymous members have no name to go by: each is tried in turn.
                found = self.names_match(wanted.name_off, on_offer.name_off)
                    && self.types_match(wanted.type_id, on_offer.type_id, false, levels - 1)?;
                if found {
                    break;
                }
            }
            if !found {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

/// Does the declaration stand for this definition?
fn declares(declaration: Type<'_>, definition: Type<'_>) -> bool {
    definition.kind() == if declaration.kflag() { Kind::Union } else { Kind::Struct }
}
