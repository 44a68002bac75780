//! The sections of the output: which stretches of which inputs they are made of, and where each lies.

use crate::hash::HashMap;

use bpfweld_object::sections::classify;

use crate::elf;
use crate::error::LinkError;
use crate::input::{Bases, Chunk, Role, Section, Span};
use crate::inputs::{Input, Inputs};
use crate::names::{Name, Names};
use crate::plan::{ChunkAt, Plan};
use crate::symbols::At;
use crate::{Context, new_id};

/// A stretch of an input in a section of the output. There is one of each section of each input, mostly.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Piece {
    pub(crate) input: u32,
    pub(crate) section: u32,
    start: u32,
    end: u32,
    at: u32,
    /// [`STAYS`], or see [`Piece::called`].
    called: u32,
}

/// A piece that is in the section that it was in.
const STAYS: u32 = u32::MAX;

impl Piece {
    /// Where it begins in the input's section.
    pub(crate) fn start(&self) -> u64 {
        self.start.into()
    }

    /// Where it ends there.
    pub(crate) fn end(&self) -> u64 {
        self.end.into()
    }

    /// Where it begins in the output's section.
    pub(crate) fn at(&self) -> u64 {
        self.at.into()
    }

    /// Index into [`Layout::called`], of an entry program that became a function.
    pub(crate) fn called(&self) -> Option<u32> {
        Some(self.called).filter(|&called| called != STAYS)
    }
}

/// A section of the output.
#[derive(Debug)]
pub(crate) struct OutSection {
    pub(crate) name: Name,
    pub(crate) role: Role,
    pub(crate) kind: u32,
    pub(crate) flags: u64,
    pub(crate) align: u64,
    pub(crate) entry_size: u64,
    pub(crate) size: u64,
    pub(crate) pieces: Vec<Piece>,
    /// The first input that has it.
    first: u32,
}

/// An entry program that became a function of `.text`.
#[derive(Debug)]
pub(crate) struct Called {
    pub(crate) chunk: ChunkAt,
    /// The symbol that it goes by.
    pub(crate) symbol: Option<u32>,
    pub(crate) name: Name,
    /// Is the verifier to look at it alone? Else it goes in as a static function.
    pub(crate) global: bool,
    /// Is the entry program gone?
    pub(crate) moved: bool,
    /// Offset in `.text`.
    pub(crate) at: u64,
}

/// Pieces of one section of an input, which follow each other in a section of the output.
#[derive(Debug, Clone, Copy, Default)]
struct Stays {
    out: u32,
    pieces: Span,
}

/// Where a place of an input is in the output: number of the section, offset.
pub(crate) type Spot = (usize, u64);

#[derive(Debug, Default)]
pub(crate) struct Layout {
    pub(crate) sections: Vec<OutSection>,
    pub(crate) called: Vec<Called>,
    by_chunk: HashMap<ChunkAt, u32>,
    /// Of sections, by their names.
    by_name: HashMap<Name, usize>,
    /// By input and section: where the pieces that stay are.
    stays: Vec<Stays>,
    inputs: Bases,
    text: Option<usize>,
}

impl Layout {
    pub(crate) fn make(context: &mut Context, plan: &Plan, errors: &mut Vec<LinkError>) -> Self {
        let inputs = &context.inputs;
        let bases = Bases::new(inputs.iter().map(|i| i.sections().len()));
        let stays = vec![Stays::default(); bases.total()];
        let mut layout = Self { stays, inputs: bases, ..Self::default() };
        let mut by_name = HashMap::default();
        let mut pieces = Vec::new();
        for (number, input) in inputs.numbered() {
            for (index, section) in (0u32..).zip(input.sections()) {
                let single = section.role == Role::Single;
                let foreign = single && context.owners.get(&section.name) != Some(&number);
                if section.role == Role::Dropped || foreign {
                    continue;
                }
                if section.chunks.is_empty() && !plan.has_section(number, index) {
                    continue;
                }
                stretches(&input, section, &mut pieces, |chunk| {
                    plan.fate((number, index, chunk)).stays
                });
                if pieces.is_empty() || section.size == 0 {
                    continue;
                }
                let at = *by_name.entry(section.name).or_insert_with(|| {
                    layout.sections.push(new_section(section, number));
                    layout.sections.len() - 1
                });
                let Some(out) = layout.sections.get_mut(at) else { continue };
                if let Err(why) = out.join(section) {
                    errors.push(LinkError::Section {
                        section: context.names.text(section.name).into_owned(),
                        first: label(inputs, out.first),
                        second: input.label().to_owned(),
                        why,
                    });
                    continue;
                }
                let first = out.pieces.len();
                for &(start, end) in &pieces {
                    if out.push((number, index), (start, end), STAYS, section.align).is_none() {
                        errors.push(too_large(out, &context.names));
                    }
                }
                let pieces = Span::new(first, out.pieces.len());
                if let Some(stays) = layout.stays.get_mut(layout.inputs.at(number, index)) {
                    // There are fewer sections than a file can number.
                    *stays = Stays { out: u32::try_from(at).unwrap_or(u32::MAX), pieces };
                }
            }
        }
        let text = context.names.add(b".text");
        layout.text = by_name.get(&text).copied();
        layout.by_name = by_name;
        layout.add_called(context, plan, errors);
        layout
    }

