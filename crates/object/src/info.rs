//! What `.BTF.ext` says about functions: their types, source lines and CO-RE relocations.

use foldhash::HashMap;

use bpfweld_btf::{BtfExt, ExtSection, Kind, LineRecords, TypeId};
use bpfweld_insn::{INSN_SIZE, Insn};

use crate::contents::Reading;
use crate::error::{ReadProblem, RelocProblem};
use crate::lines::{LineInfo, Lines, SLOT};
use crate::model::{CoreReloc, Linkage};
use crate::types::FunctionTypes;

/// Gives each function its FUNC, lines and CO-RE relocations.
pub(crate) fn attach(
    functions: &mut [Reading<'_>],
    info: &BtfExt,
    types: &FunctionTypes<'_>,
    notes: &mut Vec<String>,
) -> Result<(), ReadProblem> {
    let sections = sections(functions, info, notes)?;
    let places: Vec<_> = functions.iter().map(|f| (f.place.section, f.place.offset)).collect();
    let mut dropped = 0;
    for (i, function) in functions.iter_mut().enumerate() {
        let ext = sections.get(&function.place.section).copied().flatten();
        let near = [i.checked_sub(1), i.checked_add(1)];
        let near = near.into_iter().flatten().filter_map(|j| places.get(j));
        let here = (function.place.section, function.place.offset);
        let alias = near.into_iter().any(|place| *place == here);
        function.body.btf_func = func(function, ext, types, alias);
        let Some(ext) = ext else { continue };
        add_core_relocs(function, ext)?;
        dropped += add_lines(function, &ext.lines);
    }
    if dropped > 0 {
        notes.push(format!("{dropped} line_info record(s) are out of place and left out"));
    }
    Ok(())
}

/// What `.BTF.ext` says about each section with code, by the section's index. It knows sections by
/// name only: with two of one name its records are worth nothing.
fn sections<'a>(
    functions: &[Reading<'_>],
    info: &'a BtfExt,
    notes: &mut Vec<String>,
) -> Result<HashMap<usize, Option<&'a ExtSection>>, ReadProblem> {
    let mut by_name: HashMap<&str, usize> = HashMap::default();
    let mut by_index = HashMap::default();
    for function in functions {
        let index = function.place.section;
        let first = *by_name.entry(function.section).or_insert(index);
        if first == index {
            by_index.entry(index).or_insert_with(|| info.section(function.section));
        } else if by_index.insert(index, None).is_none() {
            let name = function.section;
            match by_index.insert(first, None).flatten() {
                Some(lost) if !lost.core.is_empty() => {
                    return Err(ReadProblem::Section {
                        section: name.to_string(),
                        problem: "there are several sections of this name, and CO-RE relocations \
                                  for one of them"
                            .to_owned(),
                    });
                }
                Some(_) => notes.push(format!(
                    "there are several sections {name}: line info of their functions is lost"
                )),
                None => {}
            }
        }
    }
    Ok(by_index)
}

fn func(
    function: &Reading<'_>,
    ext: Option<&ExtSection>,
    types: &FunctionTypes<'_>,
    alias: bool,
) -> Option<TypeId> {
    let by_offset = ext.and_then(|ext| {
        let offset = u32::try_from(function.place.offset).ok()?;
        let at = ext.funcs.binary_search_by_key(&offset, |r| r.insn_off).ok()?;
        Some(ext.funcs.get(at)?.type_id)
    });
    let by_name = || types.get(function.name, function.linkage == Linkage::Static);
    let id = match by_offset {
        // Of several names for the same code func_info knows only one.
        Some(id) if alias => by_name().or(Some(id)),
        Some(id) => Some(id),
        None => by_name(),
    };
    let btf = types.btf?;
    id.filter(|&id| btf.ty(id).target().kind() == Kind::FuncProto)
}

/// The records of a list that lie in the function.
fn within<'a, T>(records: &'a [T], function: &Reading<'_>, at: impl Fn(&T) -> u32) -> &'a [T] {
    let from = records.partition_point(|r| u64::from(at(r)) < function.place.offset);
    let to = records.partition_point(|r| u64::from(at(r)) < function.place.end);
    records.get(from..to).unwrap_or_default()
}

/// The instruction that a record is about: its slot, which must be the first of its instruction.
fn slot(function: &Reading<'_>, insn_off: u32) -> Result<u32, RelocProblem> {
    let distance = u64::from(insn_off).saturating_sub(function.place.offset);
    if !distance.is_multiple_of(INSN_SIZE as u64) {
        return Err(RelocProblem::Unaligned);
    }
    let slot = u32::try_from(distance / INSN_SIZE as u64).map_err(|_| RelocProblem::Unaligned)?;
    let before = (slot as usize).checked_sub(1).and_then(|i| function.body.insns.get(i));
    // A second slot is never taken for a first: its opcode is 0.
    if before.copied().is_some_and(Insn::is_ld_imm64) {
        return Err(RelocProblem::MiddleOfLoad);
    }
    Ok(slot)
}

/// Where a function starts in its section, in bytes.
fn start(function: &Reading<'_>) -> u32 {
    // Slots of one function are fewer than 2^32, and records lie within it.
    u32::try_from(function.place.offset).unwrap_or(u32::MAX)
}

/// Is there an instruction so many bytes from the start of a function, of which this is the second slot?
fn is_middle(function: &Reading<'_>, distance: u32) -> bool {
    let before = (distance / SLOT).wrapping_sub(1);
    let before = function.body.insns.get(before as usize);
    before.is_some_and(|insn| insn.code == bpfweld_insn::LD_IMM64)
}

/// Is each record at another instruction, as all are that come from a compiler?
fn are_usual(function: &Reading<'_>, records: &LineRecords) -> bool {
    let start = start(function);
    let (mut usual, mut least) = (true, 0);
    records.iter().for_each(|record| {
        let distance = record.insn_off.wrapping_sub(start);
        usual &= distance % SLOT == 0 && distance >= least && !is_middle(function, distance);
        least = distance.saturating_add(SLOT);
    });
    usual
}

/// Gives the number of records that are of no use: out of place, or two for one instruction.
fn add_lines(function: &mut Reading<'_>, lines: &LineRecords) -> usize {
    let start = start(function);
    let records = lines.between(function.place.offset, function.place.end);
    if are_usual(function, &records) {
        function.body.lines = Lines::of(records, start);
        return 0;
    }
    let mut lines: Vec<LineInfo> = Vec::with_capacity(records.len());
    for record in records.iter() {
        let distance = record.insn_off.wrapping_sub(start);
        let line = LineInfo::of(record, start);
        if distance % SLOT == 0
            && !is_middle(function, distance)
            && lines.last().is_none_or(|last| last.insn < line.insn)
        {
            lines.push(line);
        }
    }
    let dropped = records.len() - lines.len();
    function.body.lines = lines.into_iter().collect();
    dropped
}

fn add_core_relocs(function: &mut Reading<'_>, ext: &ExtSection) -> Result<(), ReadProblem> {
    let records = within(&ext.core, function, |r| r.insn_off);
    let mut relocs = Vec::with_capacity(records.len());
    for record in records {
        // Unlike a line, a lost relocation makes the program wrong.
        let insn = slot(function, record.insn_off).map_err(|problem| ReadProblem::Reloc {
            section: function.section.to_string(),
            offset: record.insn_off.into(),
            symbol: Some("CO-RE record".to_owned()),
            problem,
        })?;
        relocs.push(CoreReloc {
            insn,
            type_id: record.type_id,
            access_off: record.access_off,
            kind: record.kind,
        });
    }
    function.body.core_relocs = relocs;
    Ok(())
}
