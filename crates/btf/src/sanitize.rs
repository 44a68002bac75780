//! BTF for kernels that lack parts of it: each kind that is not known becomes one that is, of the same
//! size, so that everything else stays as it is. Type ids and string offsets do not change, so func_info,
//! line_info and the types of maps go on to hold.
//!
//! | lacking | what becomes of it |
//! |---|---|
//! | `func` | FUNC → TYPEDEF, FUNC_PROTO → ENUM without values, bitfields are left out of structs, kind flags cleared |
//! | `func_global` | linkage of functions → static |
//! | `datasec` | VAR → INT of one byte, DATASEC → STRUCT of the variables' types |
//! | `float` | FLOAT → STRUCT without members |
//! | `decl_tag` | DECL_TAG → INT of one byte |
//! | `type_tag` | TYPE_TAG → `const` |
//! | `enum64` | ENUM64 → INT |
//! | `enum_kflag`, `tag_kflag` | kind flag of enumerations, of tags cleared |
//!
//! ENUM64 could become a UNION as well, as libbpf has it. An integer still is one when it is the
//! parameter of a global function, or a bitfield; a union is not.
//!
//! What no kernel takes is mended too, whatever its features: names that are no identifiers (Rust has
//! these), functions' parameters without a name, empty or unsorted sections, `extern` functions and variables.

use crate::build::BtfBuilder;
use crate::kind::RECORD_HEAD;
use crate::merge::mend_name;
use crate::validate::{NameRule, is_dotted_identifier, is_identifier, name_rule};
use crate::{Btf, Kind, Linkage, Type, TypeId, order};

/// Which parts of BTF a kernel knows. BTF itself arrived with 4.18.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct BtfFeatures {
    /// FUNC and FUNC_PROTO, and kind flags on structs and forward declarations (5.0).
    pub func: bool,
    /// VAR and DATASEC (5.2).
    pub datasec: bool,
    /// Linkage of functions (5.6).
    pub func_global: bool,
    /// FLOAT (5.13).
    pub float: bool,
    /// DECL_TAG (5.16).
    pub decl_tag: bool,
    /// TYPE_TAG (5.17).
    pub type_tag: bool,
    /// ENUM64 (6.0).
    pub enum64: bool,
    /// Kind flag of enumerations: their values are signed (6.0).
    pub enum_kflag: bool,
    /// Kind flag of tags: they are attributes (6.15).
    pub tag_kflag: bool,
}

impl BtfFeatures {
    /// A kernel that knows everything that this crate does.
    pub const ALL: Self = Self {
        func: true,
        datasec: true,
        func_global: true,
        float: true,
        decl_tag: true,
        type_tag: true,
        enum64: true,
        enum_kflag: true,
        tag_kflag: true,
    };

    /// The first kernel with BTF.
    pub const NONE: Self = Self {
        func: false,
        datasec: false,
        func_global: false,
        float: false,
        decl_tag: false,
        type_tag: false,
        enum64: false,
        enum_kflag: false,
        tag_kflag: false,
    };
}

impl BtfFeatures {
    /// The features that some type of a blob rests on. What a kernel thinks of the others makes no
    /// difference to [`sanitize`].
    pub fn used_by(btf: &Btf) -> Self {
        let mut used = Self::NONE;
        for ty in btf.types() {
            match ty.kind() {
                Kind::Func => {
                    used.func = true;
                    used.func_global |= ty.linkage() != Linkage::Static;
                }
                Kind::FuncProto => used.func = true,
                Kind::Struct | Kind::Union | Kind::Fwd => used.func |= ty.kflag(),
                Kind::Var | Kind::Datasec => used.datasec = true,
                Kind::Float => used.float = true,
                Kind::Enum => used.enum_kflag |= ty.kflag(),
                Kind::Enum64 => {
                    used.enum64 = true;
                    used.enum_kflag |= ty.kflag();
                }
                Kind::DeclTag => {
                    used.decl_tag = true;
                    used.tag_kflag |= ty.kflag();
                }
                Kind::TypeTag => {
                    used.type_tag = true;
                    used.tag_kflag |= ty.kflag();
                }
                _ => {}
            }
        }
        used
    }
}

/// The same types for a kernel with these features. For a stand-alone blob that passes
/// [`Btf::validate`]; split BTF comes back as it is.
pub fn sanitize(btf: &Btf, features: &BtfFeatures) -> Btf {
    if btf.base().is_some() {
        return btf.clone();
    }
    let mut has_code = vec![false; btf.type_count() as usize];
    for func in btf.types().filter(|t| t.kind() == Kind::Func) {
        if let Some(proto) = has_code.get_mut(func.type_id().0 as usize) {
            *proto = true;
        }
    }
    let mut sanitizer =
        Sanitizer { btf, features: *features, has_code, out: BtfBuilder::with_strings_of(btf) };
    for ty in btf.types() {
        let record = sanitizer.record(ty);
        // One record for each, or the ids would change; `push` fails beyond what a blob can hold.
        if sanitizer.out.push(&record).is_err() {
            return btf.clone();
        }
    }
    // Every reference is one of the original's.
    sanitizer.out.finish().unwrap_or_else(|_| btf.clone())
}

