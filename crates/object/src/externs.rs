//! Externs: undefined symbols, and what BTF says they are.

use foldhash::HashMap;

use bpfweld_btf::{Kind, Type, TypeId};

use crate::elf::{Elf, Place};
use crate::error::{ExternProblem, ReadProblem};
use crate::model::{Extern, ExternId, ExternKind, KconfigType};
use crate::roles::Symbols;
use crate::types::{TypeIndex, describe};

/// Undefined symbols of an object; bounds what a hostile file can ask for.
const MAX_EXTERNS: usize = 1 << 16;

/// The externs of an object while it is read.
pub(crate) struct Externs {
    pub(crate) list: Vec<Extern>,
    pub(crate) index: ExternIndex,
}

/// Which symbols stand for externs.
#[derive(Default)]
pub(crate) struct ExternIndex {
    /// By symbol.
    by_symbol: Vec<(usize, ExternId)>,
    /// Of each extern.
    uses: Vec<Use>,
}

/// May an extern be called?
#[derive(Clone, Copy, PartialEq, Eq)]
enum Use {
    Function,
    Variable,
    /// BTF says nothing about it: a function if it is called, else a variable.
    Unknown,
}

impl Externs {
    pub(crate) fn read(
        elf: &Elf<'_>,
        symbols: &Symbols,
        types: &TypeIndex<'_>,
    ) -> Result<Self, ReadProblem> {
        let mut externs = Self { list: Vec::new(), index: ExternIndex::default() };
        let mut by_name: HashMap<&str, ExternId> = HashMap::default();
        for symbol in &symbols.undefined {
            let name = elf.symbol_name(symbol)?;
            let defined = symbol.place != Place::Undefined;
            if name.is_empty() || defined && types.external(name).is_none() {
                continue;
            }
            let id = match by_name.get(name) {
                Some(&id) => id,
                None if externs.list.len() >= MAX_EXTERNS => {
                    return Err(ReadProblem::TooManyExterns { limit: MAX_EXTERNS });
                }
                None => {
                    let id = ExternId(u32::try_from(externs.list.len()).unwrap_or(u32::MAX));
                    let (external, is_used) = classify(name, symbol.is_weak(), types)?;
                    externs.list.push(external);
                    externs.index.uses.push(is_used);
                    by_name.insert(name, id);
                    id
                }
            };
            externs.index.by_symbol.push((symbol.index, id));
        }
        Ok(externs)
    }
}

/// Takes externs for functions that are called and of which nothing else is known.
pub(crate) fn are_called(list: &mut [Extern], called: &[ExternId]) {
    for &id in called {
        if let Some(external) = list.get_mut(id.index()) {
            external.kind = ExternKind::Function;
        }
    }
}

impl ExternIndex {
    /// The extern that a symbol stands for.
    pub(crate) fn of_symbol(&self, symbol: usize) -> Option<ExternId> {
        let at = self.by_symbol.binary_search_by_key(&symbol, |&(symbol, _)| symbol).ok()?;
        self.by_symbol.get(at).map(|&(_, id)| id)
    }

    /// Does only how it is used tell what some extern is?
    pub(crate) fn has_unknown(&self) -> bool {
        self.uses.contains(&Use::Unknown)
    }

    /// Does only how it is used tell what this one is?
    pub(crate) fn is_unknown(&self, id: ExternId) -> bool {
        self.uses.get(id.index()) == Some(&Use::Unknown)
    }

    /// Is it something that can be called?
    pub(crate) fn is_callable(&self, id: ExternId) -> bool {
        matches!(self.uses.get(id.index()), Some(Use::Function | Use::Unknown))
    }
}

/// Apart from what all objects have.
#[inline(never)]
fn classify(name: &str, weak: bool, types: &TypeIndex<'_>) -> Result<(Extern, Use), ReadProblem> {
    let described = types.external(name).map(|ty| (ty, types.section_of(ty.id()).unwrap_or("")));
    let Some((ty, section)) = described else {
        let kind = ExternKind::Variable;
        let external = Extern { name: name.to_owned(), kind, weak, btf: None, type_id: None };
        return Ok((external, Use::Unknown));
    };
    let kind = match ty.kind() {
        Kind::Func if section == ".ksyms" => ExternKind::KernelFunction,
        Kind::Func => ExternKind::Function,
        _ => variable_kind(ty, section)
            .map_err(|problem| ReadProblem::Extern { name: name.to_owned(), problem })?,
    };
    let type_id = match kind {
        // Behind a typedef, too, a function's type is its prototype.
        ExternKind::Function | ExternKind::KernelFunction => prototype(ty).or(Some(ty.type_id())),
        _ => Some(ty.type_id()),
    };
    let external = Extern { name: name.to_owned(), kind, weak, btf: Some(ty.id()), type_id };
    match kind {
        ExternKind::Function | ExternKind::KernelFunction => Ok((external, Use::Function)),
        _ => Ok((external, Use::Variable)),
    }
}

/// What a VAR of linkage extern stands for, by the DATASEC that lists it.
fn variable_kind(var: Type<'_>, section: &str) -> Result<ExternKind, ExternProblem> {
    let ty = var.btf().resolve(var.type_id());
    Ok(match section {
        // The encoding of 2019: a function is a VAR with a prototype for a type.
        _ if ty.kind() == Kind::FuncProto => match section {
            ".ksyms" => ExternKind::KernelFunction,
            _ => ExternKind::Function,
        },
        ".ksyms" if ty.kind() == Kind::Void => ExternKind::TypelessKsym,
        ".ksyms" => ExternKind::TypedKsym,
        // `.extern` is what `.kconfig` was called in 2019.
        ".kconfig" | ".extern" => match kconfig_type(ty) {
            Some(kconfig) => ExternKind::Kconfig(kconfig),
            None => return Err(ExternProblem::KconfigType(describe(ty))),
        },
        ".maps" => ExternKind::Map,
        _ => ExternKind::Variable,
    })
}

fn prototype(var: Type<'_>) -> Option<TypeId> {
    let ty = var.btf().resolve(var.type_id());
    (ty.kind() == Kind::FuncProto).then_some(ty.id())
}

/// `ty` is behind typedefs and qualifiers already.
fn kconfig_type(ty: Type<'_>) -> Option<KconfigType> {
    match ty.kind() {
        Kind::Int => int_type(ty),
        Kind::Enum if ty.name() == "libbpf_tristate" && ty.size() == 4 => {
            Some(KconfigType::Tristate)
        }
        Kind::Array => {
            let element = ty.btf().resolve(ty.type_id());
            let one_byte = element.kind() == Kind::Int
                && element.size() == 1
                && !element.int_encoding().is_bool;
            (one_byte && ty.array_len() > 0).then(|| KconfigType::CharArray { len: ty.array_len() })
        }
        _ => None,
    }
}

fn int_type(ty: Type<'_>) -> Option<KconfigType> {
    let encoding = ty.int_encoding();
    let signed = encoding.signed;
    match (ty.size(), encoding.is_bool) {
        (1, true) => Some(KconfigType::Bool),
        (_, true) => None,
        // `signed char` and `unsigned char` (`__u8`) are numbers; plain `char` is a letter.
        (1, _) if ty.name() == "char" => Some(KconfigType::Char { signed }),
        (size @ (1 | 2 | 4 | 8), _) => {
            Some(KconfigType::Int { size: u8::try_from(size).ok()?, signed })
        }
        _ => None,
    }
}
