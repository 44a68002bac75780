//! One object of a link, taken apart: its sections, its symbols, and what its types say about them. The
//! types themselves go into the link's one builder right away, so that what the objects have in common
//! is kept once.

use std::ops::{Deref, Range};
use std::sync::Arc;

use bpfweld_btf::{Endian, Gatherer, Linkage, TypeId};
use bpfweld_object::{
    FileParts, FileReloc, FileSection, FileSymbol, Object, ObjectFile, ReadError, ReadProblem,
};

use crate::bounds;
use crate::describe::Scratch;
use crate::elf;
use crate::error::LinkError;
use crate::hash::HashMap;
use crate::inputs::{Input, Taken, keep};
use crate::known::Known;
use crate::names::{Name, Names};

/// What is long, of all inputs: a list that is of no more use gives its memory back.
#[derive(Debug, Default)]
pub(crate) struct Lists {
    pub(crate) data: Data,
    pub(crate) relocs: Vec<FileReloc>,
    /// Of these, those of the object that came last.
    pub(crate) last_relocs: Span,
    /// Offset in the section, index into [`crate::inputs::Parts::funcs`].
    pub(crate) func_infos: Vec<(u32, u32)>,
    pub(crate) lines: Vec<Line>,
    pub(crate) core: Vec<Core>,
}

impl Lists {
    /// Moves an object's relocations behind those of others. Gives where they begin.
    fn add_relocs(&mut self, relocs: &mut Vec<FileReloc>) -> usize {
        self.last_relocs = keep(&mut self.relocs, relocs, self.last_relocs);
        self.last_relocs.range().start
    }

    pub(crate) fn relocs_of(&self, section: &Section) -> &[FileReloc] {
        section.relocs.of(&self.relocs)
    }

    /// Relocations of a stretch of a section.
    pub(crate) fn relocs_in(&self, section: &Section, start: u64, end: u64) -> &[FileReloc] {
        let all = self.relocs_of(section);
        let from = all.partition_point(|r| r.offset < start);
        let to = all.partition_point(|r| r.offset < end);
        all.get(from..to).unwrap_or_default()
    }

    pub(crate) fn func_infos_of(&self, input: &Input, section: &Section) -> &[(u32, u32)] {
        input.info(section).func_infos.of(&self.func_infos)
    }

    pub(crate) fn lines_of(&self, input: &Input, section: &Section) -> &[Line] {
        input.info(section).lines.of(&self.lines)
    }

    pub(crate) fn core_of(&self, input: &Input, section: &Section) -> &[Core] {
        input.info(section).core.of(&self.core)
    }
}

/// Contents of sections: those of one shape, which come into one section of the output, in one list.
#[derive(Debug, Default)]
pub(crate) struct Data(Vec<Contents>);

#[derive(Debug, Default)]
struct Contents {
    bytes: Vec<u8>,
    /// Of the section that came last.
    last: Span,
}

impl Data {
    pub(crate) fn of(&self, section: &Section) -> &[u8] {
        let all = self.0.get(section.home as usize);
        all.map(|all| section.data.of(&all.bytes)).unwrap_or_default()
    }

    fn put(&mut self, home: u32, bytes: &[u8]) -> Result<Span, LinkError> {
        let home = home as usize;
        if home >= self.0.len() {
            self.0.resize_with(home + 1, Contents::default);
        }
        let Some(Contents { bytes: all, last }) = self.0.get_mut(home) else {
            return Ok(Span::default());
        };
        if last.of(all) == bytes {
            return Ok(*last);
        }
        let from = all.len();
        all.extend_from_slice(bytes);
        if u32::try_from(all.len()).is_err() {
            return Err(LinkError::TooLarge("more than 4 GiB of sections".to_owned()));
        }
        *last = Span::new(from, all.len());
        Ok(*last)
    }

    /// The list that a section is in is of no more use.
    pub(crate) fn forget(&mut self, section: &Section) {
        self.0.get_mut(section.home as usize).map(std::mem::take);
    }
}

/// A part of a list.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Span {
    start: u32,
    end: u32,
}

impl Span {
    pub(crate) fn new(start: usize, end: usize) -> Self {
        // Of what a 4 GiB file holds.
        let number = |n| u32::try_from(n).unwrap_or(u32::MAX);
        Self { start: number(start), end: number(end) }
    }

    /// The same part, where so many items were put in front of it.
    pub(crate) fn behind(self, items: usize) -> Self {
        let Range { start, end } = self.range();
        Self::new(start + items, end + items)
    }

