//! What the types and `.BTF.ext` of an input say about its symbols and instructions, and where its
//! sections can be cut.

use crate::hash::HashSet;

use bpfweld_btf::{BtfError, Endian, ExtItem, Gathered, Item, Linkage, TypeId};
use bpfweld_object::RelocKind;

use crate::elf;
use crate::input::{
    Chunk, Core, Datasec, Described, Entry, Func, Info, Line, Lists, Role, Section, Shared, Span,
    Symbol, Tag, Var,
};
use crate::inputs::{Input, Parts, Taken, keep};
use crate::names::{Name, Names};
use crate::plan::bare_references;

impl Parts {
    /// Adds the types of the object to those of the link, and notes what it says about functions,
    /// variables, sections and instructions.
    pub(crate) fn add_types(
        &mut self,
        btf: &[u8],
        ext: Option<&[u8]>,
        shared: &mut Shared,
    ) -> Result<(), BtfError> {
        let passes_over_lines = shared.passes_over_lines;
        let Shared { names, types, scratch, lists, .. } = shared;
        let Scratch { strings, records: old, ids } = scratch;
        let mut gathered = types.add(btf)?;
        let mut tags: Vec<(Described, Tag)> = Vec::new();
        ids.list.clear();
        let counts = gathered.counts();
        self.funcs.reserve_exact(counts.funcs);
        self.vars.reserve_exact(counts.vars);
        self.datasecs.reserve_exact(counts.datasecs);
        self.entries.reserve_exact(counts.entries);
        for item in gathered.items() {
            match item {
                Item::Func { id, name, linkage, proto } => {
                    ids.add(id, Described::Func(count(&self.funcs)));
                    let (name, none) = (names.add(name), Span::default());
                    let (symbol, kernel) = (None, false);
                    self.funcs.push(Func { name, proto, linkage, tags: none, symbol, kernel });
                }
                Item::Var { id, name, linkage, type_id } => {
                    ids.add(id, Described::Var(count(&self.vars)));
                    let (name, none) = (names.add(name), Span::default());
                    let (symbol, section) = (None, None);
                    self.vars.push(Var { name, type_id, linkage, tags: none, symbol, section });
                }
                Item::Datasec { .. } | Item::Tag { .. } => {}
            }
        }
        for item in gathered.items_about() {
            match item {
                Item::Tag { on, text, component, attribute } => {
                    if let Some(on) = ids.get(on) {
                        tags.push((on, Tag { name: names.add(text), component, attribute }));
                    }
                }
                Item::Datasec { name, size, entries } => {
                    let kernel = name == b".ksyms";
                    let (name, from) = (names.add(name), self.entries.len());
                    for entry in Item::section_vars(entries) {
                        let what = ids.get(entry.type_id).ok_or_else(|| BtfError::Type {
                            id: entry.type_id.0,
                            problem: "a section lists it, and it is no variable".to_owned(),
                        })?;
                        match what {
                            Described::Func(at) => {
                                if let Some(func) = self.funcs.get_mut(at as usize) {
                                    func.kernel |= kernel;
                                }
                            }
                            Described::Var(at) => {
                                if let Some(var) = self.vars.get_mut(at as usize) {
                                    var.section = Some(name);
                                }
                            }
                        }
                        self.entries.push(Entry { what, offset: entry.offset, size: entry.size });
                    }
                    let entries = Span::new(from, self.entries.len());
                    self.datasecs.push(Datasec { name, size, entries });
                }
                Item::Func { .. } | Item::Var { .. } => {}
            }
        }
        self.add_tags(tags);
        if let Some(ext) = ext {
            strings.start();
            old.clear();
            gathered.ext(ext, |item| match item {
                ExtItem::Section(name) => {
                    let name = names.find_bytes(name);
                    let is = |s: &Section| s.is_code() && Some(s.old_name) == name;
                    old.section = (0u32..).zip(&self.sections).find(|(_, s)| is(s)).map(|(i, _)| i);
                }
                ExtItem::Func(record) => {
                    if let (Some(section), Some(Described::Func(func))) =
                        (old.section, ids.get(record.type_id))
                    {
                        old.funcs.add(section, (record.insn_off, func));
                    }
                }
                ExtItem::Line(_) if passes_over_lines => {}
                ExtItem::Line(record) => {
                    let Some(section) = old.section else { return };
                    let mut name = |offset| strings.name(offset, &gathered, names);
                    let line = Line {
                        offset: record.insn_off,
                        file: name(record.file_off),
                        text: name(record.line_off),
                        line_col: record.line_col,
                    };
                    old.lines.add(section, line);
                }
                ExtItem::Core(record) => {
                    if let Some(section) = old.section {
                        let access = names.add(gathered.string(record.access_off));
                        let (offset, old_id) = (record.insn_off, record.type_id.0);
                        let (type_id, kind) = (TypeId::VOID, record.kind);
                        old.core.add(section, Core { offset, type_id, old_id, access, kind });
                    }
                }
            })?;
            for core in &mut old.core.items {
                // A function or variable as the root of an access is nothing that compilers make.
                core.type_id = gathered.import(TypeId(core.old_id))?;
            }
            self.add_records(old, lists);
        }
        self.describe(lists);
        Ok(())
    }

