//! All objects of a link, in lists of all: a thousand objects would have ten thousand small ones, of which the
//! memory comes back in pieces too small for anything else.

use std::ops::{Deref, Range};

use bpfweld_btf::Linkage;

use crate::input::{
    Chunk, Datasec, Described, Entry, Func, Info, Role, Section, Span, Symbol, Tag, Var,
};
use crate::names::Name;

/// What an object is made of, or those of a link. In those of a link, numbers and spans are still within the
/// object's own.
#[derive(Debug, Default)]
pub(crate) struct Parts {
    /// The first of an object stands for all that is not linked; the others have contents for the output.
    pub(crate) sections: Vec<Section>,
    /// By their index in the file.
    pub(crate) symbols: Vec<Symbol>,
    pub(crate) chunks: Vec<Chunk>,
    /// Of chunks, see [`Chunk::symbols`].
    pub(crate) starting: Vec<u32>,
    /// Of sections with code, see [`Section::info`].
    pub(crate) infos: Vec<Info>,
    pub(crate) funcs: Vec<Func>,
    pub(crate) vars: Vec<Var>,
    /// Declaration tags on these.
    pub(crate) tags: Vec<Tag>,
    pub(crate) datasecs: Vec<Datasec>,
    pub(crate) entries: Vec<Entry>,
}

/// What is to be known of an object beside its parts.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Facts {
    pub(crate) has_types: bool,
    pub(crate) has_code: bool,
    /// Can there be references without relocations?
    pub(crate) has_bare: bool,
    pub(crate) licence: Option<Name>,
    pub(crate) version: Option<u32>,
}

/// An object, taken apart.
#[derive(Debug, Default)]
pub(crate) struct Taken {
    pub(crate) facts: Facts,
    pub(crate) parts: Parts,
}

/// All objects of a link, by their numbers.
#[derive(Debug, Default)]
pub(crate) struct Inputs {
    list: Vec<Own>,
    /// One behind the other.
    labels: String,
    parts: Parts,
}

/// Which parts are an object's own. Those that it has in common with the one before it are the same.
#[derive(Debug, Clone, Copy, Default)]
struct Own {
    label: Span,
    facts: Facts,
    sections: Span,
    symbols: Span,
    chunks: Span,
    starting: Span,
    infos: Span,
    funcs: Span,
    vars: Span,
    tags: Span,
    datasecs: Span,
    entries: Span,
}

/// One object of a link, or one that is to be.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Input<'a> {
    facts: &'a Facts,
    parts: &'a Parts,
    /// Where all parts are not its own: labels, and which are.
    own: Option<(&'a str, &'a Own)>,
}

impl Deref for Input<'_> {
    type Target = Facts;

    fn deref(&self) -> &Facts {
        self.facts
    }
}

impl Taken {
    /// The object, which has no label yet.
    pub(crate) fn view(&self) -> Input<'_> {
        Input { facts: &self.facts, parts: &self.parts, own: None }
    }
}

impl Inputs {
    /// Adds an object, whose parts are moved: it is empty then. Gives its number.
    pub(crate) fn add(&mut self, label: &str, taken: &mut Taken) -> u32 {
        let number = self.numbers().end;
        let before = self.list.last().copied().unwrap_or_default();
        let from = self.labels.len();
        self.labels.push_str(label);
        let (to, parts) = (&mut self.parts, &mut taken.parts);
        self.list.push(Own {
            label: Span::new(from, self.labels.len()),
            facts: std::mem::take(&mut taken.facts),
            sections: keep(&mut to.sections, &mut parts.sections, before.sections),
            // These may be changed.
            symbols: move_behind(&mut to.symbols, &mut parts.symbols),
            chunks: keep(&mut to.chunks, &mut parts.chunks, before.chunks),
            starting: keep(&mut to.starting, &mut parts.starting, before.starting),
            infos: keep(&mut to.infos, &mut parts.infos, before.infos),
            funcs: keep(&mut to.funcs, &mut parts.funcs, before.funcs),
            vars: keep(&mut to.vars, &mut parts.vars, before.vars),
            tags: keep(&mut to.tags, &mut parts.tags, before.tags),
            datasecs: keep(&mut to.datasecs, &mut parts.datasecs, before.datasecs),
            entries: keep(&mut to.entries, &mut parts.entries, before.entries),
        });
        number
    }

    pub(crate) fn numbers(&self) -> Range<u32> {
        // Fewer than fit into memory.
        0..u32::try_from(self.list.len()).unwrap_or(u32::MAX)
    }

    pub(crate) fn get(&self, number: u32) -> Option<Input<'_>> {
        self.list.get(number as usize).map(|own| self.view(own))
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = Input<'_>> + Clone {
        self.list.iter().map(|own| self.view(own))
    }

    /// With their numbers.
    pub(crate) fn numbered(&self) -> impl Iterator<Item = (u32, Input<'_>)> + Clone {
        self.numbers().zip(self.iter())
    }

    fn view<'a>(&'a self, own: &'a Own) -> Input<'a> {
        Input { facts: &own.facts, parts: &self.parts, own: Some((&self.labels, own)) }
    }

    /// An object's symbols, to change them.
    pub(crate) fn symbols_mut(&mut self, number: u32) -> &mut [Symbol] {
        let span = self.list.get(number as usize).map(|own| own.symbols).unwrap_or_default();
        self.parts.symbols.get_mut(span.range()).unwrap_or_default()
    }

    /// Gives up all that instructions and what is known about them have no need of: symbols and types.
    pub(crate) fn keep_code(&mut self) {
        let Parts { sections, chunks, infos, .. } = std::mem::take(&mut self.parts);
        self.parts = Parts { sections, chunks, infos, ..Parts::default() };
    }
}

