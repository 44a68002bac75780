//! Which functions and map definitions go into the output, and where: entry programs stay in their
//! sections; one that other code calls goes into `.text` as a function (too), because libbpf and others
//! refuse a call of an entry program.

use bpfweld_btf::Endian;
use bpfweld_insn::{CALL, INSN_SIZE, Insn, pseudo};
use bpfweld_object::{FileReloc, RelocKind};

use crate::Context;
use crate::hash::HashSet;
use crate::input::{Bases, Chunk, Lists, Role, Section};
use crate::inputs::Inputs;
use crate::names::Names;
use crate::symbols::Table;

/// A chunk of an input: number of the input, its section, which chunk.
pub(crate) type ChunkAt = (u32, u32, u32);

/// Where a chunk goes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Fate {
    /// Into the section of its name.
    pub(crate) stays: bool,
    /// Into `.text`, as a function that other code calls.
    pub(crate) called: bool,
}

impl Fate {
    pub(crate) fn is_dead(self) -> bool {
        !self.stays && !self.called
    }
}

/// The fates of all chunks.
#[derive(Debug)]
pub(crate) struct Plan {
    /// Of the chunks of all inputs.
    fates: Vec<Fate>,
    /// The first of each section of all inputs, and the end.
    firsts: Vec<u32>,
    sections: Bases,
    /// Sections in one piece that are left out: input and section.
    gone: HashSet<(u32, u32)>,
}

/// Stands for a section in one piece.
const WHOLE: u32 = u32::MAX;

/// A reference without a relocation: the distance is in the instruction.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bare {
    /// Where the instruction is, in bytes.
    pub(crate) offset: u64,
    /// Where it leads, in the same section.
    pub(crate) target: u64,
    /// A call, and not an address?
    pub(crate) is_call: bool,
}

/// References of a stretch of code that have no relocation. `data` is all of the section.
pub(crate) fn bare_references(
    data: &[u8],
    lists: &Lists,
    section: &Section,
    start: u64,
    end: u64,
    endian: Endian,
) -> Vec<Bare> {
    let range = usize::try_from(start).ok().zip(usize::try_from(end).ok());
    let bytes = range.and_then(|(start, end)| data.get(start..end)).unwrap_or_default();
    let mut relocs = lists.relocs_in(section, start, end).iter().peekable();
    let mut found = Vec::new();
    let mut second = false;
    for (slot, &bytes) in (0u64..).zip(bytes.as_chunks::<INSN_SIZE>().0) {
        let offset = start + slot * INSN_SIZE as u64;
        while relocs.next_if(|r| r.offset < offset).is_some() {}
        if std::mem::take(&mut second) {
            continue;
        }
        let insn = match endian {
            Endian::Little => Insn::from_le(bytes),
            Endian::Big => Insn::from_be(bytes),
        };
        second = insn.is_ld_imm64();
        let is_call = insn.code == CALL && insn.src() == pseudo::CALL;
        let is_address = insn.is_ld_imm64() && insn.src() == pseudo::FUNC;
        if !is_call && !is_address || relocs.peek().is_some_and(|r| r.offset == offset) {
            continue;
        }
        let distance = (i64::from(insn.imm) + 1) * INSN_SIZE as i64;
        if let Some(target) = offset.checked_add_signed(distance) {
            found.push(Bare { offset, target, is_call });
        }
    }
    found
}

impl Plan {
    pub(crate) fn make(context: &Context, table: &Table) -> Self {
        let mut sum = 0;
        let sections = Bases::new(context.inputs.iter().map(|i| i.sections().len()));
        let mut firsts = Vec::with_capacity(sections.total() + 1);
        firsts.push(0);
        firsts.extend(context.inputs.iter().flat_map(|i| i.sections()).map(|section| {
            sum += section.chunks.len();
            u32::try_from(sum).unwrap_or(u32::MAX)
        }));
        let fates = vec![Fate::default(); sum];
        let plan = Self { fates, firsts, sections, gone: HashSet::default() };
        let mut walk = Walk { context, table, plan, todo: Vec::new() };
        walk.roots();
        walk.run();
        walk.plan
    }