    /// Gives functions and variables their tags.
    fn add_tags(&mut self, mut tags: Vec<(Described, Tag)>) {
        // Those of one in a row, in their order.
        tags.sort_by_key(|&(on, _)| match on {
            Described::Func(at) => (0, at),
            Described::Var(at) => (1, at),
        });
        for of_one in tags.chunk_by(|(a, _), (b, _)| a == b) {
            let from = self.tags.len();
            self.tags.extend(of_one.iter().map(|&(_, tag)| tag));
            let span = Span::new(from, self.tags.len());
            let list = match of_one.first() {
                Some(&(Described::Func(at), _)) => {
                    self.funcs.get_mut(at as usize).map(|f| &mut f.tags)
                }
                Some(&(Described::Var(at), _)) => {
                    self.vars.get_mut(at as usize).map(|v| &mut v.tags)
                }
                None => None,
            };
            list.into_iter().for_each(|list| *list = span);
        }
    }

    /// Gives sections their parts of `.BTF.ext`.
    fn add_records(&mut self, records: &mut Records, lists: &mut Lists) {
        let of_funcs = records.funcs.finish(|&(offset, _)| offset, &mut lists.func_infos);
        let of_lines = records.lines.finish(|line| line.offset, &mut lists.lines);
        let of_core = records.core.finish(|core| core.offset, &mut lists.core);
        self.infos.reserve_exact(self.sections.iter().filter(|s| s.is_code()).count());
        let code = (0u32..).zip(&mut self.sections).filter(|(_, s)| s.is_code());
        for (index, section) in code {
            section.info = count(&self.infos);
            let part = |runs: &[(u32, Span)]| {
                let at = runs.binary_search_by_key(&index, |&(section, _)| section).ok();
                at.and_then(|at| runs.get(at)).map(|&(_, span)| span).unwrap_or_default()
            };
            let (func_infos, lines, core) = (part(&of_funcs), part(&of_lines), part(&of_core));
            self.infos.push(Info { func_infos, lines, core });
        }
    }