    pub(crate) fn range(self) -> Range<usize> {
        self.start as usize..self.end as usize
    }

    pub(crate) fn is_empty(self) -> bool {
        self.start == self.end
    }

    pub(crate) fn len(self) -> usize {
        self.range().len()
    }

    pub(crate) fn of<T>(self, list: &[T]) -> &[T] {
        list.get(self.range()).unwrap_or_default()
    }
}

/// Numbers for all items of all inputs, by input and the item's index there.
#[derive(Debug, Default)]
pub(crate) struct Bases(Vec<u32>);

impl Bases {
    /// Of how many items each input has.
    pub(crate) fn new(counts: impl Iterator<Item = usize>) -> Self {
        let mut sum = 0;
        let ends = counts.map(|count| {
            sum += count;
            u32::try_from(sum).unwrap_or(u32::MAX)
        });
        Self(std::iter::once(0).chain(ends).collect())
    }

    pub(crate) fn at(&self, input: u32, index: u32) -> usize {
        let base = self.0.get(input as usize).copied().unwrap_or(u32::MAX);
        base as usize + index as usize
    }

    pub(crate) fn total(&self) -> usize {
        self.0.last().copied().unwrap_or(0) as usize
    }
}

/// What a section is to the linker.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) enum Role {
    /// Not in the output, or made anew there.
    Dropped,
    /// Code that only other code runs: `.text`.
    Text,
    /// Code with entry programs.
    Entries,
    /// `.maps`.
    Maps,
    /// `license` and `version`: one each in the output.
    Single,
    /// Anything else.
    Data,
}

/// What sections of many inputs have in common.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Shape {
    /// In the output: `.text` for `.text.x`.
    pub(crate) name: Name,
    /// In the object.
    pub(crate) old_name: Name,
    pub(crate) role: Role,
    pub(crate) kind: u32,
    pub(crate) flags: u64,
    pub(crate) align: u64,
    pub(crate) entry_size: u64,
}

#[derive(Debug, PartialEq)]
pub(crate) struct Section {
    shape: Arc<Shape>,
    /// The shape's number.
    home: u32,
    pub(crate) size: u64,
    /// In its list of [`Data`]; while it is read, in the file.
    pub(crate) data: Span,
    /// In [`Lists::relocs`], by rising offset.
    pub(crate) relocs: Span,
    /// Functions of code, definitions of `.maps`: what may be left out or moved by itself. Without gaps,
    /// by rising offset; empty where the section is one piece.
    pub(crate) chunks: Span,
    /// What `.BTF.ext` says about it, in [`crate::inputs::Parts::infos`]; beyond that of what it says nothing about.
    pub(crate) info: u32,
}

/// What `.BTF.ext` says about a section, each by rising offset.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Info {
    pub(crate) func_infos: Span,
    pub(crate) lines: Span,
    pub(crate) core: Span,
}

impl Deref for Section {
    type Target = Shape;

    fn deref(&self) -> &Shape {
        &self.shape
    }
}

