//! What the kernel asks of BTF that is loaded (`kernel/bpf/btf.c`, the `*_check_meta` and `*_resolve`
//! functions), beyond what makes sense of itself. Where kernels differ, the stricter rule counts.

use super::{Layout, Problem, invalid, refers};
use crate::{Btf, BtfError, Kind, Linkage, Type, TypeId};

/// `BTF_MAX_TYPE`.
const MAX_TYPE_ID: u32 = 0x000f_ffff;
/// `BTF_MAX_SIZE`.
const MAX_BLOB: usize = 16 << 20;
/// `KSYM_NAME_LEN` before 6.1, less the zero byte.
pub(crate) const MAX_IDENTIFIER: usize = 127;

/// A name that every kernel takes for a type, member, parameter or function. (Since 6.6 a dot may be in
/// it as well, and since 6.1 it may be longer.)
pub(crate) fn is_identifier(name: &[u8]) -> bool {
    let letter = |c: u8| c.is_ascii_alphabetic() || c == b'_';
    name.first().is_some_and(|&c| letter(c))
        && name.iter().all(|&c| letter(c) || c.is_ascii_digit())
        && name.len() <= MAX_IDENTIFIER
}

/// A name of a variable or section: with dots.
pub(crate) fn is_dotted_identifier(name: &[u8]) -> bool {
    let letter = |c: u8| c.is_ascii_alphabetic() || matches!(c, b'_' | b'.');
    name.first().is_some_and(|&c| letter(c))
        && name.iter().all(|&c| letter(c) || c.is_ascii_digit())
        && name.len() <= MAX_IDENTIFIER
}

pub(super) fn check_blob(btf: &Btf) -> Result<(), BtfError> {
    let last = TypeId(btf.type_count().saturating_sub(1));
    let fail = |what| Err(invalid(btf.ty(last), Problem::Kernel(what)));
    if last.0 > MAX_TYPE_ID {
        return fail("the kernel takes 1048575 types");
    }
    if btf.blob_len() > MAX_BLOB {
        return fail("the kernel takes blobs of 16 MiB");
    }
    check_pointer_rings(btf)
}

/// Pointers and qualifiers alone must not lead in a circle; with a struct between them they may.
fn check_pointer_rings(btf: &Btf) -> Result<(), BtfError> {
    let link =
        |ty: Type<'_>| matches!(ty.kind(), Kind::Ptr | Kind::Typedef) || ty.kind().is_qualifier();
    // Each link leads to one type, so a walk that meets a type of its own is a ring.
    let mut walked = vec![0u32; btf.type_count() as usize];
    for root in btf.types() {
        let mut ty = root;
        while let Some(walk @ 0) = walked.get_mut(ty.id().0 as usize)
            && link(ty)
        {
            *walk = root.id().0;
            ty = ty.target();
        }
        if link(ty) && walked.get(ty.id().0 as usize) == Some(&root.id().0) {
            return Err(invalid(ty, Problem::Kernel("pointers lead in a circle")));
        }
    }
    Ok(())
}

/// Prototypes with a parameter that has no name, by id.
pub(super) fn unnamed_protos(btf: &Btf) -> Vec<bool> {
    let mut unnamed = vec![false; btf.first_id().0 as usize];
    unnamed.extend(
        btf.types().map(|t| t.params().any(|p| p.name_off == 0 && p.type_id != TypeId::VOID)),
    );
    unnamed
}