    /// Entry programs that other code calls go behind the rest of `.text`.
    fn add_called(&mut self, context: &mut Context, plan: &Plan, errors: &mut Vec<LinkError>) {
        let Context { inputs, names, taken, types, ids, .. } = context;
        for (number, input) in inputs.numbered() {
            for (index, section) in (0u32..).zip(input.sections()) {
                for (at, chunk) in (0u32..).zip(input.chunks_of(section)) {
                    let fate = plan.fate((number, index, at));
                    if !fate.called {
                        continue;
                    }
                    let symbol = input.starting(chunk).first().copied();
                    let own = symbol.and_then(|s| input.symbol(s)).map_or(Name::EMPTY, |s| s.name);
                    let moved = !fate.stays;
                    let global =
                        symbol.and_then(|s| input.symbol(s)).is_some_and(|s| !s.is_local());
                    let name = match moved {
                        true if global => own,
                        true => names.add_own(taken, own, ""),
                        false => names.add_own(taken, own, "__subprog"),
                    };
                    let func = symbol.and_then(|s| input.func_of(s));
                    let alone = func.filter(|_| chunk.is_entry).is_some_and(|func| {
                        let section = names.text(section.old_name);
                        let proto = types.ty(new_id(ids.as_deref(), func.proto));
                        classify(&section).into_spec().prog_type.verifies_alone(proto)
                    });
                    let text = self.text_section(names.add(b".text"), section, number);
                    let Some(out) = self.sections.get_mut(text) else { continue };
                    let id = u32::try_from(self.called.len()).unwrap_or(u32::MAX);
                    let range = (chunk.start, chunk.end);
                    let Some(place) = out.push((number, index), range, id, 8) else {
                        errors.push(too_large(out, names));
                        continue;
                    };
                    self.by_chunk.insert((number, index, at), id);
                    self.called.push(Called {
                        chunk: (number, index, at),
                        symbol,
                        name,
                        global: alone && !chunk.is_static,
                        moved,
                        at: place,
                    });
                }
            }
        }
    }

    fn text_section(&mut self, name: Name, like: &Section, first: u32) -> usize {
        if let Some(at) = self.text {
            return at;
        }
        let section = OutSection { name, role: Role::Text, ..new_section(like, first) };
        self.sections.push(section);
        self.text = Some(self.sections.len() - 1);
        self.by_name.insert(name, self.sections.len() - 1);
        self.sections.len() - 1
    }

    /// Where a place is that stays in its section.
    pub(crate) fn spot(&self, input: u32, section: u32, offset: u64) -> Option<Spot> {
        let (out, pieces) = self.pieces(input, section)?;
        let behind = pieces.partition_point(|piece| piece.start() <= offset);
        let piece = pieces.get(behind.checked_sub(1)?)?;
        // One past the end is a place that C lets a pointer go to.
        (offset <= piece.end()).then_some((out, piece.at() + (offset - piece.start())))
    }

    fn pieces(&self, input: u32, section: u32) -> Option<(usize, &[Piece])> {
        let stays = self.stays.get(self.inputs.at(input, section))?;
        let out = stays.out as usize;
        Some((out, stays.pieces.of(&self.sections.get(out)?.pieces)))
    }

    /// Is anything of a section in the output, where it was?
    pub(crate) fn has(&self, input: u32, section: u32) -> bool {
        self.pieces(input, section).is_some_and(|(_, pieces)| !pieces.is_empty())
    }

    /// Is the section in the output as it was, in one piece?
    pub(crate) fn is_whole(&self, input: u32, section: &Section, index: u32) -> bool {
        let pieces = self.pieces(input, index).map_or(&[][..], |(_, pieces)| pieces);
        matches!(pieces, [piece] if piece.start() == 0 && piece.end() == section.size)
    }