    /// Finds the symbol of each FUNC and VAR.
    fn describe(&mut self, lists: &Lists) {
        let places = self.places();
        for (index, section) in (0u32..).zip(&self.sections) {
            let info = self.infos.get(section.info as usize).copied().unwrap_or_default();
            for &(offset, func) in info.func_infos.of(&lists.func_infos) {
                let Some(func) = self.funcs.get_mut(func as usize) else { continue };
                let here = places.starting(index, offset.into());
                let is = |&&(_, _, s): &&_| {
                    self.symbols.get(s as usize).is_some_and(|s: &Symbol| s.name == func.name)
                };
                let found = here.iter().find(is).or(here.first());
                func.symbol = func.symbol.or(found.map(|&(_, _, s)| s));
            }
        }
        for func in &mut self.funcs {
            if func.linkage == Linkage::Extern {
                func.symbol = places.first(UNDEFINED, func.name);
            } else if func.symbol.is_none() {
                let is_static = func.linkage == Linkage::Static;
                let with = |local| {
                    let all = places.by_section(func.name).flatten();
                    let all = all.filter(|&&(_, home, _)| {
                        self.sections.get(home as usize).is_some_and(Section::is_code)
                    });
                    let is = |&&(_, _, s): &&_| {
                        self.symbols.get(s as usize).is_some_and(|s: &Symbol| s.is_local() == local)
                    };
                    let mut found = all.filter(is);
                    found.next().filter(|_| found.next().is_none()).map(|&(_, _, s)| s)
                };
                func.symbol = with(is_static).or_else(|| with(!is_static));
            }
        }
        for var in &mut self.vars {
            let of_section = |name: Name| {
                let is = |s: &Section| s.role != Role::Dropped && s.name == name;
                places.by_section(var.name).find_map(|all| match *all {
                    [(_, home, one)] => {
                        self.sections.get(home as usize).is_some_and(is).then_some(one)
                    }
                    _ => None,
                })
            };
            var.symbol = match var.linkage {
                Linkage::Extern => places.first(UNDEFINED, var.name),
                _ => var.section.and_then(of_section),
            };
        }
        let funcs =
            (0u32..).zip(&self.funcs).filter_map(|(i, f)| Some((f.symbol?, Described::Func(i))));
        for (symbol, what) in funcs {
            if let Some(symbol) = self.symbols.get_mut(symbol as usize) {
                symbol.describe(what);
            }
        }
        for (index, var) in (0u32..).zip(&mut self.vars) {
            let symbol = var.symbol.and_then(|s| self.symbols.get_mut(s as usize));
            let what = Described::Var(index);
            // Of two variables of one name, the first has it.
            if symbol.is_some_and(|s| s.describe(what) != what) {
                var.symbol = None;
            }
        }
    }

    /// Finds out which symbols are where.
    fn places(&mut self) -> Places {
        let room = self.symbols.len();
        let mut places = Places { named: Vec::with_capacity(room), code: Vec::with_capacity(room) };
        for (at, symbol) in (0u32..).zip(&mut self.symbols) {
            if symbol.names_section() || symbol.name == Name::EMPTY || symbol.kind == elf::STT_FILE
            {
                continue;
            }
            let section = symbol.section().and_then(|s| self.sections.get(s as usize));
            // libbpf's linker gives an extern map that it did not find a place at the start of `.maps`.
            if section.is_some_and(|s| s.role == Role::Maps)
                && (symbol.kind, symbol.size) == (elf::STT_NOTYPE, 0)
                && !symbol.is_local()
                && self.vars.iter().any(|v| v.linkage == Linkage::Extern && v.name == symbol.name)
            {
                symbol.undefine();
            }
            places.named.push((symbol.name, symbol.section().unwrap_or(UNDEFINED), at));
            if let Some(index) = symbol.section().filter(|_| section.is_some_and(Section::is_code))
            {
                places.code.push((index, symbol.value, at));
            }
        }
        // Names are mostly new ones, which get rising numbers.
        places.named.sort();
        places.code = by_place(places.code, self.sections.len());
        places
    }

