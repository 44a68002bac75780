//! What the reader asks BTF: extern functions and variables, sections and functions by name.

use foldhash::{HashMap, HashMapExt as _};

use bpfweld_btf::{Btf, Kind, Linkage, Type, TypeId};

/// Names of a [`Btf`] that are asked for when an object is opened.
#[derive(Default)]
pub(crate) struct TypeIndex<'a> {
    pub(crate) btf: Option<&'a Btf>,
    /// FUNCs and VARs of linkage extern.
    externs: HashMap<&'a str, TypeId>,
    sections: HashMap<&'a str, TypeId>,
    /// DATASEC of each FUNC or VAR of linkage extern that has one.
    section_of: HashMap<TypeId, &'a str>,
}

impl<'a> TypeIndex<'a> {
    pub(crate) fn new(btf: Option<&'a Btf>) -> Self {
        let mut index = Self { btf, ..Self::default() };
        for ty in btf.iter().flat_map(|btf| btf.landmarks()) {
            match ty.kind() {
                Kind::Datasec => {
                    index.sections.entry(ty.name()).or_insert(ty.id());
                }
                _ => {
                    index.externs.entry(ty.name()).or_insert(ty.id());
                }
            }
        }
        if !index.externs.is_empty() {
            let sections = btf.iter().flat_map(|btf| btf.landmarks());
            sections.for_each(|ty| index.note_externs(ty));
        }
        index
    }

    fn note_externs(&mut self, datasec: Type<'a>) {
        for var in datasec.section_vars() {
            let ty = datasec.btf().ty(var.type_id);
            if ty.linkage() == Linkage::Extern {
                self.section_of.insert(var.type_id, datasec.name());
            }
        }
    }

    /// The FUNC or VAR of linkage extern with this name.
    pub(crate) fn external(&self, name: &str) -> Option<Type<'a>> {
        Some(self.btf?.ty(*self.externs.get(name)?))
    }

    /// Name of the DATASEC that lists an extern.
    pub(crate) fn section_of(&self, external: TypeId) -> Option<&'a str> {
        self.section_of.get(&external).copied()
    }

    /// The DATASEC with this name.
    pub(crate) fn section(&self, name: &str) -> Option<Type<'a>> {
        Some(self.btf?.ty(*self.sections.get(name)?))
    }
}

/// The FUNCs of a [`Btf`] by name.
pub(crate) struct FunctionTypes<'a> {
    pub(crate) btf: Option<&'a Btf>,
    /// FUNCs that are defined here: of linkage static, and global.
    functions: HashMap<(&'a str, bool), Option<TypeId>>,
}

impl<'a> FunctionTypes<'a> {
    pub(crate) fn new(btf: Option<&'a Btf>) -> Self {
        let mut functions = HashMap::new();
        for ty in btf.iter().flat_map(|btf| btf.types()) {
            if ty.kind() != Kind::Func || ty.linkage() == Linkage::Extern {
                continue;
            }
            // Of two static functions of one name, the name alone says nothing.
            let key = (ty.name(), ty.linkage() == Linkage::Static);
            let id = functions.entry(key).or_insert(Some(ty.id()));
            *id = id.filter(|&id| id == ty.id());
        }
        Self { btf, functions }
    }

    /// The FUNC of a defined function, by name alone; `None` when that is ambiguous.
    pub(crate) fn get(&self, name: &str, is_static: bool) -> Option<TypeId> {
        let with = |is_static| self.functions.get(&(name, is_static)).copied().flatten();
        // Hidden functions may be either: libbpf's linker makes them static in BTF.
        with(is_static).or_else(|| with(!is_static))
    }
}

/// The type as C, for a message: `int (*)[3]`, `struct pair`.
pub(crate) fn describe(ty: Type<'_>) -> String {
    ty.btf().c_declaration(ty.id(), "")
}
