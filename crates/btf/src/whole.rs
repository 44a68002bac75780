//! Merging whole blobs, as a linker of object files does: all types of each, then forward declarations
//! given the types that they stand for.
//!
//! What comes out is canonical: copied once more, on its own, it gets the same ids and strings. That
//! holds because a type is always copied behind what it refers to, and because a group of types that
//! refer to each other keeps its order.

use std::collections::HashMap;

use crate::build::BtfBuilder;
use crate::merge::SourceMap;
use crate::{Btf, BtfError, Kind, Linkage, Type, TypeId};

impl BtfBuilder {
    /// Copies all types of a blob but functions, variables and sections, which a linker puts together by
    /// itself. What these are made of is copied as well; prototypes of functions with code with a name
    /// for every parameter, see [`BtfBuilder::import_func`].
    ///
    /// # Errors
    ///
    /// The result would be too large, or the map belongs to another blob.
    pub fn import_all(&mut self, map: &mut SourceMap, btf: &Btf) -> Result<(), BtfError> {
        for ty in btf.types() {
            match ty.kind() {
                Kind::Func if ty.linkage() != Linkage::Extern => {
                    self.copy_proto(map, btf, ty.type_id().0)?;
                }
                Kind::Func | Kind::Var => {
                    self.import(map, btf, ty.type_id())?;
                }
                // Tags come with what they are on.
                Kind::Datasec | Kind::DeclTag => {}
                _ => {
                    self.import(map, btf, ty.id())?;
                }
            }
        }
        Ok(())
    }
}

/// Rounds of [`resolve_forwards`]. Each can make two structs one, which a forward declaration then
/// stands for; real code takes two.
const MAX_ROUNDS: usize = 8;

/// A builder whose forward declarations are resolved, see [`resolve_forwards`].
#[derive(Debug)]
pub struct Resolved {
    /// The types; more may be added.
    pub builder: BtfBuilder,
    /// The same, to look at.
    pub btf: Btf,
    /// The new id of each type, by its old one; `None` when all stayed as they were.
    pub ids: Option<Vec<TypeId>>,
}

impl Resolved {
    /// The new id of what had this id.
    pub fn id(&self, old: TypeId) -> TypeId {
        match &self.ids {
            None => old,
            Some(ids) => ids.get(old.0 as usize).copied().unwrap_or(TypeId::VOID),
        }
    }
}

/// Gives every forward declaration (and every enumeration without values) the type that it stands for:
/// the only one of its kind and name. Types that become equal by that are merged. There are no
/// functions, variables and sections yet.
///
/// # Errors
///
/// What was added did not fit.
pub fn resolve_forwards(builder: BtfBuilder) -> Result<Resolved, BtfError> {
    let btf = builder.snapshot()?;
    let mut resolved = Resolved { builder, btf, ids: None };
    for _ in 0..MAX_ROUNDS {
        let meant = meanings(&resolved.btf);
        if meant.is_empty() {
            break;
        }
        let patched = resolved.btf.with_targets(&meant)?;
        let mut builder = BtfBuilder::new();
        let mut map = SourceMap::new(&patched);
        for ty in patched.types().filter(|ty| !meant.contains_key(&ty.id())) {
            if ty.kind() != Kind::DeclTag {
                builder.import(&mut map, &patched, ty.id())?;
            }
        }
        let new = |id: TypeId| {
            let id = meant.get(&id).copied().unwrap_or(id);
            map.get(id).unwrap_or(TypeId::VOID)
        };
        let ids = match &resolved.ids {
            None => (0..patched.type_count()).map(|id| new(TypeId(id))).collect(),
            Some(before) => before.iter().map(|&id| new(id)).collect(),
        };
        let btf = builder.snapshot()?;
        resolved = Resolved { builder, btf, ids: Some(ids) };
    }
    Ok(resolved)
}

/// What each declaration without a body stands for, where that is clear.
fn meanings(btf: &Btf) -> HashMap<TypeId, TypeId> {
    let mut wanted: HashMap<(Kind, &[u8]), Option<TypeId>> = HashMap::new();
    let forwards: Vec<_> = btf.types().filter_map(|ty| Some((ty.id(), forward(ty)?))).collect();
    if forwards.is_empty() {
        return HashMap::new();
    }
    for &(_, key) in &forwards {
        wanted.insert(key, None);
    }
    let mut ambiguous = Vec::new();
    for ty in btf.types().filter(|ty| ty.vlen() > 0 || ty.size() > 0 && !is_enum(ty.kind())) {
        let kind = match ty.kind() {
            kind @ (Kind::Struct | Kind::Union) => kind,
            kind if is_enum(kind) => Kind::Enum,
            _ => continue,
        };
        let key = (kind, ty.name_bytes());
        match wanted.get_mut(&key) {
            Some(Some(_)) => ambiguous.push(key),
            Some(slot) => *slot = Some(ty.id()),
            None => {}
        }
    }
    for key in ambiguous {
        wanted.remove(&key);
    }
    let meant = |key| wanted.get(key).copied().flatten();
    forwards.iter().filter_map(|(id, key)| Some((*id, meant(key)?))).collect()
}

fn is_enum(kind: Kind) -> bool {
    matches!(kind, Kind::Enum | Kind::Enum64)
}

/// What a forward declaration declares, by kind and name.
fn forward(ty: Type<'_>) -> Option<(Kind, &[u8])> {
    let kind = match ty.kind() {
        Kind::Fwd if ty.kflag() => Kind::Union,
        Kind::Fwd => Kind::Struct,
        Kind::Enum if ty.vlen() == 0 => Kind::Enum,
        _ => return None,
    };
    Some((kind, ty.name_bytes())).filter(|(_, name)| !name.is_empty())
}

#[cfg(test)]
mod tests;
