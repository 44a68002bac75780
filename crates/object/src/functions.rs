//! Functions: where they start and end, their instructions and linkage. References are resolved in
//! [`crate::relocs`].

use bpfweld_btf::order;
use bpfweld_insn::{INSN_SIZE, Insn};

use crate::elf::{Elf, Section, Symbol};
use crate::error::{FunctionProblem, ReadProblem};
use crate::model::{FuncId, Function, FunctionBody, Linkage};
use crate::roles::Symbols;

/// Instructions in all functions of an object. The kernel takes a million a program; what this and the
/// next two bound is the work that a small file with many symbols for the same code can ask for.
const MAX_INSNS: usize = 1 << 22;
/// Functions of an object. The kernel takes 256 a program.
const MAX_FUNCTIONS: usize = 1 << 16;
/// Names of one place.
const MAX_ALIASES: u32 = 64;

/// The functions of an object by their place in the file.
#[derive(Default)]
pub(crate) struct Code {
    /// By section and offset.
    pub(crate) places: Vec<FunctionPlace>,
}

/// Where a function is.
#[derive(Clone, Copy)]
pub(crate) struct FunctionPlace {
    /// Index of the section.
    pub(crate) section: usize,
    /// Where it starts and ends there, in bytes: whole slots, at least one.
    pub(crate) offset: u64,
    pub(crate) end: u64,
    /// Its symbol's index.
    pub(crate) symbol: usize,
}

impl Code {
    pub(crate) fn read(elf: &Elf<'_>, symbols: &Symbols) -> Result<Self, ReadProblem> {
        let mut starts = Vec::new();
        for (index, section) in elf.sections.iter().enumerate() {
            if section.has_code() {
                starts.push(CodeSection { index, section, symbols: Vec::new() });
            }
        }
        sort_symbols(symbols, &mut starts);
        let mut code = Self::default();
        let mut total = 0;
        for section in &starts {
            code.read_section(elf, section, &mut total)?;
        }
        Ok(code)
    }

    /// The functions of a section, by rising offset.
    pub(crate) fn of_section(&self, section: usize) -> std::ops::Range<usize> {
        let from = self.places.partition_point(|f| f.section < section);
        let to = self.places.partition_point(|f| f.section <= section);
        from..to
    }

    /// The function that starts at this place. Of several names for one place: the one of this symbol
    /// if it is among them, else the first.
    pub(crate) fn at(&self, section: usize, offset: u64, symbol: Option<usize>) -> Option<FuncId> {
        let key = |f: &FunctionPlace| (f.section, f.offset);
        let first = self.places.partition_point(|f| key(f) < (section, offset));
        let here = self.places.get(first..)?.iter();
        let here = here.take_while(|f| key(f) == (section, offset)).count();
        let is_named = |&i: &usize| self.places.get(i).map(|f| f.symbol) == symbol;
        let named = (first..first + here).find(is_named);
        let index = named.or((here > 0).then_some(first))?;
        Some(FuncId(u32::try_from(index).ok()?))
    }

    /// The functions, nothing being known of them yet but what their symbols say.
    pub(crate) fn functions(
        &self,
        elf: &Elf<'_>,
        body: impl Fn(usize) -> FunctionBody,
    ) -> Result<Vec<Function>, ReadProblem> {
        let mut functions: Vec<Function> = Vec::with_capacity(self.places.len());
        for (index, place) in self.places.iter().enumerate() {
            // Each has a symbol, which was looked at.
            let Some(symbol) = elf.symbol(place.symbol) else { continue };
            let section = match functions.last() {
                Some(last) if last.section_index == place.section => last.section.clone(),
                _ => elf.section(place.section).map_or("", |s| s.name).into(),
            };
            functions.push(Function {
                name: elf.symbol_name(&symbol)?.to_owned(),
                section,
                section_index: place.section,
                offset: place.offset,
                linkage: linkage(&symbol),
                program: None,
                body: body(index),
            });
        }
        Ok(functions)
    }