impl Section {
    pub(crate) fn is_code(&self) -> bool {
        matches!(self.role, Role::Text | Role::Entries)
    }
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Chunk {
    pub(crate) start: u64,
    pub(crate) end: u64,
    /// Symbols that begin here, in [`crate::inputs::Parts::starting`].
    pub(crate) symbols: Span,
    /// Is it an entry program?
    pub(crate) is_entry: bool,
    /// No other object can name it.
    pub(crate) is_static: bool,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Line {
    pub(crate) offset: u32,
    pub(crate) file: Name,
    pub(crate) text: Name,
    pub(crate) line_col: u32,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Core {
    pub(crate) offset: u32,
    /// In the link's builder.
    pub(crate) type_id: TypeId,
    /// In the object, where the instruction may have it, too.
    pub(crate) old_id: u32,
    pub(crate) access: Name,
    pub(crate) kind: u32,
}

#[derive(Debug, Clone)]
pub(crate) struct Symbol {
    pub(crate) name: Name,
    /// See [`Symbol::section`]; [`UNDEFINED`] or [`ABSOLUTE`] of what is in none.
    home: u32,
    /// See [`Symbol::described`]: its number, times two, and whether it is a VAR; or [`NOTHING`].
    described: u32,
    pub(crate) kind: u8,
    pub(crate) bind: u8,
    pub(crate) visibility: u8,
    /// Was it called something else in the object?
    pub(crate) renamed: bool,
    pub(crate) value: u64,
    pub(crate) size: u64,
}

const UNDEFINED: u32 = u32::MAX;
const ABSOLUTE: u32 = u32::MAX - 1;
const NOTHING: u32 = u32::MAX;

impl Symbol {
    /// The section that it is in.
    pub(crate) fn section(&self) -> Option<u32> {
        Some(self.home).filter(|&home| home < ABSOLUTE)
    }

    /// Neither undefined nor in a section?
    pub(crate) fn is_absolute(&self) -> bool {
        self.home == ABSOLUTE
    }

    /// Takes it out of its section.
    pub(crate) fn undefine(&mut self) {
        (self.home, self.value) = (UNDEFINED, 0);
    }

    /// Its FUNC or VAR.
    pub(crate) fn described(&self) -> Option<Described> {
        let (number, is_var) = (self.described / 2, self.described % 2 == 1);
        let what = if is_var { Described::Var(number) } else { Described::Func(number) };
        Some(what).filter(|_| self.described != NOTHING)
    }

    /// Says what its FUNC or VAR is, unless it has one. Gives that.
    pub(crate) fn describe(&mut self, what: Described) -> Described {
        if let Some(known) = self.described() {
            return known;
        }
        // Fewer than there are types in a file.
        self.described = match what {
            Described::Func(number) => number.saturating_mul(2),
            Described::Var(number) => number.saturating_mul(2).saturating_add(1),
        };
        what
    }

    pub(crate) fn rename(&mut self, name: Name) {
        self.renamed |= name != self.name;
        self.name = name;
    }

    pub(crate) fn is_local(&self) -> bool {
        self.bind == elf::STB_LOCAL
    }

    pub(crate) fn is_undefined(&self) -> bool {
        self.home == UNDEFINED && !self.names_section()
    }

    pub(crate) fn names_section(&self) -> bool {
        self.kind == elf::STT_SECTION
    }
}

/// A FUNC or VAR of an input, by its place in the list.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Described {
    Func(u32),
    Var(u32),
}

#[derive(Debug, PartialEq)]
pub(crate) struct Func {
    pub(crate) name: Name,
    pub(crate) proto: TypeId,
    pub(crate) linkage: Linkage,
    /// In [`crate::inputs::Parts::tags`].
    pub(crate) tags: Span,
    pub(crate) symbol: Option<u32>,
    /// Listed in `.ksyms`: a function of the kernel.
    pub(crate) kernel: bool,
}

#[derive(Debug, PartialEq)]
pub(crate) struct Var {
    pub(crate) name: Name,
    pub(crate) type_id: TypeId,
    pub(crate) linkage: Linkage,
    /// In [`crate::inputs::Parts::tags`].
    pub(crate) tags: Span,
    pub(crate) symbol: Option<u32>,
    /// The DATASEC that lists it.
    pub(crate) section: Option<Name>,
}

/// A declaration tag on a FUNC or VAR.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Tag {
    pub(crate) name: Name,
    pub(crate) component: Option<u32>,
    pub(crate) attribute: bool,
}

#[derive(Debug, PartialEq)]
pub(crate) struct Datasec {
    pub(crate) name: Name,
    /// In bytes.
    pub(crate) size: u32,
    /// In [`crate::inputs::Parts::entries`].
    pub(crate) entries: Span,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Entry {
    pub(crate) what: Described,
    pub(crate) offset: u32,
    pub(crate) size: u32,
}

/// What the inputs of a link share while they are read.
#[derive(Debug, Default)]
pub(crate) struct Shared {
    pub(crate) names: Names,
    pub(crate) types: Gatherer,
    pub(crate) known: Known,
    /// With their numbers.
    shapes: HashMap<Shape, (Arc<Shape>, u32)>,
    /// Those of the sections of an object, by their places in it; mostly that one's which came last.
    last_shapes: Vec<(Arc<Shape>, u32)>,
    pub(crate) lists: Lists,
    pub(crate) scratch: Scratch,
    /// Source lines are looked at and not kept: nothing is made of what is read.
    pub(crate) passes_over_lines: bool,
}

impl Taken {
    /// Takes an object apart.
    ///
    /// An object is read in full ([`Object::check`]) if anything about it is new or unusual: that finds
    /// all that can be wrong with a file, and tells it with its name. What [`Known`] passes is like what
    /// was read in full before.
    pub(crate) fn read(
        &mut self,
        label: &str,
        bytes: &[u8],
        parts: &mut FileParts,
        shared: &mut Shared,
    ) -> Result<Endian, LinkError> {
        self.take(label, bytes, parts, shared)?;
        self.keep(bytes, &mut shared.lists.data)?;
        Ok(parts.of(bytes).endian())
    }