struct Sanitizer<'a> {
    btf: &'a Btf,
    features: BtfFeatures,
    /// By id: is it the prototype of a FUNC?
    has_code: Vec<bool>,
    out: BtfBuilder,
}

impl Sanitizer<'_> {
    /// The kind that a type will have.
    fn kind(&self, ty: Type<'_>) -> Kind {
        let f = &self.features;
        match ty.kind() {
            Kind::Func if !f.func || ty.linkage() == Linkage::Extern => Kind::Typedef,
            Kind::FuncProto if !f.func => Kind::Enum,
            Kind::Var if !f.datasec || is_unfit_var(ty) => Kind::Int,
            Kind::Datasec if !f.datasec || is_unfit_section(ty) => Kind::Struct,
            Kind::Float if !f.float => Kind::Struct,
            Kind::DeclTag if !f.decl_tag || !self.has_target(ty) => Kind::Int,
            Kind::TypeTag if !f.type_tag => Kind::Const,
            Kind::Enum64 if !f.enum64 => Kind::Int,
            kind => kind,
        }
    }

    /// Is what a declaration tag is on still there, and something that may have tags?
    fn has_target(&self, tag: Type<'_>) -> bool {
        let target = tag.target();
        let parts = match target.kind() {
            Kind::Struct | Kind::Union if self.loses_members(target) => 0,
            Kind::Struct | Kind::Union => target.vlen(),
            Kind::Func if self.kind(target) == Kind::Func => target.target().vlen(),
            Kind::Var if self.kind(target) == Kind::Var => 0,
            Kind::Typedef => 0,
            // A tag on a tag too: it may even be itself.
            _ => return false,
        };
        tag.component().is_none_or(|component| (component as usize) < parts)
    }

    /// Without kind flags there are no bitfields as clang writes them.
    fn loses_members(&self, ty: Type<'_>) -> bool {
        !self.features.func && ty.kflag()
    }

    fn record(&mut self, ty: Type<'_>) -> Vec<u32> {
        let f = self.features;
        let kind = self.kind(ty);
        let third = ty.word(2);
        let name = self.name(ty, kind);
        match (ty.kind(), kind) {
            (Kind::Var | Kind::DeclTag, Kind::Int) => head(name, Kind::Int, 0, false, 1, [8]),
            (Kind::Enum64, Kind::Int) => {
                let bits = ty.size().saturating_mul(8).min(64);
                let signed = u32::from(ty.kflag()) << 24;
                head(name, Kind::Int, 0, false, ty.size(), [signed | bits])
            }
            (Kind::Datasec, Kind::Struct) => self.section(ty, name),
            (Kind::Float, Kind::Struct) => head(name, Kind::Struct, 0, false, third, []),
            (Kind::FuncProto, Kind::Enum) => head(name, Kind::Enum, 0, false, 4, []),
            (Kind::Func, Kind::Func) => {
                let linkage = if f.func_global { ty.linkage() } else { Linkage::Static };
                head(name, Kind::Func, linkage as usize, false, third, [])
            }
            (Kind::FuncProto, _) => self.proto(ty),
            (Kind::Struct | Kind::Union, _) => self.composite(ty, name),
            (Kind::Enum, _) => {
                let mut out = head(name, kind, ty.vlen(), ty.kflag() && f.enum_kflag, third, []);
                out.extend(ty.raw().skip(RECORD_HEAD));
                self.mend_values(ty, &mut out, 2);
                out
            }
            (Kind::Enum64, _) => {
                let mut out = head(name, kind, ty.vlen(), ty.kflag() && f.enum_kflag, third, []);
                out.extend(ty.raw().skip(RECORD_HEAD));
                self.mend_values(ty, &mut out, 3);
                out
            }
            (Kind::Datasec, _) => {
                let rest = ty.raw().skip(RECORD_HEAD);
                head(name, kind, ty.vlen(), false, third, rest)
            }
            _ => {
                let kflag = match kind {
                    Kind::Fwd => f.func,
                    Kind::TypeTag | Kind::DeclTag => f.tag_kflag,
                    _ => false,
                };
                let rest = ty.raw().skip(RECORD_HEAD);
                head(name, kind, 0, ty.kflag() && kflag, third, rest)
            }
        }
    }

    /// Offset of a name that the new kind may have.
    fn name(&mut self, ty: Type<'_>, kind: Kind) -> u32 {
        // What a C keyword names ("double") is no struct.
        if ty.kind() == Kind::Float && kind == Kind::Struct {
            return 0;
        }
        let name = ty.name_bytes();
        match name_rule(kind) {
            NameRule::None => 0,
            NameRule::MaybeIdentifier if name.is_empty() => 0,
            NameRule::Any => ty.name_off(),
            NameRule::Some if !name.is_empty() => ty.name_off(),
            NameRule::Dotted if is_dotted_identifier(name) => ty.name_off(),
            NameRule::Dotted => self.out.add_str(&mend_name(name, true)),
            NameRule::Identifier | NameRule::MaybeIdentifier | NameRule::Some => {
                self.identifier(ty.name_off(), name)
            }
        }
    }

    /// Offset of a name that is an identifier, or has been made one.
    fn identifier(&mut self, offset: u32, name: &[u8]) -> u32 {
        match is_identifier(name) {
            true => offset,
            false => self.out.add_str(&mend_name(name, false)),
        }
    }

    fn part_name(&mut self, offset: u32) -> u32 {
        self.identifier(offset, self.btf.bytes_at(offset).unwrap_or(&[]))
    }

    fn mend_values(&mut self, ty: Type<'_>, record: &mut [u32], step: usize) {
        let names = record.get_mut(RECORD_HEAD..).unwrap_or(&mut []).iter_mut().step_by(step);
        for (name, value) in names.zip(ty.enumerators()) {
            *name = self.part_name(value.name_off);
        }
    }

    fn proto(&mut self, ty: Type<'_>) -> Vec<u32> {
        let has_code = self.has_code.get(ty.id().0 as usize) == Some(&true);
        let mut out = head(0, Kind::FuncProto, ty.vlen(), false, ty.type_id().0, []);
        for (i, p) in ty.params().enumerate() {
            let name = match p.name_off {
                0 if has_code && p.type_id != TypeId::VOID => {
                    self.out.add_str(format!("arg{i}").as_bytes())
                }
                0 => 0,
                offset => self.part_name(offset),
            };
            out.extend([name, p.type_id.0]);
        }
        out
    }

    fn composite(&mut self, ty: Type<'_>, name: u32) -> Vec<u32> {
        let kflag = ty.kflag() && self.features.func;
        let mut parts = Vec::with_capacity(ty.vlen() * 3);
        for m in ty.members() {
            if ty.kflag() && !kflag && m.bitfield_size != 0 {
                continue;
            }
            let name = if m.name_off == 0 { 0 } else { self.part_name(m.name_off) };
            let width = if kflag { m.bitfield_size << 24 } else { 0 };
            parts.extend([name, m.type_id.0, width | m.bit_offset]);
        }
        head(name, ty.kind(), parts.len() / 3, kflag, ty.size(), parts)
    }

    /// A section as a struct: its variables become members.
    fn section(&mut self, ty: Type<'_>, name: u32) -> Vec<u32> {
        let mut vars: Vec<_> = ty.section_vars().collect();
        order::sort_by_key(&mut vars, |v| v.offset);
        let mut size = u64::from(ty.size());
        let mut parts = Vec::with_capacity(vars.len() * 3);
        for v in vars {
            let var = self.btf.ty(v.type_id);
            let bits = v.offset.checked_mul(8);
            // Functions are listed in sections of externs; they have no place in a value.
            let (Kind::Var, Some(bits)) = (var.kind(), bits) else { continue };
            if v.size == 0 {
                continue;
            }
            let fits = var.byte_size().is_some_and(|size| size <= v.size.into());
            // The VAR itself is an integer of one byte by now, unless the kernel knows VARs.
            let type_id = match fits && !is_unfit_var(var) {
                true => var.type_id(),
                false if self.kind(var) == Kind::Int => v.type_id,
                false => continue,
            };
            size = size.max(u64::from(v.offset) + u64::from(v.size));
            parts.extend([self.part_name(var.name_off()), type_id.0, bits]);
        }
        match u32::try_from(size) {
            Ok(size) => head(name, Kind::Struct, parts.len() / 3, false, size, parts),
            Err(_) => head(name, Kind::Struct, 0, false, ty.size(), []),
        }
    }
}

