//! What the reader asks BTF: an index of functions, variables and sections by name, made in one pass.

use foldhash::HashMap;
use std::sync::Arc;

use bpfweld_btf::{Btf, BtfExt, Kind, Linkage, Type, TypeId};

use crate::elf::Elf;
use crate::error::ReadProblem;

/// `.BTF` and `.BTF.ext`, as far as the file has them.
pub(crate) struct TypeInfo {
    pub(crate) btf: Option<Arc<Btf>>,
    pub(crate) ext: BtfExt,
}

impl TypeInfo {
    pub(crate) fn read(elf: &Elf<'_>) -> Result<Self, ReadProblem> {
        let find = |name| elf.sections.iter().find(|s| s.name == name && !s.data.is_empty());
        let Some(section) = find(".BTF") else {
            return Ok(Self { btf: None, ext: BtfExt::default() });
        };
        let broken = |section| move |error| ReadProblem::Btf { section, error };
        let btf = Btf::parse(section.data).map_err(broken(".BTF"))?;
        btf.validate().map_err(broken(".BTF"))?;
        let ext = match find(".BTF.ext") {
            Some(section) => BtfExt::parse(section.data, &btf).map_err(broken(".BTF.ext"))?,
            None => BtfExt::default(),
        };
        Ok(Self { btf: Some(Arc::new(btf)), ext })
    }
}

/// Names of a [`Btf`] that the reader looks up.
#[derive(Default)]
pub(crate) struct TypeIndex<'a> {
    pub(crate) btf: Option<&'a Btf>,
    /// FUNCs and VARs of linkage extern.
    externs: HashMap<&'a str, TypeId>,
    /// FUNCs that are defined here: of linkage static, and global.
    functions: HashMap<(&'a str, bool), Option<TypeId>>,
    sections: HashMap<&'a str, TypeId>,
    /// DATASEC of each FUNC or VAR of linkage extern that has one.
    section_of: HashMap<TypeId, &'a str>,
}

impl<'a> TypeIndex<'a> {
    pub(crate) fn new(btf: Option<&'a Btf>) -> Self {
        let mut index = Self { btf, ..Self::default() };
        for ty in btf.iter().flat_map(|btf| btf.types()) {
            match (ty.kind(), ty.linkage()) {
                (Kind::Func | Kind::Var, Linkage::Extern) => {
                    index.externs.entry(ty.name()).or_insert(ty.id());
                }
                (Kind::Func, linkage) => {
                    // Of two static functions of one name, the name alone says nothing.
                    let key = (ty.name(), linkage == Linkage::Static);
                    let id = index.functions.entry(key).or_insert(Some(ty.id()));
                    *id = id.filter(|&id| id == ty.id());
                }
                (Kind::Datasec, _) => index.add_section(ty),
                _ => {}
            }
        }
        index
    }

    fn add_section(&mut self, datasec: Type<'a>) {
        self.sections.entry(datasec.name()).or_insert(datasec.id());
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

    /// The FUNC of a defined function, by name alone; `None` when that is ambiguous.
    pub(crate) fn function(&self, name: &str, is_static: bool) -> Option<TypeId> {
        let with = |is_static| self.functions.get(&(name, is_static)).copied().flatten();
        // Hidden functions may be either: libbpf's linker makes them static in BTF.
        with(is_static).or_else(|| with(!is_static))
    }

    /// The DATASEC with this name.
    pub(crate) fn section(&self, name: &str) -> Option<Type<'a>> {
        Some(self.btf?.ty(*self.sections.get(name)?))
    }
}

/// The type as C, for a message: `int (*)[3]`, `struct pair`.
pub(crate) fn describe(ty: Type<'_>) -> String {
    ty.btf().c_declaration(ty.id(), "")
}
