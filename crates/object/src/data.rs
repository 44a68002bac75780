//! Sections of global variables.

use foldhash::{HashMap, HashSet};

use bpfweld_btf::{Kind, Linkage, Type, TypeId};

use crate::elf::{Elf, Place, Section};
use crate::error::{ReadProblem, VariableProblem};
use crate::model::{DataId, DataKind, DataSection, DataVar};
use crate::types::TypeIndex;

/// Largest section of variables. A section without contents (`.bss`) costs nothing in the file.
const MAX_SIZE: u64 = 1 << 30;

/// What kind of data section this name and header mean; `None` for any other section.
pub(crate) fn kind(section: &Section<'_>) -> Option<DataKind> {
    let is = |name: &str| {
        let rest = section.name.strip_prefix(name);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    };
    if !section.is_allocated() || section.has_code() || section.size == 0 {
        return None;
    }
    match section.kind {
        object::elf::SHT_NOBITS if is(".bss") || is(".data") => Some(DataKind::Bss),
        object::elf::SHT_PROGBITS if is(".rodata") => Some(DataKind::Rodata),
        // A `.bss` with contents is data.
        object::elf::SHT_PROGBITS if is(".data") || is(".bss") => Some(DataKind::Data),
        _ => None,
    }
}

/// The data sections of an object and where they are in the file.
pub(crate) struct Data {
    pub(crate) sections: Vec<DataSection>,
    pub(crate) index: DataIndex,
}

/// Index in the file and size in bytes of each data section, by rising index.
#[derive(Default)]
pub(crate) struct DataIndex(Vec<(usize, u32)>);

impl DataIndex {
    /// The data section with this index in the file, and its size.
    pub(crate) fn of_section(&self, section: usize) -> Option<(DataId, u32)> {
        let at = self.0.binary_search_by_key(&section, |&(index, _)| index).ok()?;
        let &(_, size) = self.0.get(at)?;
        Some((DataId(u32::try_from(at).ok()?), size))
    }
}

impl Data {
    pub(crate) fn read(
        elf: &Elf<'_>,
        types: &TypeIndex<'_>,
        places: &Places<'_>,
        notes: &mut Vec<String>,
    ) -> Result<Self, ReadProblem> {
        let mut data = Self { sections: Vec::new(), index: DataIndex::default() };
        let mut described = HashSet::default();
        for (index, section) in elf.sections.iter().enumerate() {
            let Some(kind) = kind(section) else { continue };
            let size = u32::try_from(section.size).ok().filter(|_| section.size <= MAX_SIZE);
            let size = size.ok_or_else(|| ReadProblem::Section {
                section: section.name.to_owned(),
                problem: format!(
                    "{} bytes of variables are too many (the limit is {MAX_SIZE})",
                    section.size
                ),
            })?;
            // Of two sections of one name the types describe only one.
            let datasec = types.section(section.name).filter(|_| described.insert(section.name));
            let vars = match datasec {
                Some(datasec) => variables(datasec, section, index, places, notes)?,
                None => Vec::new(),
            };
            data.index.0.push((index, size));
            data.sections.push(DataSection {
                name: section.name.to_owned(),
                kind,
                size,
                align: u32::try_from(section.align.max(1)).unwrap_or(u32::MAX),
                bytes: section.data.to_vec(),
                datasec: datasec.map(|d| d.id()),
                vars: vars
                    .into_iter()
                    .map(|v| DataVar {
                        type_id: v.type_id,
                        offset: v.offset,
                        size: v.size,
                        hidden: v.hidden,
                    })
                    .collect(),
            });
        }
        Ok(data)
    }
}