    pub(crate) fn fate(&self, at: ChunkAt) -> Fate {
        self.number(at).and_then(|at| self.fates.get(at)).copied().unwrap_or_default()
    }

    fn fate_mut(&mut self, at: ChunkAt) -> Option<&mut Fate> {
        self.number(at).and_then(|at| self.fates.get_mut(at))
    }

    fn number(&self, (input, section, chunk): ChunkAt) -> Option<usize> {
        let section = self.sections.at(input, section);
        let (first, end) = (*self.firsts.get(section)?, *self.firsts.get(section + 1)?);
        let at = first.checked_add(chunk).filter(|&at| at < end)?;
        Some(at as usize)
    }

    /// Is any entry program called by other code?
    pub(crate) fn calls_entries(&self) -> bool {
        self.fates.iter().any(|fate| fate.called)
    }

    /// Is a section in one piece part of the output? Of one that is cut, its chunks say it.
    pub(crate) fn has_section(&self, input: u32, section: u32) -> bool {
        !self.gone.contains(&(input, section))
    }

    /// Is what begins at this place part of the output?
    pub(crate) fn is_alive(&self, inputs: &Inputs, input: u32, section: u32, offset: u64) -> bool {
        let found = inputs.get(input).and_then(|i| Some((i, i.section(section)?)));
        match found {
            Some((_, s)) if s.role == Role::Dropped => false,
            Some((_, s)) if s.chunks.is_empty() => self.has_section(input, section),
            Some((i, s)) => i
                .chunk_at(s, offset)
                .is_some_and(|chunk| !self.fate((input, section, chunk)).is_dead()),
            None => false,
        }
    }
}

struct Walk<'c> {
    context: &'c Context,
    table: &'c Table,
    plan: Plan,
    todo: Vec<ChunkAt>,
}

impl Walk<'_> {
    /// What is part of the output whether something refers to it or not.
    fn roots(&mut self) {
        let context = self.context;
        let strip = context.strip && self.has_entries();
        for (number, input) in context.inputs.numbered() {
            for (index, section) in (0u32..).zip(input.sections()) {
                for (at, chunk) in (0u32..).zip(input.chunks_of(section)) {
                    if self.is_root(number, section, chunk, strip) {
                        self.want((number, index, at), false);
                    }
                }
                if section.chunks.is_empty() && section.role != Role::Dropped {
                    match strip && is_for_programs(section, &context.names) {
                        true => {
                            self.plan.gone.insert((number, index));
                        }
                        false => self.todo.push((number, index, WHOLE)),
                    }
                }
            }
        }
    }

    fn is_root(&self, number: u32, section: &Section, chunk: &Chunk, strip: bool) -> bool {
        let gone = |&s: &u32| self.table.is_removed((number, s));
        let input = self.context.inputs.get(number);
        let symbols = input.map_or(&[][..], |input| input.starting(chunk));
        if !symbols.is_empty() && symbols.iter().all(gone) {
            return false;
        }
        let is_root = self.context.root.is_none_or(|root| root == number);
        match section.role {
            Role::Entries if chunk.symbols.is_empty() => !strip,
            Role::Entries => is_root && chunk.is_entry,
            _ => !strip,
        }
    }

    /// Variables of an arena are nothing without the map, which no code has to name.
    fn want_arenas(&mut self) {
        for (number, input) in self.context.inputs.numbered() {
            for (index, section) in (0u32..).zip(input.sections()) {
                for (at, chunk) in (0u32..).zip(input.chunks_of(section)) {
                    let mut vars = input.starting(chunk).iter().filter_map(|&s| input.var_of(s));
                    if section.role == Role::Maps && vars.any(|v| self.context.is_arena(v)) {
                        self.want((number, index, at), false);
                    }
                }
            }
        }
    }

    fn has_entries(&self) -> bool {
        self.context.inputs.iter().flat_map(|i| i.chunks()).any(|c| c.is_entry)
    }

    fn run(&mut self) {
        // Where all goes in anyway, it is still to be found out which entry programs are called.
        let all = self.plan.gone.is_empty() && self.plan.fates.iter().all(|fate| fate.stays);
        let which = if all { Which::OfEntries } else { Which::All };
        while let Some(at) = self.todo.pop() {
            // What data refers to stays where it is: slots of maps name entry programs.
            references(self.context, self.table, at, which, |to, from_code| {
                self.want(to, from_code);
            });
        }
    }

    fn want(&mut self, at: ChunkAt, from_code: bool) {
        let section = self.context.inputs.get(at.0).and_then(|i| i.section(at.1));
        if at.2 == WHOLE {
            if self.plan.gone.remove(&(at.0, at.1)) {
                self.todo.push(at);
                if section.is_some_and(|s| is_or_begins(self.context.names.bytes(s.name), ARENA)) {
                    self.want_arenas();
                }
            }
            return;
        }
        let as_function = from_code && section.is_some_and(|s| s.role == Role::Entries);
        let Some(fate) = self.plan.fate_mut(at) else { return };
        let first = fate.is_dead();
        match as_function {
            true => fate.called = true,
            false => fate.stays = true,
        }
        if first {
            self.todo.push(at);
        }
    }
}