    /// Cuts code at functions and `.maps` at definitions. Is there any code?
    pub(crate) fn cut(&mut self) -> bool {
        let mut has_code = false;
        let mut has_functions = vec![false; self.sections.len()];
        for symbol in &self.symbols {
            if symbol.kind == elf::STT_FUNC
                && let Some(flag) = symbol.section().and_then(|s| has_functions.get_mut(s as usize))
            {
                *flag = true;
            }
        }
        let mut starts: Vec<Start> = Vec::with_capacity(self.symbols.len());
        for (at, symbol) in (0u32..).zip(&self.symbols) {
            let Some(index) = symbol.section() else { continue };
            let Some(section) = self.sections.get(index as usize) else { continue };
            let begins = match section.role {
                // Where a section has no functions, its global labels count.
                Role::Text | Role::Entries if has_functions.get(index as usize) == Some(&true) => {
                    symbol.kind == elf::STT_FUNC
                }
                Role::Text | Role::Entries => symbol.kind == elf::STT_NOTYPE && !symbol.is_local(),
                Role::Maps => symbol.kind == elf::STT_OBJECT,
                _ => false,
            };
            if begins && symbol.value < section.size {
                starts.push((index, symbol.value, at));
            }
        }
        let starts = by_place(starts, self.sections.len());
        self.starting.extend(starts.iter().map(|&(_, _, symbol)| symbol));
        self.chunks.reserve_exact(starts.len());
        let mut behind = 0;
        for of_section in starts.chunk_by(|a, b| a.0 == b.0) {
            let Some(&(index, first, _)) = of_section.first() else { continue };
            let Some(section) = self.sections.get_mut(index as usize) else { continue };
            let from = self.chunks.len();
            let end = section.size;
            let chunk =
                |start, symbols| Chunk { start, end, symbols, is_entry: false, is_static: false };
            if first > 0 {
                self.chunks.push(chunk(0, Span::default()));
            }
            for here in of_section.chunk_by(|a, b| a.1 == b.1) {
                let Some(&(_, start, _)) = here.first() else { continue };
                if self.chunks.len() > from
                    && let Some(last) = self.chunks.last_mut()
                {
                    last.end = start;
                }
                let symbols = Span::new(behind, behind + here.len());
                behind += here.len();
                let local = |&s: &u32| self.symbols.get(s as usize).is_some_and(|s| s.is_local());
                let is_static = symbols.of(&self.starting).iter().all(local);
                self.chunks.push(Chunk { is_static, ..chunk(start, symbols) });
            }
            section.chunks = Span::new(from, self.chunks.len());
            has_code |= section.is_code();
        }
        has_code
    }
}

impl Taken {
    /// Says which chunks are entry programs: outside `.text`, what is not static, or what nothing else in
    /// the object refers to, or a slot of a map names.
    pub(crate) fn mark_entries(&mut self, data: &[u8], lists: &Lists, endian: Endian) {
        let entries = |s: &&Section| s.role == Role::Entries;
        let input = self.view();
        let mut chunks = input.sections().iter().filter(entries).flat_map(|s| input.chunks_of(s));
        let uses = match chunks.any(|c| c.is_static) {
            true => uses(&input, data, lists, endian),
            false => Uses::default(),
        };
        for section in self.parts.sections.iter().filter(entries) {
            for at in section.chunks.range() {
                let Some(chunk) = self.parts.chunks.get_mut(at) else { continue };
                chunk.is_entry = !chunk.symbols.is_empty()
                    && (!chunk.is_static || uses.slots.contains(&at) || !uses.code.contains(&at));
            }
        }
    }
}

/// Chunks that code of others, or a slot of a map, refers to.
fn uses(input: &Input<'_>, data: &[u8], lists: &Lists, endian: Endian) -> Uses {
    let mut uses = Uses::default();
    let place = |symbol: u32, addend: i64| {
        let symbol = input.symbol(symbol)?;
        let section = input.section(symbol.section()?)?;
        let offset = symbol.value.checked_add_signed(addend)?;
        Some(section.chunks.range().start + input.chunk_at(section, offset)? as usize)
    };
    for section in input.sections() {
        for reloc in lists.relocs_of(section).iter().filter(|_| section.role == Role::Maps) {
            uses.slots.extend(place(reloc.symbol, reloc.addend));
        }
        for own in section.chunks.range().filter(|_| section.is_code()) {
            let Some(&Chunk { start, end, .. }) = input.chunks().get(own) else { continue };
            let calls = |k| matches!(k, RelocKind::Call | RelocKind::LoadImm64);
            let relocs = lists.relocs_in(section, start, end).iter().filter(|r| calls(r.kind));
            let by_reloc = relocs.filter_map(|r| place(r.symbol, r.addend));
            let bare = bare_references(section.data.of(data), lists, section, start, end, endian);
            let by_distance = bare.into_iter().filter_map(|bare| {
                let chunk = input.chunk_at(section, bare.target)?;
                Some(section.chunks.range().start + chunk as usize)
            });
            uses.code.extend(by_reloc.chain(by_distance).filter(|&at| at != own));
        }
    }
    uses
}

/// Stands for the section of what has none.
const UNDEFINED: u32 = u32::MAX;

