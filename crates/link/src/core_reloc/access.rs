//! Access strings: parsed against the object's BTF, and printed as C.

use bpfweld_btf::{Btf, Kind, Type, TypeId};
use bpfweld_object::CoreReloc;

use super::error::CoreProblem;
use super::targets::is_enum;
use super::{CoreKind, value};

/// Indices that an access string, or the path found for it, may have (libbpf's limit).
pub(super) const MAX_STEPS: usize = 64;

/// A way from a root type to one of its parts. Built from an access string for the object's own
/// type, and by `matching` for a target's.
#[derive(Clone, Debug)]
pub(super) struct Path<'a> {
    pub(super) btf: &'a Btf,
    pub(super) pointer_size: u32,
    /// The root, as in the record: typedefs and qualifiers still on it.
    pub(super) root: TypeId,
    /// Only what means something in C: named members and array elements. Empty for types.
    pub(super) steps: Vec<Step<'a>>,
    /// Steps through anonymous members included.
    pub(super) raw_len: usize,
    /// Of the part, from the start of the root.
    pub(super) bit_offset: u64,
}

/// One step of a [`Path`].
#[derive(Clone, Copy, Debug)]
pub(super) struct Step<'a> {
    /// The struct or union that holds the member; the type of the array element; the enumeration.
    pub(super) type_id: TypeId,
    /// Index of the member, element or enumerator.
    pub(super) index: u32,
    /// Name of the member or enumerator; `None` for an element. The first step of a field's path
    /// is an element: a pointer to the root type counts as an array of it.
    pub(super) name: Option<&'a [u8]>,
}

impl<'a> Path<'a> {
    pub(super) fn new(btf: &'a Btf, pointer_size: u32, root: TypeId) -> Self {
        Self { btf, pointer_size, root, steps: Vec::new(), raw_len: 0, bit_offset: 0 }
    }

    pub(super) fn size_of(&self, id: TypeId) -> Result<u32, CoreProblem> {
        value::size_of(self.btf, id, self.pointer_size)
    }

    /// Adds the offset of an array element.
    pub(super) fn advance(&mut self, index: u32, element: TypeId) -> Result<(), CoreProblem> {
        let size = self.size_of(element)?;
        // 32 bits times 32 bits times 8: the sum over 64 steps stays below 2^64 only if checked.
        let bits = u64::from(index).checked_mul(u64::from(size) * 8);
        self.bit_offset = bits
            .and_then(|bits| self.bit_offset.checked_add(bits))
            .filter(|&at| at <= u32::MAX.into())
            .ok_or(CoreProblem::Range { value: index.into(), room: "type as an array index" })?;
        Ok(())
    }

    /// Is an array that the last step led to a flexible one: of no length, and the last member?
    /// Any index is inside it.
    pub(super) fn is_flexible(&self, array: Type<'_>) -> bool {
        let Some(step) = self.steps.last() else { return false };
        let members = self.btf.ty(step.type_id).members().len();
        step.name.is_some() && array.array_len() == 0 && step.index as usize + 1 == members
    }
}

