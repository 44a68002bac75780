//! Sections of global variables.

use foldhash::HashSet;

use bpfweld_btf::{Kind, Linkage, Type, TypeId, order};

use crate::elf::{Elf, Section};
use crate::error::{ReadProblem, VariableProblem};
use crate::kept::Kept;
use crate::model::{DataId, DataSection, DataVar};
use crate::roles::{Role, Symbols};
use crate::types::TypeIndex;

/// Largest section of variables. A section without contents (`.bss`) costs nothing in the file.
const MAX_SIZE: u64 = 1 << 30;

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
        kept: &Kept,
        types: &TypeIndex<'_>,
        places: &Places<'_>,
        notes: &mut Vec<String>,
    ) -> Result<Self, ReadProblem> {
        let mut data = Self { sections: Vec::new(), index: DataIndex::default() };
        let mut described = HashSet::default();
        for (index, section) in elf.sections.iter().enumerate() {
            let Role::Data(kind) = section.role else { continue };
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
                bytes: kept.data(index),
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
pub(crate) struct Places<'a>(Vec<Named<'a>>);

impl<'a> Places<'a> {
    pub(crate) fn read(elf: &Elf<'a>, symbols: &Symbols) -> Result<Self, ReadProblem> {
        let mut named = Vec::with_capacity(symbols.variables.len());
        for (section, symbol) in &symbols.variables {
            let name = elf.symbol_name(symbol)?;
            named.push(Named {
                section: *section,
                name,
                offset: Some(symbol.value),
                hidden: symbol.is_hidden(),
            });
        }
        order::sort_by(&mut named, |a, b| a.key().cmp(&b.key()));
        named.dedup_by(|other, kept| {
            let same = other.key() == kept.key();
            if same {
                kept.offset = kept.offset.filter(|_| kept.offset == other.offset);
                kept.hidden |= other.hidden;
            }
            same
        });
        Ok(Self(named))
    }

    fn of(&self, section: usize, name: &str) -> Option<&Named<'a>> {
        let at = self.0.binary_search_by(|named| named.key().cmp(&(section, name))).ok()?;
        self.0.get(at)
    }
}

/// What the symbol table says about a variable, or several of one name.
struct Named<'a> {
    section: usize,
    name: &'a str,
    /// `None` where they are in different places.
    offset: Option<u64>,
    hidden: bool,
}

impl<'a> Named<'a> {
    fn key(&self) -> (usize, &'a str) {
        (self.section, self.name)
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
        let name = var.name();
        let named = places.of(index, name);
        let offset = named.and_then(|n| n.offset).unwrap_or_else(|| entry.offset.into());
        let size = u64::from(entry.size);
        match u32::try_from(offset) {
            Ok(offset) if u64::from(offset) + size <= section.size => vars.push(Placed {
                name,
                type_id: entry.type_id,
                offset,
                size: entry.size,
                hidden: named.is_some_and(|n| n.hidden),
            }),
            _ => {
                return Err(ReadProblem::Variable {
                    section: section.name.to_owned(),
                    variable: name.to_owned(),
                    problem: VariableProblem::OutOfSection {
                        offset,
                        size,
                        section_size: section.size,
                    },
                });
            }
        }
    }
    order::sort_by_key(&mut vars, |v| (v.offset, v.size));
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
pub(crate) fn refuse_common(elf: &Elf<'_>, symbols: &Symbols) -> Result<(), ReadProblem> {
    match symbols.common {
        Some(symbol) => Err(ReadProblem::Variable {
            section: "COMMON".to_owned(),
            variable: elf.symbol_name(&symbol)?.to_owned(),
            problem: VariableProblem::Common,
        }),
        None => Ok(()),
    }
}