/// Sorts symbols by section, which is one of so many, then offset, then number. Linkers and compilers have the
/// symbols of one section by rising offset, mostly, and in between those of others.
fn by_place(mut list: Vec<Start>, sections: usize) -> Vec<Start> {
    if list.len() < MANY {
        list.sort_unstable();
        return list;
    }
    let mut next = vec![0; sections + 1];
    for &(section, ..) in &list {
        if let Some(count) = next.get_mut(section as usize + 1) {
            *count += 1;
        }
    }
    let mut behind = 0;
    for place in &mut next {
        behind += *place;
        *place = behind;
    }
    let mut sorted = vec![(0, 0, 0); list.len()];
    for start in list {
        if let Some(place) = next.get_mut(start.0 as usize)
            && let Some(slot) = sorted.get_mut(*place)
        {
            *slot = start;
            *place += 1;
        }
    }
    sorted.sort();
    sorted
}

/// Fewer than this are sorted faster one by one.
const MANY: usize = 64;

/// Section and offset of a symbol, and its number.
type Start = (u32, u64, u32);

/// Symbols with names, sorted.
#[derive(Default)]
struct Places {
    /// By name and section.
    named: Vec<(Name, u32, u32)>,
    /// Of code, by section and offset.
    code: Vec<Start>,
}

impl Places {
    fn all(&self, section: u32, name: Name) -> &[(Name, u32, u32)] {
        let from = self.named.partition_point(|&(n, s, _)| (n, s) < (name, section));
        let rest = self.named.get(from..).unwrap_or_default();
        let is = |&(n, s, _): &(Name, u32, u32)| (n, s) == (name, section);
        // Mostly there is one.
        let len = match rest.get(1).is_some_and(is) {
            true => rest.partition_point(is),
            false => usize::from(rest.first().is_some_and(is)),
        };
        rest.get(..len).unwrap_or_default()
    }

    /// What has a name, in one section after the other.
    fn by_section(&self, name: Name) -> impl Iterator<Item = &[(Name, u32, u32)]> {
        let mut next = self.named.partition_point(|&(n, ..)| n < name);
        std::iter::from_fn(move || {
            let &(_, section, _) = self.named.get(next).filter(|&&(n, ..)| n == name)?;
            let all = self.all(section, name);
            next += all.len();
            Some(all)
        })
    }

    fn first(&self, section: u32, name: Name) -> Option<u32> {
        self.all(section, name).first().map(|&(_, _, symbol)| symbol)
    }

    fn starting(&self, section: u32, offset: u64) -> &[Start] {
        let from = self.code.partition_point(|&(s, o, _)| (s, o) < (section, offset));
        let rest = self.code.get(from..).unwrap_or_default();
        let len = rest.iter().take_while(|&&(s, o, _)| (s, o) == (section, offset)).count();
        rest.get(..len).unwrap_or_default()
    }
}

/// What functions and variables types are, by their ids, from the first one on.
#[derive(Debug, Default)]
struct Ids {
    first: u32,
    list: Vec<Option<Described>>,
}

impl Ids {
    /// Ids rise.
    fn add(&mut self, id: TypeId, what: Described) {
        if self.list.is_empty() {
            self.first = id.0;
        }
        self.list.resize((id.0 - self.first) as usize, None);
        self.list.push(Some(what));
    }

    fn get(&self, id: TypeId) -> Option<Described> {
        self.list.get(id.0.checked_sub(self.first)? as usize).copied().flatten()
    }
}

/// Places in [`Parts::chunks`].
#[derive(Default)]
struct Uses {
    code: HashSet<usize>,
    slots: HashSet<usize>,
}

/// Room for what is of use only while an object is read.
#[derive(Debug, Default)]
pub(crate) struct Scratch {
    strings: Recent,
    records: Records,
    ids: Ids,
}

/// The names of strings that were asked for lately.
#[derive(Debug)]
struct Recent {
    /// By their offset in the types: of those whose offsets end in the same bits, the last one.
    here: [(u32, Name); 64],
    /// What came behind which name last, by the same token. Source lines come in one order in many objects.
    next: [(Name, Name); 128],
    last: Name,
}