/// A variable that no kernel takes?
fn is_unfit_var(var: Type<'_>) -> bool {
    let target = var.btf().resolve(var.type_id());
    var.linkage() == Linkage::Extern
        || target.kind() == Kind::FuncProto
        || target.byte_size().is_none()
}

/// A section that no kernel takes?
fn is_unfit_section(ty: Type<'_>) -> bool {
    let mut last_end = 0;
    let fits = ty.section_vars().all(|v| {
        let var = ty.btf().ty(v.type_id);
        let sorted = u64::from(v.offset) >= last_end && v.size != 0;
        last_end = u64::from(v.offset) + u64::from(v.size);
        let room = var.byte_size().is_some_and(|size| size <= v.size.into());
        let inside = last_end <= ty.size().into();
        var.kind() == Kind::Var && !is_unfit_var(var) && sorted && room && inside
    });
    ty.size() == 0 || !fits
}

fn head(
    name: u32,
    kind: Kind,
    vlen: usize,
    kflag: bool,
    third: u32,
    rest: impl IntoIterator<Item = u32>,
) -> Vec<u32> {
    // At most as many parts as the original had, whose number has 16 bits.
    let vlen = u32::from(u16::try_from(vlen).unwrap_or(u16::MAX));
    let mut out = vec![name, u32::from(kflag) << 31 | (kind as u32) << 24 | vlen, third];
    out.extend(rest);
    out
}

#[cfg(test)]
mod tests;