    fn read_section(
        &mut self,
        elf: &Elf<'_>,
        code: &CodeSection<'_>,
        total: &mut u64,
    ) -> Result<(), ReadProblem> {
        let section = code.section;
        // End of the functions so far, and which of them ends there.
        let mut last: Option<(u64, u64, &str)> = None;
        let mut aliases = 0;
        for (i, symbol) in code.symbols.iter().enumerate() {
            let function = elf.symbol_name(symbol)?;
            let fail = |problem| ReadProblem::Function {
                section: section.name.to_owned(),
                function: function.to_owned(),
                offset: symbol.value,
                problem,
            };
            let same = last.as_ref().is_some_and(|(start, _, _)| *start == symbol.value);
            aliases = if same { aliases + 1 } else { 0 };
            if aliases >= MAX_ALIASES || self.places.len() >= MAX_FUNCTIONS {
                return Err(fail(FunctionProblem::TooMany));
            }
            let size = match symbol.size {
                // Assemblers leave sizes out: up to the next function, or the end.
                0 => {
                    let rest = code.symbols.get(i..).unwrap_or_default();
                    let next = rest.iter().find(|s| s.value > symbol.value || s.size > 0);
                    let end = next.map_or(section.size, |s| s.value.min(section.size));
                    end.saturating_sub(symbol.value)
                }
                size => size,
            };
            let end = symbol.value.saturating_add(size);
            if end > section.size {
                let section_end = section.size;
                return Err(fail(FunctionProblem::OutOfSection { end, section_end }));
            }
            if size == 0 {
                return Err(fail(FunctionProblem::NoInstructions));
            }
            if !symbol.value.is_multiple_of(8) || !size.is_multiple_of(8) {
                return Err(fail(FunctionProblem::Unaligned { size }));
            }
            match &last {
                // A second name for the same code is a function of its own.
                Some((start, before, _)) if (*start, *before) == (symbol.value, end) => {}
                Some((_, before, other)) if *before > symbol.value => {
                    return Err(fail(FunctionProblem::Overlap((*other).to_owned())));
                }
                _ => {}
            }
            *total = total.saturating_add(size / INSN_SIZE as u64);
            if *total > MAX_INSNS as u64 {
                return Err(fail(FunctionProblem::TooLong { limit: MAX_INSNS }));
            }
            self.places.push(FunctionPlace {
                section: code.index,
                offset: symbol.value,
                end,
                symbol: symbol.index,
            });
            last = Some((symbol.value, end, function));
        }
        Ok(())
    }
}

/// A section with code and the symbols at which functions start, by rising offset.
struct CodeSection<'a> {
    index: usize,
    section: &'a Section<'a>,
    symbols: Vec<Symbol>,
}

/// Gives each section its function symbols. Where a section has none, its global labels count: that
/// is how hand-written assembly may look.
fn sort_symbols(symbols: &Symbols, sections: &mut [CodeSection<'_>]) {
    let mut labels: Vec<(usize, Symbol)> = Vec::new();
    for &(index, symbol) in &symbols.code {
        let Ok(at) = sections.binary_search_by_key(&index, |s| s.index) else { continue };
        if symbol.is_function() {
            if let Some(section) = sections.get_mut(at) {
                section.symbols.push(symbol);
            }
        } else {
            labels.push((at, symbol));
        }
    }
    let lacks = |s: &CodeSection<'_>| s.symbols.is_empty() && s.section.size > 0;
    let lacking: Vec<bool> = sections.iter().map(lacks).collect();
    for (at, symbol) in labels {
        if let Some(section) = sections.get_mut(at)
            && lacking.get(at) == Some(&true)
        {
            section.symbols.push(symbol);
        }
    }
    for section in sections {
        order::sort_by_key(&mut section.symbols, |s| (s.value, s.index));
    }
}

pub(crate) fn linkage(symbol: &Symbol) -> Linkage {
    match symbol {
        s if s.is_local() => Linkage::Static,
        s if s.is_hidden() => Linkage::Hidden,
        s if s.is_weak() => Linkage::Weak,
        _ => Linkage::Global,
    }
}

/// Both halves of each 64-bit immediate load must be there.
pub(crate) fn check_loads(insns: &[Insn]) -> Result<(), (u64, FunctionProblem)> {
    let mut from = 0;
    let is_load = |insn: &Insn| insn.code == bpfweld_insn::LD_IMM64;
    while let Some(at) = insns.get(from..).and_then(|rest| rest.iter().position(is_load)) {
        let slot = from + at;
        match insns.get(slot + 1) {
            None => return Err((slot as u64, FunctionProblem::CutLoad)),
            Some(second) if second.code != 0 => {
                return Err((slot as u64, FunctionProblem::BadLoad));
            }
            Some(_) => from = slot + 2,
        }
    }
    Ok(())
}

/// `data[start..end]`, or `None` when outside.
pub(crate) fn slice(data: &[u8], start: u64, end: u64) -> Option<&[u8]> {
    data.get(usize::try_from(start).ok()?..usize::try_from(end).ok()?)
}
