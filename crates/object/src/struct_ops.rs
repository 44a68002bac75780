//! Tables of functions that the kernel calls (`.struct_ops`): variables of a struct that the kernel
//! defines, whose members are numbers and functions of the object.
//!
//! Which type and member of the kernel's a function implements is not in its section's name but in
//! the table that names it: [`mark`] tells the function.

use bpfweld_btf::Kind;

use crate::data::{Placed, Places, variables};
use crate::elf::{Elf, Place, Rel, Section};
use crate::error::{ReadProblem, RelocProblem};
use crate::functions::{Code, slice};
use crate::model::{Function, StructOps};
use crate::pointers::{self, Pointer};
use crate::program::ProgramType;
use crate::roles::Role;
use crate::types::TypeIndex;

/// Reads all tables.
pub(crate) fn read(
    elf: &Elf<'_>,
    types: &TypeIndex<'_>,
    places: &Places<'_>,
    code: &Code,
    notes: &mut Vec<String>,
) -> Result<Vec<StructOps>, ReadProblem> {
    let mut tables = Vec::new();
    for (index, section) in elf.sections.iter().enumerate() {
        if section.role != Role::StructOps {
            continue;
        }
        let Some(datasec) = types.section(section.name) else {
            notes.push(format!(
                "section {}: BTF says nothing about the tables in it, it is passed over",
                section.name
            ));
            continue;
        };
        let vars = variables(datasec, section, index, places, notes)?;
        let first = tables.len();
        for var in &vars {
            let btf = datasec.btf();
            let ty = btf.resolve(btf.ty(var.type_id).type_id());
            if ty.kind() != Kind::Struct {
                return Err(ReadProblem::Section {
                    section: section.name.to_owned(),
                    problem: format!("variable {} is no struct", var.name),
                });
            }
            let (start, end) = (u64::from(var.offset), u64::from(var.offset) + u64::from(var.size));
            tables.push(StructOps {
                name: var.name.to_owned(),
                section: section.name.to_owned(),
                type_id: ty.id(),
                bytes: slice(section.data, start, end).unwrap_or_default().to_vec(),
                by_link: section.name.ends_with(".link"),
                autocreate: !section.name.starts_with('?'),
                functions: Vec::new(),
            });
        }
        for rel in elf.relocs(index) {
            let own = tables.get_mut(first..).unwrap_or_default();
            fill(elf, code, section, &vars, own, rel, notes)?;
        }
    }
    Ok(tables)
}

/// Notes the function that a relocation puts into a table.
fn fill(
    elf: &Elf<'_>,
    code: &Code,
    section: &Section<'_>,
    vars: &[Placed<'_>],
    tables: &mut [StructOps],
    rel: Rel,
    notes: &mut Vec<String>,
) -> Result<(), ReadProblem> {
    let Pointer { symbol, addend } = pointers::read(elf, section, rel)?;
    let no_function = || {
        let offset = i64::try_from(symbol.value).unwrap_or(i64::MAX);
        let no_function = RelocProblem::NoFunction { section: section.name.to_owned(), offset };
        pointers::failure(elf, section, rel, Some(&symbol), no_function)
    };
    let at = match (symbol.place, elf.describe(&symbol)) {
        (Place::Section(at), _) => at,
        (Place::Undefined, Some(name)) => {
            notes.push(format!(
                "section {}, offset {:#x}: `{name}` is of another object, the place for it stays empty; \
                 `bpfweld link` joins the two",
                section.name, rel.offset
            ));
            return Ok(());
        }
        _ => return Err(no_function()),
    };
    let target = elf.base(&symbol).checked_add_signed(addend);
    let function = target
        .and_then(|offset| code.at(at, offset, Some(symbol.index)))
        .ok_or_else(no_function)?;
    // `vars` and `tables` are parallel and sorted.
    let owner = vars.partition_point(|v| u64::from(v.offset) <= rel.offset).checked_sub(1);
    let owner = owner.and_then(|i| Some((vars.get(i)?, tables.get_mut(i)?)));
    let Some((var, table)) = owner else { return Err(no_function()) };
    let member = rel.offset - u64::from(var.offset);
    if rel.offset.saturating_add(8) > u64::from(var.offset) + u64::from(var.size) {
        return Err(no_function());
    }
    table.functions.push((u32::try_from(member).unwrap_or(u32::MAX), function));
    Ok(())
}

/// Tells the functions in tables what they implement: `STRUCT.MEMBER` as
/// [`attach_to`](crate::ProgramSpec::attach_to), whatever their section's name says.
pub(crate) fn mark(functions: &mut [Function], tables: &[StructOps], types: &TypeIndex<'_>) {
    let of_struct_ops = |p: &crate::ProgramSpec| p.prog_type == ProgramType::STRUCT_OPS;
    for function in &mut *functions {
        if let Some(program) = function.program.as_mut().filter(|p| of_struct_ops(p)) {
            program.attach_to = None;
        }
    }
    let Some(btf) = types.btf else { return };
    for table in tables {
        let ty = btf.ty(table.type_id);
        for &(offset, id) in &table.functions {
            let at = |m: &bpfweld_btf::Member<'_>| m.bit_offset == offset.saturating_mul(8);
            let Some(member) = ty.members().find(at) else { continue };
            let function = functions.get_mut(id.index());
            let program = function.and_then(|f| f.program.as_mut()).filter(|p| of_struct_ops(p));
            // In several tables: the kernel has it in one place only, and the first counts.
            if let Some(program) = program.filter(|p| p.attach_to.is_none()) {
                program.attach_to = Some(format!("{}.{}", ty.name(), member.name));
            }
        }
    }
}