    /// Copies what sections contain: `bytes` go away.
    fn keep(&mut self, bytes: &[u8], data: &mut Data) -> Result<(), LinkError> {
        self.parts.sections.iter_mut().try_for_each(|section| {
            section.data = data.put(section.home, section.data.of(bytes))?;
            Ok(())
        })
    }

    /// [`Taken::read`], of which sections have their contents in `bytes`. The parts lose their relocations.
    pub(crate) fn take(
        &mut self,
        label: &str,
        bytes: &[u8],
        parts: &mut FileParts,
        shared: &mut Shared,
    ) -> Result<(), LinkError> {
        let relocs_before = shared.lists.add_relocs(&mut parts.relocs);
        let file = parts.of(bytes);
        let broken = |problem| {
            LinkError::Read(ReadError { object: label.to_owned(), problem: Box::new(problem) })
        };
        // The first one needs it in any case, and the memory for it before that for its types.
        let read = shared.known.is_empty();
        if read {
            Object::parse(label, bytes)?.check()?;
        }
        let homes = self.take_sections(file, relocs_before, shared).map_err(broken)?;
        let symbols = file.symbols().map(|s| symbol(&s, &homes, &mut shared.names));
        self.parts.symbols.extend(symbols);
        let [licence, version, btf, ext] =
            contents(file, [b"license", b"version", b".BTF", b".BTF.ext"]);
        let read_licence = self.read_licence(licence, version, file.endian(), &mut shared.names);
        if let Some(btf) = btf {
            self.facts.has_types = true;
            if let Err(error) = self.parts.add_types(btf, ext, shared) {
                // Who reads all of it says it better.
                Object::parse(label, bytes)?.check()?;
                return Err(broken(ReadProblem::Btf { section: ".BTF", error }));
            }
        }
        self.facts.has_code = self.parts.cut();
        let types = shared.types.type_count();
        match shared.covers(&self.view(), bytes, types, file.endian()).filter(|_| read_licence) {
            Some(bare) => self.facts.has_bare = bare,
            None => {
                if !read {
                    Object::parse(label, bytes)?.check()?;
                }
                shared.known.learn(&self.view(), types);
                self.facts.has_bare = true;
            }
        }
        bounds::check(&self.view(), &shared.names).map_err(broken)?;
        self.mark_entries(bytes, &shared.lists, file.endian());
        Ok(())
    }

    /// Takes over what goes into outputs. Gives the new number of each section of the file. So many relocations
    /// of others are in front of its own.
    fn take_sections(
        &mut self,
        file: ObjectFile<'_>,
        relocs_before: usize,
        shared: &mut Shared,
    ) -> Result<Vec<u32>, ReadProblem> {
        let mut homes = vec![0; file.sections().len()];
        let none = Span::default();
        let (relocs, chunks) = (none, none);
        let (shape, home) = shared.shape(Shape::NOTHING);
        self.parts.sections.push(Section {
            shape,
            home,
            size: 0,
            data: none,
            relocs,
            chunks,
            info: u32::MAX,
        });
        for (from, home) in file.sections().zip(&mut homes) {
            let role = role(&from);
            if role == Role::Dropped {
                continue;
            }
            let align = from.align.max(1);
            if !align.is_power_of_two() || align > MAX_ALIGN {
                let problem =
                    format!("its alignment of {align} bytes is no power of two up to {MAX_ALIGN}");
                let section = String::from_utf8_lossy(from.name).into_owned();
                return Err(ReadProblem::Section { section, problem });
            }
            *home = u32::try_from(self.parts.sections.len()).unwrap_or(0);
            let relocs = Span::new(from.relocs.start, from.relocs.end).behind(relocs_before);
            let data = Span::new(from.start, from.start + from.data.len());
            let (shape, number) = shared.shape_of(self.parts.sections.len(), &from, role, align);
            self.parts.sections.push(Section {
                shape,
                home: number,
                size: from.size,
                data,
                relocs,
                chunks,
                info: u32::MAX,
            });
        }
        Ok(homes)
    }