impl Default for Recent {
    fn default() -> Self {
        // The string at 0 is the empty one.
        Self {
            here: [(0, Name::EMPTY); 64],
            next: [(Name::EMPTY, Name::EMPTY); 128],
            last: Name::EMPTY,
        }
    }
}

impl Recent {
    /// For the types of another object.
    fn start(&mut self) {
        *self = Self { next: self.next, ..Self::default() };
    }

    /// The name of the string at an offset.
    fn name(&mut self, offset: u32, types: &Gathered<'_>, names: &mut Names) -> Name {
        let here = self.here.get_mut(offset as usize % 64);
        if let Some(&(_, name)) = here.as_deref().filter(|(at, _)| *at == offset) {
            return name;
        }
        let next = self.next.get_mut(self.last.number() % 128);
        let guess = next.as_deref().filter(|(last, _)| *last == self.last).map(|&(_, next)| next);
        let name = match guess {
            Some(guess) if types.is_string(offset, names.bytes(guess)) => guess,
            _ => names.add(types.string(offset)),
        };
        next.into_iter().for_each(|next| *next = (self.last, name));
        here.into_iter().for_each(|here| *here = (offset, name));
        self.last = name;
        name
    }
}

/// What `.BTF.ext` says.
#[derive(Debug, Default)]
struct Records {
    /// The section that what comes next is about.
    section: Option<u32>,
    funcs: Runs<(u32, u32)>,
    lines: Runs<Line>,
    core: Runs<Core>,
}

impl Records {
    /// Of an object that could not be read there may be some left.
    fn clear(&mut self) {
        self.section = None;
        self.funcs.clear();
        self.lines.clear();
        self.core.clear();
    }
}

/// Records of one section after the other.
#[derive(Debug)]
struct Runs<T> {
    items: Vec<T>,
    /// Each section, and where its records begin.
    starts: Vec<(u32, usize)>,
    /// Where the records of the object before went.
    before: Span,
}

impl<T> Default for Runs<T> {
    fn default() -> Self {
        Self { items: Vec::new(), starts: Vec::new(), before: Span::default() }
    }
}

impl<T: Copy + PartialEq> Runs<T> {
    fn add(&mut self, section: u32, item: T) {
        if self.starts.last().is_none_or(|&(last, _)| last != section) {
            self.starts.push((section, self.items.len()));
        }
        self.items.push(item);
    }

    /// Puts the records behind those of other inputs, sorted by their offsets in each section. Gives the part of
    /// each section, sorted.
    fn finish(&mut self, offset: impl Fn(&T) -> u32, to: &mut Vec<T>) -> Vec<(u32, Span)> {
        let mut runs = self.runs();
        runs.sort_unstable_by_key(|&(section, span)| (section, span.range().start));
        let once = runs.array_windows().all(|[a, b]| a.0 != b.0);
        let sorted = |&(_, span): &(u32, Span)| span.of(&self.items).is_sorted_by_key(&offset);
        // As compilers write them.
        if !once || !runs.iter().all(sorted) {
            let all = runs.iter().flat_map(|&(section, span)| {
                span.of(&self.items).iter().map(move |&item| (section, item))
            });
            let mut all: Vec<(u32, T)> = all.collect();
            all.sort_by_key(|(section, item)| (*section, offset(item)));
            self.items.clear();
            self.starts.clear();
            all.into_iter().for_each(|(section, item)| self.add(section, item));
            runs = self.runs();
        }
        self.before = keep(to, &mut self.items, self.before);
        let from = self.before.range().start;
        runs.iter_mut().for_each(|(_, span)| *span = span.behind(from));
        self.starts.clear();
        runs
    }

    fn clear(&mut self) {
        self.items.clear();
        self.starts.clear();
    }

    fn runs(&self) -> Vec<(u32, Span)> {
        let ends = self.starts.iter().skip(1).map(|&(_, start)| start);
        let starts = self.starts.iter().zip(ends.chain([self.items.len()]));
        starts.map(|(&(section, start), end)| (section, Span::new(start, end))).collect()
    }
}

/// The place in a list that the next one gets.
fn count<T>(list: &[T]) -> u32 {
    // Lists of what a 4 GiB file holds.
    u32::try_from(list.len()).unwrap_or(u32::MAX)
}