impl<'a> Input<'a> {
    /// What messages call it.
    pub(crate) fn label(&self) -> &'a str {
        self.own.and_then(|(labels, own)| labels.get(own.label.range())).unwrap_or_default()
    }

    fn part<T>(&self, all: &'a [T], part: impl FnOnce(&Own) -> Span) -> &'a [T] {
        self.own.map_or(all, |(_, own)| part(own).of(all))
    }

    pub(crate) fn sections(&self) -> &'a [Section] {
        self.part(&self.parts.sections, |own| own.sections)
    }

    pub(crate) fn symbols(&self) -> &'a [Symbol] {
        self.part(&self.parts.symbols, |own| own.symbols)
    }

    pub(crate) fn chunks(&self) -> &'a [Chunk] {
        self.part(&self.parts.chunks, |own| own.chunks)
    }

    fn all_starting(&self) -> &'a [u32] {
        self.part(&self.parts.starting, |own| own.starting)
    }

    fn infos(&self) -> &'a [Info] {
        self.part(&self.parts.infos, |own| own.infos)
    }

    pub(crate) fn funcs(&self) -> &'a [Func] {
        self.part(&self.parts.funcs, |own| own.funcs)
    }

    pub(crate) fn vars(&self) -> &'a [Var] {
        self.part(&self.parts.vars, |own| own.vars)
    }

    pub(crate) fn tags(&self) -> &'a [Tag] {
        self.part(&self.parts.tags, |own| own.tags)
    }

    pub(crate) fn datasecs(&self) -> &'a [Datasec] {
        self.part(&self.parts.datasecs, |own| own.datasecs)
    }

    pub(crate) fn entries(&self) -> &'a [Entry] {
        self.part(&self.parts.entries, |own| own.entries)
    }

    pub(crate) fn symbol(&self, at: u32) -> Option<&'a Symbol> {
        self.symbols().get(at as usize)
    }

    pub(crate) fn section(&self, at: u32) -> Option<&'a Section> {
        self.sections().get(at as usize)
    }

    /// The number of the section that has this name in the output.
    pub(crate) fn section_named(&self, name: Name) -> Option<u32> {
        let mut sections = (0u32..).zip(self.sections());
        sections.find(|(_, s)| s.role != Role::Dropped && s.name == name).map(|(index, _)| index)
    }

    /// The variables that a DATASEC lists and this object defines.
    pub(crate) fn defined_vars(
        &self,
        datasec: &Datasec,
    ) -> impl Iterator<Item = (&'a Entry, &'a Var)> + use<'a> {
        let vars = self.vars();
        let var_of = move |entry: &Entry| match entry.what {
            Described::Var(at) => vars.get(at as usize),
            Described::Func(_) => None,
        };
        let entries = datasec.entries.of(self.entries()).iter();
        let vars = entries.filter_map(move |entry| Some((entry, var_of(entry)?)));
        vars.filter(|(_, var)| var.linkage != Linkage::Extern)
    }

    pub(crate) fn chunks_of(&self, section: &Section) -> &'a [Chunk] {
        section.chunks.of(self.chunks())
    }

    /// What begins there.
    pub(crate) fn chunk_from(&self, section: &Section, offset: u64) -> Option<&'a Chunk> {
        let chunks = self.chunks_of(section);
        chunks.binary_search_by_key(&offset, |c| c.start).ok().and_then(|at| chunks.get(at))
    }

    pub(crate) fn info(&self, section: &Section) -> Info {
        self.infos().get(section.info as usize).copied().unwrap_or_default()
    }

    /// Symbols at the start of a chunk.
    pub(crate) fn starting(&self, chunk: &Chunk) -> &'a [u32] {
        chunk.symbols.of(self.all_starting())
    }

    /// The chunk of a section that an offset is in.
    pub(crate) fn chunk_at(&self, section: &Section, offset: u64) -> Option<u32> {
        let behind = self.chunks_of(section).partition_point(|c| c.start <= offset);
        u32::try_from(behind.checked_sub(1)?).ok()
    }

    /// The FUNC or VAR of a symbol.
    pub(crate) fn described(&self, symbol: u32) -> Option<Described> {
        self.symbol(symbol)?.described()
    }

    /// The FUNC of a symbol.
    pub(crate) fn func_of(&self, symbol: u32) -> Option<&'a Func> {
        match self.described(symbol)? {
            Described::Func(at) => self.funcs().get(at as usize),
            Described::Var(_) => None,
        }
    }

    /// The VAR of a symbol.
    pub(crate) fn var_of(&self, symbol: u32) -> Option<&'a Var> {
        match self.described(symbol)? {
            Described::Var(at) => self.vars().get(at as usize),
            Described::Func(_) => None,
        }
    }
}

/// [`move_behind`], unless they are like those of the object before: of objects that are made alike, much but their
/// names is.
pub(crate) fn keep<T: PartialEq>(to: &mut Vec<T>, items: &mut Vec<T>, before: Span) -> Span {
    match before.of(to) == items.as_slice() {
        true => {
            items.clear();
            before
        }
        false => move_behind(to, items),
    }
}

/// Moves items behind those of other objects. Gives the part that they are then.
fn move_behind<T>(to: &mut Vec<T>, items: &mut Vec<T>) -> Span {
    let from = to.len();
    match to.is_empty() {
        true => std::mem::swap(to, items),
        false => to.append(items),
    }
    Span::new(from, to.len())
}
