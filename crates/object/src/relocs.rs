//! References from code: every call and every address of a function, map or variable becomes a
//! [`Reloc`], whether the file has a relocation for it or only a distance (calls within a section).

use bpfweld_insn::{INSN_SIZE, Insn, pseudo};

use crate::contents::Reading;
use crate::data::DataIndex;
use crate::elf::{Elf, Place, Rel, Section, Symbol, reloc_type};
use crate::error::{ReadProblem, RelocProblem};
use crate::externs::ExternIndex;
use crate::functions::{Code, FunctionPlace};
use crate::jump_tables::{self, JumpTables};
use crate::maps::MapIndex;
use crate::model::{ExternId, Reloc, RelocTarget};
use crate::roles::Role;

/// Everything that a reference can lead to.
pub(crate) struct Resolver<'r, 'a> {
    pub(crate) elf: &'r Elf<'a>,
    pub(crate) code: &'r Code,
    pub(crate) data: &'r DataIndex,
    pub(crate) maps: &'r MapIndex,
    pub(crate) externs: &'r ExternIndex,
    /// Externs that are called although only that tells what they are.
    pub(crate) called: Vec<ExternId>,
    pub(crate) tables: JumpTables,
}

impl Resolver<'_, '_> {
    /// Finds the references of all functions.
    pub(crate) fn resolve(&mut self, functions: &mut [Reading<'_>]) -> Result<(), ReadProblem> {
        for (index, section) in self.elf.sections.iter().enumerate() {
            if !section.has_code() {
                continue;
            }
            let rels = self.elf.relocs(index);
            self.check_places(section, &rels)?;
            let here = functions.get_mut(self.code.of_section(index)).unwrap_or_default();
            for function in here {
                function.body.relocs = self.function(function, section, &rels)?;
                function.body.jump_tables = self.tables.take();
            }
        }
        Ok(())
    }

    /// What is wrong with a relocation wherever it is, in a gap between functions, too.
    fn check_places(&self, section: &Section<'_>, rels: &[Rel]) -> Result<(), ReadProblem> {
        let mut last = None;
        for rel in rels {
            let problem = match rel.offset {
                offset if offset.saturating_add(INSN_SIZE as u64) > section.size => {
                    RelocProblem::OutOfSection { size: section.size }
                }
                offset if !offset.is_multiple_of(INSN_SIZE as u64) => RelocProblem::Unaligned,
                offset if last == Some(offset) => RelocProblem::Twice,
                offset => {
                    last = Some(offset);
                    continue;
                }
            };
            return Err(self.error(section, rel.offset, Some(rel), problem));
        }
        Ok(())
    }

    fn function(
        &mut self,
        function: &Reading<'_>,
        section: &Section<'_>,
        rels: &[Rel],
    ) -> Result<Vec<Reloc>, ReadProblem> {
        let FunctionPlace { offset: start, end, .. } = function.place;
        let insns: &[Insn] = &function.body.insns;
        let from = rels.partition_point(|r| r.offset < start);
        let to = rels.partition_point(|r| r.offset < end);
        let mut rels = rels.get(from..to).unwrap_or_default().iter();
        let mut found = Vec::with_capacity(to.saturating_sub(from));
        let offset_of = |slot: usize| start + (slot * INSN_SIZE) as u64;
        // Their places were checked.
        let slot_of = |rel: &Rel| {
            let distance = rel.offset.saturating_sub(start) / INSN_SIZE as u64;
            usize::try_from(distance).unwrap_or(usize::MAX)
        };
        let mut rel = rels.next();
        let mut next = rel.map_or(usize::MAX, slot_of);
        let mut slot = 0;
        let refers = |insn: &Insn| matches!(insn.code, bpfweld_insn::LD_IMM64 | bpfweld_insn::CALL);
        loop {
            // Up to the next relocation, only calls and loads can refer to something.
            let upto = next.min(insns.len());
            let between = insns.get(slot..upto).unwrap_or_default();
            slot += between.iter().position(refers).unwrap_or(between.len());
            let Some(&insn) = insns.get(slot) else { break };
            let here = rel.filter(|_| slot == next);
            let target = match here {
                Some(rel) => self.relocated(function, insn, rel).map(Some),
                None => self.bare(function, insn, offset_of(slot)),
            };
            match target {
                Ok(Some(target)) => {
                    // A function's instructions are fewer than 2^32.
                    let insn = u32::try_from(slot).unwrap_or(u32::MAX);
                    found.push(Reloc { insn, target });
                }
                Ok(None) => {}
                Err(problem) => return Err(self.error(section, offset_of(slot), here, problem)),
            }
            if here.is_some() {
                rel = rels.next();
                next = rel.map_or(usize::MAX, slot_of);
            }
            if insn.is_ld_imm64() {
                slot += 1;
                if slot == next {
                    let problem = RelocProblem::MiddleOfLoad;
                    return Err(self.error(section, offset_of(slot), rel, problem));
                }
            }
            slot += 1;
        }
        Ok(found)
    }

    fn error(
        &self,
        section: &Section<'_>,
        offset: u64,
        rel: Option<&Rel>,
        problem: RelocProblem,
    ) -> ReadProblem {
        let symbol = rel.and_then(|rel| self.elf.symbol(usize::try_from(rel.symbol).ok()?));
        ReadProblem::Reloc {
            section: section.name.to_owned(),
            offset,
            symbol: symbol.and_then(|s| self.elf.describe(&s)),
            problem,
        }
    }

    /// A reference that has a relocation.
    fn relocated(
        &mut self,
        function: &Reading<'_>,
        insn: Insn,
        rel: &Rel,
    ) -> Result<RelocTarget, RelocProblem> {
        let index = usize::try_from(rel.symbol).unwrap_or(usize::MAX);
        let Some(symbol) = self.elf.symbol(index) else {
            let count = self.elf.symbol_count();
            return Err(RelocProblem::SymbolIndex { index: rel.symbol, count });
        };
        let call = insn.code == bpfweld_insn::CALL && matches!(insn.src(), 0 | pseudo::CALL);
        match rel.kind {
            reloc_type::LD_IMM64 if insn.is_ld_imm64() => {
                self.address(function, symbol, rel.addend.unwrap_or_else(|| insn.imm.into()))
            }
            reloc_type::CALL if call => {
                // With REL the addend is counted in slots and one less, as in a relative call.
                let slots = i64::from(insn.imm).saturating_add(1);
                match (self.elf.call_in_bytes(&symbol, insn.imm), symbol.place) {
                    (Some(offset), Place::Section(_)) if rel.addend.is_none() => {
                        self.call(Symbol { value: offset, ..symbol }, 0)
                    }
                    _ => self.call(symbol, rel.addend.unwrap_or(slots * INSN_SIZE as i64)),
                }
            }
            kind @ (reloc_type::LD_IMM64
            | reloc_type::ABS64
            | reloc_type::ABS32
            | reloc_type::NODYLD32
            | reloc_type::CALL) => Err(RelocProblem::WrongInstruction { kind, code: insn.code }),
            kind => Err(RelocProblem::UnknownType(kind)),
        }
    }

    fn call(&mut self, symbol: Symbol, addend: i64) -> Result<RelocTarget, RelocProblem> {
        let section = match self.place(symbol)? {
            Some(section) => section,
            None => {
                let id = self.externs.of_symbol(symbol.index).ok_or(RelocProblem::NoSymbol)?;
                // GNU as leaves 0 where clang leaves -1.
                if !matches!(addend, 0 | 8) {
                    return Err(RelocProblem::ExternOffset(addend / INSN_SIZE as i64));
                }
                if self.externs.is_unknown(id) {
                    self.called.push(id);
                }
                return match self.externs.is_callable(id) {
                    true => Ok(RelocTarget::CallExtern(id)),
                    false => {
                        let name = self.elf.describe(&symbol).unwrap_or_default();
                        Err(RelocProblem::CallOfData(name))
                    }
                };
            }
        };
        if !self.elf.section(section).is_some_and(Section::has_code) {
            let name = self.elf.describe(&symbol).unwrap_or_default();
            return Err(RelocProblem::CallOfData(name));
        }
        self.function_at(section, symbol, addend).map(RelocTarget::Call)
    }

    fn address(
        &mut self,
        function: &Reading<'_>,
        symbol: Symbol,
        addend: i64,
    ) -> Result<RelocTarget, RelocProblem> {
        let Some(index) = self.place(symbol)? else {
            let id = self.externs.of_symbol(symbol.index).ok_or(RelocProblem::NoSymbol)?;
            let addend = i32::try_from(addend).map_err(|_| RelocProblem::ExternOffset(addend))?;
            return Ok(RelocTarget::ExternAddr { id, addend });
        };
        let symbol = Symbol { value: self.elf.base(&symbol), ..symbol };
        let Some(section) = self.elf.section(index) else { return Err(RelocProblem::NoSection) };
        let name = || section.name.to_owned();
        if section.has_code() {
            return self.function_at(index, symbol, addend).map(RelocTarget::FuncAddr);
        }
        let offset = symbol.value.checked_add_signed(addend);
        let shown = shown_offset(symbol, addend);
        if matches!(section.role, Role::Maps | Role::LegacyMaps) {
            let map = offset.and_then(|offset| self.maps.at(index, offset));
            let no_map = RelocProblem::NoMap { section: name(), offset: shown };
            return map.map(RelocTarget::Map).ok_or(no_map);
        }
        let in_bounds =
            |size| offset.and_then(|o| u32::try_from(o).ok()).filter(|&o| u64::from(o) <= size);
        if section.role == Role::Arena {
            let map = self.maps.arena();
            let outside =
                RelocProblem::OutOfData { section: name(), offset: shown, size: section.size };
            let target = in_bounds(section.size).map(|offset| RelocTarget::Arena { map, offset });
            return target.ok_or(outside);
        }
        if section.name == jump_tables::SECTION {
            let place = (symbol.value.wrapping_add_signed(addend), symbol.size);
            let table = self.tables.find(section, place, function, self.elf.endian);
            return table.map(|table| RelocTarget::JumpTable { table });
        }
        let Some((data, size)) = self.data.of_section(index) else {
            return Err(RelocProblem::WrongSection(name()));
        };
        // One past the end is a place that C lets a pointer go to.
        match in_bounds(size.into()) {
            Some(offset) => Ok(RelocTarget::Data { data, offset }),
            None => {
                let size = section.size;
                Err(RelocProblem::OutOfData { section: name(), offset: shown, size })
            }
        }
    }

    /// The section that a symbol is in; `None` for an extern.
    fn place(&self, symbol: Symbol) -> Result<Option<usize>, RelocProblem> {
        match symbol.place {
            _ if self.externs.of_symbol(symbol.index).is_some() => Ok(None),
            Place::Section(index) => Ok(Some(index)),
            Place::Undefined => Ok(None),
            Place::Common => Err(RelocProblem::Common),
            Place::Nowhere => Err(RelocProblem::NoSection),
        }
    }

    fn function_at(
        &self,
        section: usize,
        symbol: Symbol,
        addend: i64,
    ) -> Result<crate::model::FuncId, RelocProblem> {
        let offset = symbol.value.checked_add_signed(addend);
        let found = offset.and_then(|o| self.code.at(section, o, Some(symbol.index)));
        found.ok_or_else(|| RelocProblem::NoFunction {
            section: self.elf.section_name(section),
            offset: shown_offset(symbol, addend),
        })
    }

    /// A reference without a relocation: the distance in the instruction leads to a function of the
    /// same section.
    fn bare(
        &self,
        function: &Reading<'_>,
        insn: Insn,
        offset: u64,
    ) -> Result<Option<RelocTarget>, RelocProblem> {
        let make = match (insn.code, insn.src()) {
            (bpfweld_insn::CALL, pseudo::CALL) => RelocTarget::Call,
            (bpfweld_insn::LD_IMM64, pseudo::FUNC) => RelocTarget::FuncAddr,
            (bpfweld_insn::CALL, pseudo::KFUNC_CALL) => {
                return Err(RelocProblem::ByNumber("a kernel function"));
            }
            // A file descriptor or BTF id that a file brings along would mean whatever bears that
            // number in the process that loads it.
            (bpfweld_insn::LD_IMM64, pseudo::BTF_ID) => {
                return Err(RelocProblem::ByNumber("a kernel variable"));
            }
            (bpfweld_insn::LD_IMM64, 1..) => return Err(RelocProblem::ByNumber("a map")),
            _ => return Ok(None),
        };
        let distance = (i64::from(insn.imm) + 1) * INSN_SIZE as i64;
        let target = offset.checked_add_signed(distance);
        let index = function.place.section;
        match target.and_then(|target| self.code.at(index, target, None)) {
            Some(id) => Ok(Some(make(id))),
            None => Err(RelocProblem::NoFunction {
                section: function.section.to_string(),
                offset: i64::try_from(offset).unwrap_or(i64::MAX).saturating_add(distance),
            }),
        }
    }
}

/// Where a reference leads, for messages.
fn shown_offset(symbol: Symbol, addend: i64) -> i64 {
    i64::try_from(symbol.value).unwrap_or(i64::MAX).saturating_add(addend)
}

/// Relocations of variables are not applied, by no loader: addresses do not exist when the values are
/// set. Checks that they are in bounds and says so.
pub(crate) fn note_data(
    elf: &Elf<'_>,
    data: &DataIndex,
    notes: &mut Vec<String>,
) -> Result<(), ReadProblem> {
    for (index, section) in elf.sections.iter().enumerate() {
        if data.of_section(index).is_none() {
            continue;
        }
        let rels = elf.relocs(index);
        let outside = |r: &&Rel| match r.kind {
            reloc_type::ABS32 | reloc_type::NODYLD32 => r.offset.saturating_add(4) > section.size,
            _ => r.offset.saturating_add(8) > section.size,
        };
        if let Some(rel) = rels.iter().find(outside) {
            return Err(ReadProblem::Reloc {
                section: section.name.to_owned(),
                offset: rel.offset,
                symbol: None,
                problem: RelocProblem::OutOfSection { size: section.size },
            });
        }
        if !rels.is_empty() {
            notes.push(format!(
                "section {}: {} initial value(s) are addresses and not filled in; set them at run time",
                section.name,
                rels.len()
            ));
        }
    }
    Ok(())
}