    /// `false` when something is wrong with licence or version.
    fn read_licence(
        &mut self,
        licence: Option<&[u8]>,
        version: Option<&[u8]>,
        endian: Endian,
        names: &mut Names,
    ) -> bool {
        let mut fine = true;
        if let Some(data) = licence {
            let text = data.split(|&b| b == 0).next().unwrap_or_default();
            fine &= std::str::from_utf8(text).is_ok();
            self.facts.licence = Some(names.add(text));
        }
        if let Some(data) = version {
            match <[u8; 4]>::try_from(data) {
                Ok(bytes) => self.facts.version = Some(elf::get(bytes, endian)),
                Err(_) => fine = false,
            }
        }
        fine
    }
}

impl Shared {
    /// The shape of a section at this place of an object.
    fn shape_of(
        &mut self,
        place: usize,
        from: &FileSection<'_>,
        role: Role,
        align: u64,
    ) -> (Arc<Shape>, u32) {
        let (kind, flags, entry_size) = (from.kind, from.flags & !elf::SHF_GROUP, from.entry_size);
        if let Some((shape, number)) = self.last_shapes.get(place)
            && (shape.role, shape.kind, shape.flags) == (role, kind, flags)
            && (shape.align, shape.entry_size) == (align, entry_size)
            && self.names.bytes(shape.old_name) == from.name
        {
            return (shape.clone(), *number);
        }
        let old_name = self.names.add(from.name);
        let name = if role == Role::Text { self.names.add(b".text") } else { old_name };
        let found = self.shape(Shape { name, old_name, role, kind, flags, align, entry_size });
        match self.last_shapes.get_mut(place) {
            Some(last) => *last = found.clone(),
            None => self.last_shapes.resize(place + 1, found.clone()),
        }
        found
    }

    /// The one of these that is kept.
    fn shape(&mut self, shape: Shape) -> (Arc<Shape>, u32) {
        let number = u32::try_from(self.shapes.len()).unwrap_or(u32::MAX);
        self.shapes.entry(shape).or_insert_with(|| (Arc::new(shape), number)).clone()
    }
}

impl Shape {
    /// Of what is not linked.
    const NOTHING: Self = Self {
        name: Name::EMPTY,
        old_name: Name::EMPTY,
        role: Role::Dropped,
        kind: 0,
        flags: 0,
        align: 1,
        entry_size: 0,
    };
}

/// The contents of the first section of each name that has any.
fn contents<'a, const N: usize>(file: ObjectFile<'a>, names: [&[u8]; N]) -> [Option<&'a [u8]>; N] {
    let mut found = [None; N];
    for section in file.sections().filter(|s| !s.data.is_empty()) {
        let slots = names.iter().zip(&mut found).filter(|(name, _)| **name == section.name);
        slots.for_each(|(_, slot)| *slot = slot.or(Some(section.data)));
    }
    found
}

/// Largest alignment of a section, in bytes: what lies between sections is written out.
const MAX_ALIGN: u64 = 1 << 16;

fn role(section: &FileSection<'_>) -> Role {
    let name = section.name;
    match section.kind {
        elf::SHT_PROGBITS | elf::SHT_NOBITS | elf::SHT_NOTE => {}
        _ => return Role::Dropped,
    }
    // Types are put together anew.
    if matches!(name, b".BTF" | b".BTF.ext") {
        return Role::Dropped;
    }
    if section.has_code() {
        return if name == b".text" || name.starts_with(b".text.") {
            Role::Text
        } else {
            Role::Entries
        };
    }
    match name {
        // What compilers leave for debuggers and for themselves.
        b".eh_frame" | b".comment" | b".note.GNU-stack" => Role::Dropped,
        _ if name.starts_with(b".debug_") || name.starts_with(b".llvm") => Role::Dropped,
        b".maps" => Role::Maps,
        b"license" | b"version" => Role::Single,
        _ => Role::Data,
    }
}

fn symbol(symbol: &FileSymbol<'_>, homes: &[u32], names: &mut Names) -> Symbol {
    let name = names.add(symbol.name);
    let home = match symbol.section {
        Some(at) => homes.get(at as usize).copied().unwrap_or(0),
        None if symbol.absolute => ABSOLUTE,
        None => UNDEFINED,
    };
    Symbol {
        name,
        home,
        described: NOTHING,
        kind: symbol.kind,
        // Nobody else can mean what has no name.
        bind: if name == Name::EMPTY { elf::STB_LOCAL } else { symbol.bind },
        visibility: symbol.visibility,
        renamed: false,
        value: symbol.value,
        size: symbol.size,
    }
}