pub(super) fn check(
    ty: Type<'_>,
    layout: &Layout<'_>,
    unnamed_protos: &[bool],
) -> Result<(), Problem> {
    check_words(ty)?;
    check_names(ty)?;
    // A prototype may leave names out, a function may not.
    let unnamed = unnamed_protos.get(ty.type_id().0 as usize) == Some(&true);
    rule(ty.kind() != Kind::Func || !unnamed, "a function's parameters must all have names")?;
    match ty.kind() {
        Kind::Int => {
            let e = ty.int_encoding();
            let flags = u8::from(e.signed) + u8::from(e.is_char) + u8::from(e.is_bool);
            rule(flags <= 1, "an integer is signed, a char or a bool, not two of these")
        }
        Kind::Array => {
            let index = ty.btf().resolve(ty.array_index_type());
            rule(is_regular(index), "an array's index must be an integer without odd bits")?;
            let element = ty.btf().resolve(ty.type_id());
            let odd = element.kind() == Kind::Int && !is_regular(element);
            rule(!odd, "an array's element must be no integer with odd bits")
        }
        Kind::Struct | Kind::Union => check_members(ty),
        Kind::Enum | Kind::Enum64 => {
            let size = ty.size();
            rule(
                size.is_power_of_two() && size <= 8,
                "an enumeration's size must be 1, 2, 4 or 8 bytes",
            )
        }
        Kind::Typedef | Kind::Const | Kind::Volatile | Kind::Restrict | Kind::TypeTag => {
            let tag = ty.target().kind() == Kind::TypeTag;
            rule(!tag || ty.kind() == Kind::TypeTag, "type tags stand before qualifiers")?;
            check_chain(ty)
        }
        Kind::Float => rule(
            matches!(ty.size(), 2 | 4 | 8 | 12 | 16),
            "a float's size must be 2, 4, 8, 12 or 16 bytes",
        ),
        Kind::Func => rule(ty.linkage() != Linkage::Extern, "a function must not be extern"),
        Kind::FuncProto => {
            let count = ty.vlen();
            if ty.type_id() != TypeId::VOID {
                layout.has_size(ty.type_id(), || "its return type".to_owned())?;
            }
            for (i, p) in ty.params().enumerate() {
                let dots = p.type_id == TypeId::VOID && p.name_off == 0 && i + 1 == count;
                if !dots && layout.size(p.type_id).is_none() {
                    return Err(Problem::NoSize { part: format!("parameter {}", i + 1) });
                }
            }
            Ok(())
        }
        Kind::Var => {
            rule(ty.linkage() != Linkage::Extern, "a variable must not be extern")?;
            layout.has_size(ty.type_id(), || "its type".to_owned())
        }
        Kind::Datasec => check_section(ty, layout),
        Kind::DeclTag if ty.target().kind() == Kind::Typedef || ty.target().kind() == Kind::Var => {
            rule(ty.component().is_none(), "a tag on a variable or typedef is on no part of it")
        }
        _ => Ok(()),
    }
}

/// Typedefs, qualifiers and type tags in a row: 32 at most.
fn check_chain(mut ty: Type<'_>) -> Result<(), Problem> {
    for _ in 0..32 {
        ty = ty.target();
        if ty.kind() != Kind::Typedef && !ty.kind().is_qualifier() {
            return Ok(());
        }
    }
    Err(Problem::Depth)
}

fn rule(ok: bool, text: &'static str) -> Result<(), Problem> {
    if ok { Ok(()) } else { Err(Problem::Kernel(text)) }
}

/// An integer of 1, 2, 4, 8 or 16 whole bytes?
fn is_regular(ty: Type<'_>) -> bool {
    let e = ty.int_encoding();
    ty.kind() == Kind::Int && e.bit_offset == 0 && matches!(e.bits, 8 | 16 | 32 | 64 | 128)
}

fn check_members(ty: Type<'_>) -> Result<(), Problem> {
    let offsets = || ty.members().map(|m| m.bit_offset);
    let union = ty.kind() == Kind::Union;
    rule(!union || offsets().all(|at| at == 0), "a union's members start at 0")?;
    rule(offsets().is_sorted(), "a struct's members must be sorted by offset")?;
    for m in ty.members() {
        let target = ty.btf().resolve(m.type_id);
        let byte = m.bit_offset.is_multiple_of(8);
        match target.kind() {
            Kind::Int if ty.kflag() => {
                rule(is_regular(target), "a bitfield's integer must have no odd bits")?;
                let fits = m.bitfield_size <= target.int_encoding().bits.into();
                rule(fits, "a bitfield must not be wider than its type")?;
                rule(m.bitfield_size != 0 || byte, UNALIGNED)?;
            }
            // The integer itself says where in its storage it is.
            Kind::Int => {}
            Kind::Enum | Kind::Enum64 => {
                let text = "a bitfield of an enumeration has at most 32 bits";
                rule(m.bitfield_size <= 32, text)?;
                rule(m.bitfield_size != 0 || byte, UNALIGNED)?;
            }
            _ => {
                rule(m.bitfield_size == 0, "only integers and enumerations can be bitfields")?;
                rule(byte, UNALIGNED)?;
            }
        }
    }
    Ok(())
}

const UNALIGNED: &str = "a member that is no bitfield must start at a byte";