/// Parses the access string of a record of the object's own types.
pub(super) fn parse<'a>(
    btf: &'a Btf,
    reloc: &CoreReloc,
    kind: CoreKind,
) -> Result<Path<'a>, CoreProblem> {
    let text = btf.str_at(reloc.access_off);
    let malformed =
        |problem: &str| CoreProblem::Access { text: text.into(), problem: problem.into() };
    if !btf.contains(reloc.type_id) {
        return Err(malformed("its root type does not exist"));
    }
    // BPF is a 64-bit machine, whatever the kernel is.
    let mut path = Path::new(btf, 8, reloc.type_id);
    let indices = parse_indices(text).map_err(malformed)?;
    if !kind.is_field() && !kind.is_enumerator() {
        return match indices.as_slice() {
            [0] => Ok(path),
            _ => Err(malformed("of a type it must be \"0\"")),
        };
    }
    let (&first, rest) = indices.split_first().ok_or_else(|| malformed("it is empty"))?;
    let root = btf.resolve(reloc.type_id);
    path.raw_len = indices.len();

    if kind.is_enumerator() {
        if !is_enum(root.kind()) || !rest.is_empty() {
            return Err(malformed("it must be one index into an enumeration"));
        }
        let enumerator = root.enumerators().nth(first as usize);
        let name_off = enumerator.ok_or_else(|| malformed("there are fewer enumerators"))?.name_off;
        let name = Some(btf.bytes_at(name_off).unwrap_or_default());
        path.steps.push(Step { type_id: root.id(), index: first, name });
        return Ok(path);
    }

    path.steps.push(Step { type_id: root.id(), index: first, name: None });
    path.advance(first, root.id())?;
    let mut id = root.id();
    for &index in rest {
        let ty = btf.resolve(id);
        match ty.kind() {
            Kind::Struct | Kind::Union => {
                let member = ty.members().nth(index as usize);
                let member = member.ok_or_else(|| malformed("a type has fewer members"))?;
                path.bit_offset += u64::from(member.bit_offset);
                if member.name_off != 0 {
                    let name = btf.bytes_at(member.name_off).filter(|name| !name.is_empty());
                    let name = name.ok_or_else(|| malformed("a member has an empty name"))?;
                    path.steps.push(Step { type_id: ty.id(), index, name: Some(name) });
                }
                id = member.type_id;
            }
            Kind::Array => {
                if index >= ty.array_len() && !path.is_flexible(ty) {
                    return Err(malformed("an array has fewer elements"));
                }
                id = btf.resolve(ty.type_id()).id();
                path.steps.push(Step { type_id: id, index, name: None });
                path.advance(index, id)?;
            }
            _ => return Err(malformed("it goes into a type that has no members or elements")),
        }
    }
    Ok(path)
}

fn parse_indices(text: &str) -> Result<Vec<u32>, &'static str> {
    let mut indices = Vec::new();
    for part in text.split(':') {
        if indices.len() == MAX_STEPS {
            return Err("it has more than 64 indices");
        }
        let digits = !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
        let index = part.parse::<u32>().ok().filter(|&index| digits && index <= i32::MAX as u32);
        indices.push(index.ok_or("it must be numbers with colons between them")?);
    }
    Ok(indices)
}

/// What a record is about, as in `struct task_struct, member a.b[3].c (0:1:2:3:4)`.
pub(super) fn describe(btf: &Btf, reloc: &CoreReloc) -> String {
    let root = type_label(btf.ty(reloc.type_id));
    let text = btf.str_at(reloc.access_off);
    let path =
        CoreKind::from_raw(reloc.kind).and_then(|kind| Some((kind, parse(btf, reloc, kind).ok()?)));
    match path {
        Some((kind, path)) if kind.is_field() && !path.steps.is_empty() => {
            let member = member_path(&path.steps);
            match member.is_empty() {
                true => format!("{root} ({text})"),
                false => format!("{root}, member {member} ({text})"),
            }
        }
        Some((kind, path)) if kind.is_enumerator() => {
            let name = path.steps.first().and_then(|step| step.name).unwrap_or_default();
            format!("{root}, enumerator {} ({text})", String::from_utf8_lossy(name))
        }
        Some(_) => root,
        None => format!("{root}, access {text:?}"),
    }
}

fn member_path(steps: &[Step<'_>]) -> String {
    let mut out = String::new();
    for (i, step) in steps.iter().enumerate() {
        match step.name {
            Some(name) => {
                if i > 1 || steps.first().is_some_and(|first| first.index > 0) {
                    out.push('.');
                }
                out.push_str(&String::from_utf8_lossy(name));
            }
            None if i == 0 && step.index == 0 => {}
            None => out.push_str(&format!("[{}]", step.index)),
        }
    }
    out
}

/// A type as C names it.
pub(super) fn type_label(ty: Type<'_>) -> String {
    let name = if ty.name_off() == 0 { "(anonymous)" } else { ty.name() };
    match ty.kind() {
        Kind::Struct => format!("struct {name}"),
        Kind::Union => format!("union {name}"),
        Kind::Enum | Kind::Enum64 => format!("enum {name}"),
        Kind::Fwd if ty.kflag() => format!("union {name} (declared only)"),
        Kind::Fwd => format!("struct {name} (declared only)"),
        Kind::Typedef => format!("typedef {name}"),
        Kind::Int | Kind::Float => name.to_owned(),
        Kind::Void => "void".to_owned(),
        _ => format!("type [{}]", ty.id().0),
    }
}