/// Offsets of variables by section and name, from the symbol table.
pub(crate) struct Places<'a> {
    /// `None` where several symbols bear the name.
    by_name: HashMap<(usize, &'a str), Option<u64>>,
    hidden: HashSet<(usize, &'a str)>,
}

impl<'a> Places<'a> {
    /// Of the symbols in sections for which `wanted` says so.
    pub(crate) fn read(
        elf: &Elf<'a>,
        wanted: impl Fn(&Section<'a>) -> bool,
    ) -> Result<Self, ReadProblem> {
        let wanted: Vec<bool> = elf.sections.iter().map(wanted).collect();
        let (mut by_name, mut hidden) = (HashMap::default(), HashSet::default());
        for symbol in elf.symbols() {
            let Place::Section(section) = symbol.place else { continue };
            if wanted.get(section) != Some(&true) || !symbol.names_a_place() {
                continue;
            }
            let name = elf.symbol_name(&symbol)?;
            let place = by_name.entry((section, name)).or_insert(Some(symbol.value));
            *place = place.filter(|&value| value == symbol.value);
            if symbol.is_hidden() {
                hidden.insert((section, name));
            }
        }
        Ok(Self { by_name, hidden })
    }

    fn of(&self, section: usize, name: &str) -> Option<u64> {
        self.by_name.get(&(section, name)).copied().flatten()
    }
}

/// A variable with its place in its section.
#[derive(Clone, Copy)]
pub(crate) struct Placed<'a> {
    pub(crate) name: &'a str,
    pub(crate) type_id: TypeId,
    pub(crate) offset: u32,
    pub(crate) size: u32,
    pub(crate) hidden: bool,
}

/// The variables that a DATASEC lists, with offsets from the symbol table (clang leaves 0 in BTF),
/// by rising offset and without overlaps. Externs among them are left out.
pub(crate) fn variables<'a>(
    datasec: Type<'a>,
    section: &Section<'_>,
    index: usize,
    places: &Places<'_>,
    notes: &mut Vec<String>,
) -> Result<Vec<Placed<'a>>, ReadProblem> {
    let mut vars = Vec::with_capacity(datasec.vlen());
    for entry in datasec.section_vars() {
        let var = datasec.btf().ty(entry.type_id);
        if var.kind() != Kind::Var || var.linkage() == Linkage::Extern {
            continue;
        }
        // A static variable whose name is not unique has its offset in place: its relocation is
        // against the section.
        let offset = places.of(index, var.name()).unwrap_or_else(|| entry.offset.into());
        let size = u64::from(entry.size);
        match u32::try_from(offset) {
            Ok(offset) if u64::from(offset) + size <= section.size => vars.push(Placed {
                name: var.name(),
                type_id: entry.type_id,
                offset,
                size: entry.size,
                hidden: places.hidden.contains(&(index, var.name())),
            }),
            _ => {
                return Err(ReadProblem::Variable {
                    section: section.name.to_owned(),
                    variable: var.name().to_owned(),
                    problem: VariableProblem::OutOfSection {
                        offset,
                        size,
                        section_size: section.size,
                    },
                });
            }
        }
    }
    vars.sort_by_key(|v| (v.offset, v.size));
    let mut end = 0;
    vars.retain(|v| {
        // The kernel takes neither variables without a size nor two in one place.
        let keep = v.size > 0 && v.offset >= end;
        if keep {
            end = v.offset.saturating_add(v.size);
        } else if v.size > 0 {
            let (name, section) = (v.name, section.name);
            notes.push(format!(
                "section {section}: variable {name} shares its place with another and is left out \
                 of the types"
            ));
        }
        keep
    });
    Ok(vars)
}

/// A tentative definition has no place in any section.
pub(crate) fn refuse_common(elf: &Elf<'_>) -> Result<(), ReadProblem> {
    match elf.symbols().find(|s| s.place == Place::Common) {
        Some(symbol) => Err(ReadProblem::Variable {
            section: "COMMON".to_owned(),
            variable: elf.symbol_name(&symbol)?.to_owned(),
            problem: VariableProblem::Common,
        }),
        None => Ok(()),
    }
}