fn check_section(ty: Type<'_>, layout: &Layout<'_>) -> Result<(), Problem> {
    let whole = u64::from(ty.size());
    if whole == 0 {
        return Err(Problem::Kernel("a section must not be empty"));
    }
    let mut last_end = 0;
    for v in ty.section_vars() {
        let var = ty.btf().ty(v.type_id);
        if var.kind() != Kind::Var {
            return Err(refers("a variable", v.type_id, var.kind()));
        }
        let part = || format!("variable `{}`", var.name());
        let end = u64::from(v.offset) + u64::from(v.size);
        if v.offset < last_end {
            return Err(Problem::Kernel("a section's variables must be sorted and apart"));
        }
        let Some(size) = layout.size(v.type_id) else {
            return Err(Problem::NoSize { part: part() });
        };
        if v.size == 0 || size > v.size.into() {
            return Err(Problem::Room { part: part(), room: v.size, size });
        }
        if end > whole {
            return Err(Problem::Outside { part: part(), end: end * 8, bits: whole * 8 });
        }
        // Inside `whole`, so it fits.
        last_end = v.offset + v.size;
    }
    Ok(())
}

/// What means nothing for a kind must be zero.
fn check_words(ty: Type<'_>) -> Result<(), Problem> {
    let word = |at| ty.word(at);
    let unused = match ty.kind() {
        Kind::Array | Kind::Fwd => word(2),
        Kind::Int => word(3) & 0xf800_0000,
        _ => 0,
    };
    rule(unused == 0, "bits are set that mean nothing for this kind")?;
    let info = ty.word(1);
    let kflag = matches!(
        ty.kind(),
        Kind::Struct
            | Kind::Union
            | Kind::Fwd
            | Kind::Enum
            | Kind::Enum64
            | Kind::DeclTag
            | Kind::TypeTag
    );
    let vlen = matches!(
        ty.kind(),
        Kind::Struct
            | Kind::Union
            | Kind::Enum
            | Kind::Enum64
            | Kind::Func
            | Kind::FuncProto
            | Kind::Datasec
    );
    let known = 0x1f00_0000 | u32::from(kflag) << 31 | if vlen { 0xffff } else { 0 };
    rule(info & !known == 0, "bits are set that mean nothing for this kind")
}

fn check_names(ty: Type<'_>) -> Result<(), Problem> {
    let text = |offset| String::from_utf8_lossy(ty.btf().bytes_at(offset).unwrap_or(&[]));
    let bad = |what, offset| Problem::Name { what, name: text(offset).into_owned() };
    let bytes = |offset| ty.btf().bytes_at(offset).unwrap_or(&[]);
    let own = ty.name_bytes();
    let fits = match name_rule(ty.kind()) {
        NameRule::Any => true,
        NameRule::None => ty.name_off() == 0,
        NameRule::Some => !own.is_empty(),
        NameRule::Identifier => is_identifier(own),
        NameRule::MaybeIdentifier => ty.name_off() == 0 || is_identifier(own),
        NameRule::Dotted => is_dotted_identifier(own),
    };
    if !fits {
        return Err(bad("its name", ty.name_off()));
    }
    for m in ty.members() {
        if m.name_off != 0 && !is_identifier(bytes(m.name_off)) {
            return Err(bad("member", m.name_off));
        }
    }
    if let Some(e) = ty.enumerators().find(|e| !is_identifier(bytes(e.name_off))) {
        return Err(bad("value", e.name_off));
    }
    let unnamed = |p: &crate::Param<'_>| p.name_off == 0;
    if let Some(p) = ty.params().find(|p| !unnamed(p) && !is_identifier(bytes(p.name_off))) {
        return Err(bad("parameter", p.name_off));
    }
    Ok(())
}

/// What the kernel asks of the name of a kind.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum NameRule {
    /// Nothing.
    Any,
    /// There must be none.
    None,
    /// There must be one.
    Some,
    /// An identifier.
    Identifier,
    /// An identifier or none.
    MaybeIdentifier,
    /// An identifier in which dots count as letters.
    Dotted,
}

/// Which rule is which kind's.
pub(crate) fn name_rule(kind: Kind) -> NameRule {
    match kind {
        Kind::Void | Kind::Int | Kind::Float => NameRule::Any,
        Kind::Ptr
        | Kind::Array
        | Kind::Volatile
        | Kind::Const
        | Kind::Restrict
        | Kind::FuncProto => NameRule::None,
        Kind::TypeTag | Kind::DeclTag => NameRule::Some,
        Kind::Fwd | Kind::Typedef | Kind::Func => NameRule::Identifier,
        Kind::Struct | Kind::Union | Kind::Enum | Kind::Enum64 => NameRule::MaybeIdentifier,
        Kind::Var | Kind::Datasec => NameRule::Dotted,
    }
}