/// Where the variables of an arena are: `.addr_space.1`.
const ARENA: &str = ".addr_space";

/// Data that is there for programs alone: no loader looks for it by its name.
fn is_for_programs(section: &Section, names: &Names) -> bool {
    let name = names.bytes(section.name);
    section.role == Role::Data
        && ([".data", ".bss", ".rodata", ARENA, ".jumptables"].iter())
            .any(|base| is_or_begins(name, base))
}

/// `.data` and `.data.x` for `.data`.
fn is_or_begins(name: &[u8], base: &str) -> bool {
    name.strip_prefix(base.as_bytes()).is_some_and(|rest| rest.first().is_none_or(|&c| c == b'.'))
}

/// Which references are of interest.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Which {
    All,
    /// Of code, to sections with entry programs.
    OfEntries,
}

impl Which {
    fn are_to(self, section: &Section) -> bool {
        self == Self::All || section.role == Role::Entries
    }
}

/// What a chunk, or a section in one piece, refers to: the place, and whether code does.
pub(crate) fn references(
    context: &Context,
    table: &Table,
    (number, index, at): ChunkAt,
    which: Which,
    mut found: impl FnMut(ChunkAt, bool),
) {
    let Some(input) = context.inputs.get(number) else { return };
    let Some(section) = input.section(index) else { return };
    let (start, end) = match (at, input.chunks_of(section).get(at as usize)) {
        (WHOLE, _) => (0, u64::MAX),
        (_, Some(chunk)) => (chunk.start, chunk.end),
        (_, None) => return,
    };
    let is_code = section.is_code();
    for reloc in context.lists.relocs_in(section, start, end) {
        let from_code = is_code && matches!(reloc.kind, RelocKind::Call | RelocKind::LoadImm64);
        if !from_code && which == Which::OfEntries {
            continue;
        }
        if let Some(to) = target(context, table, number, reloc, which) {
            found(to, from_code);
        }
    }
    if !is_code || at == WHOLE || !input.has_bare || !which.are_to(section) {
        return;
    }
    for bare in bare_references(
        context.lists.data.of(section),
        &context.lists,
        section,
        start,
        end,
        context.endian,
    ) {
        // Within a function: no chunk of its own is wanted.
        match input.chunk_at(section, bare.target) {
            Some(target) if target != at => found((number, index, target), true),
            _ => {}
        }
    }
}

/// What stands behind a relocation's symbol.
fn target(
    context: &Context,
    table: &Table,
    number: u32,
    reloc: &FileReloc,
    which: Which,
) -> Option<ChunkAt> {
    let (input, at) = table.definition((number, reloc.symbol))?;
    let found = context.inputs.get(input)?;
    let symbol = found.symbol(at)?;
    let index = symbol.section()?;
    let section = found.section(index).filter(|section| which.are_to(section))?;
    if section.chunks.is_empty() {
        return Some((input, index, WHOLE));
    }
    let offset = symbol.value.checked_add_signed(reloc.addend).unwrap_or(symbol.value);
    Some((input, index, found.chunk_at(section, offset)?))
}