    /// The function that the entry program at this place became.
    pub(crate) fn called_at(
        &self,
        inputs: &Inputs,
        input: u32,
        section: u32,
        offset: u64,
    ) -> Option<(&Called, u64)> {
        if self.called.is_empty() {
            return None;
        }
        let from = inputs.get(input)?;
        let found = from.section(section)?;
        let chunk = from.chunk_at(found, offset)?;
        let id = *self.by_chunk.get(&(input, section, chunk))?;
        let start = from.chunks_of(found).get(chunk as usize)?.start;
        Some((self.called.get(id as usize)?, offset - start))
    }

    /// The function that a symbol's entry program became, where the symbol is gone with it.
    pub(crate) fn moved(&self, inputs: &Inputs, (input, symbol): At) -> Option<&Called> {
        let symbol = inputs.get(input)?.symbol(symbol)?;
        let (called, _) = self.called_at(inputs, input, symbol.section()?, symbol.value)?;
        called.moved.then_some(called)
    }

    /// Index into [`Layout::called`].
    pub(crate) fn number_of(&self, called: &Called) -> Option<u32> {
        self.by_chunk.get(&called.chunk).copied()
    }

    /// The section with this name.
    pub(crate) fn section_named(&self, name: Name) -> Option<&OutSection> {
        self.sections.get(*self.by_name.get(&name)?)
    }

    /// `.text`, if there is one.
    pub(crate) fn text(&self) -> Option<usize> {
        self.text
    }
}

/// Stretches of a section that stay: neighbours that both stay are one.
fn stretches(
    input: &Input,
    section: &Section,
    found: &mut Vec<(u64, u64)>,
    stays: impl Fn(u32) -> bool,
) {
    found.clear();
    if section.chunks.is_empty() {
        found.push((0, section.size));
    }
    for (at, &Chunk { start, end, .. }) in (0u32..).zip(input.chunks_of(section)) {
        match found.last_mut() {
            _ if !stays(at) => {}
            Some(last) if last.1 == start => last.1 = end,
            _ => found.push((start, end)),
        }
    }
}

fn new_section(like: &Section, first: u32) -> OutSection {
    OutSection {
        name: like.name,
        role: like.role,
        kind: like.kind,
        flags: like.flags,
        align: like.align,
        entry_size: like.entry_size,
        size: 0,
        pieces: Vec::new(),
        first,
    }
}

impl OutSection {
    /// Can this be joined? What the section is to be then.
    fn join(&mut self, section: &Section) -> Result<(), String> {
        // What decides about loading has to agree; constants with and without addresses in them do.
        let loose = elf::SHF_MERGE | elf::SHF_STRINGS | elf::SHF_WRITE;
        if self.flags & !loose != section.flags & !loose {
            let (one, other) = (self.flags, section.flags);
            return Err(format!("its flags are {one:#x} there and {other:#x} here"));
        }
        match (self.kind, section.kind) {
            (a, b) if a == b => {}
            // A `.bss` with contents is data.
            (elf::SHT_PROGBITS | elf::SHT_NOBITS, elf::SHT_PROGBITS | elf::SHT_NOBITS) => {
                self.kind = elf::SHT_PROGBITS;
            }
            (a, b) => return Err(format!("its type is {a} there and {b} here")),
        }
        if (self.flags, self.entry_size) != (section.flags, section.entry_size) {
            // Entries of different sizes, or not all of them to be merged by whoever links further.
            let write = (self.flags | section.flags) & elf::SHF_WRITE;
            self.flags = self.flags & !loose | write;
            self.entry_size = 0;
        }
        self.align = self.align.max(section.align);
        Ok(())
    }

    /// Adds a stretch of a section of an input. Gives its place, which is below 4 GiB, as its end is.
    fn push(
        &mut self,
        (input, section): (u32, u32),
        (start, end): (u64, u64),
        called: u32,
        align: u64,
    ) -> Option<u64> {
        let place = self.size.next_multiple_of(align.max(1));
        let size = place.checked_add(end.checked_sub(start)?)?;
        u32::try_from(size).ok()?;
        let [start, end, at] = [start, end, place].map(|n| u32::try_from(n).ok());
        let (start, end, at) = (start?, end?, at?);
        self.pieces.push(Piece { input, section, start, end, at, called });
        self.size = size;
        Some(place)
    }
}

fn too_large(out: &OutSection, names: &Names) -> LinkError {
    LinkError::TooLarge(format!("a section {} of more than 4 GiB", names.text(out.name)))
}

fn label(inputs: &Inputs, at: u32) -> String {
    inputs.get(at).map(|i| i.label().to_owned()).unwrap_or_default()
}
