//! The symbol table of the output: sections that something refers to, then local symbols and global
//! names, each in the order of the inputs.

use std::cell::OnceCell;

use crate::hash::{HashMap, HashSet};

use crate::Context;
use crate::elf::{self, Place, STB_GLOBAL, STB_LOCAL, STB_WEAK, STT_FUNC, STT_SECTION};
use crate::emit::{Contents, Target};
use crate::input::{Bases, Role, Symbol};
use crate::inputs::{Input, Inputs};
use crate::lay_out::Layout;
use crate::names::Name;
use crate::plan::Plan;
use crate::symbols::{At, Table};

/// Symbols, and which of them is meant by what relocations are against.
pub(crate) struct Symtab {
    pub(crate) symbols: Vec<elf::Symbol>,
    index: Index,
}

/// The number of the symbol for each target, once it is known.
struct Index {
    sections: Vec<u32>,
    /// By [`Context::symbols`].
    symbols: Vec<u32>,
    globals: Vec<u32>,
    called: Vec<u32>,
}

/// Nothing refers to it.
const NONE: u32 = u32::MAX;
/// Something does, and it has no number yet.
const WANTED: u32 = u32::MAX - 1;

impl Index {
    fn slot(&mut self, bases: &Bases, target: Target) -> Option<&mut u32> {
        let (list, at) = match target {
            Target::Section(at) => (&mut self.sections, at as usize),
            Target::Symbol((input, symbol)) => (&mut self.symbols, bases.at(input, symbol)),
            Target::Global(at) => (&mut self.globals, at as usize),
            Target::Called(at) => (&mut self.called, at as usize),
        };
        list.get_mut(at)
    }

    fn get(&self, bases: &Bases, target: Target) -> Option<u32> {
        let (list, at) = match target {
            Target::Section(at) => (&self.sections, at as usize),
            Target::Symbol((input, symbol)) => (&self.symbols, bases.at(input, symbol)),
            Target::Global(at) => (&self.globals, at as usize),
            Target::Called(at) => (&self.called, at as usize),
        };
        list.get(at).copied().filter(|&number| number != NONE)
    }
}

/// Gives static variables of one name in one section names of their own: whoever makes a C struct of the
/// section (skeletons) could not tell them apart. The first keeps its name.
pub(crate) fn tell_apart(context: &mut Context, table: &Table, plan: &Plan) -> HashMap<At, Name> {
    let Context { inputs, names, .. } = context;
    let statics: Vec<_> = variables(inputs, table, plan, Symbol::is_local).collect();
    // Names that are there count before new ones are made.
    let all: HashSet<(Name, Name)> = statics.iter().map(|&(_, name)| name).collect();
    let mut is_of_static = vec![false; names.count()];
    for &(_, name) in &all {
        is_of_static.get_mut(name.number()).into_iter().for_each(|is| *is = true);
    }
    let rival = |s: &Symbol| !s.is_local() && is_of_static.get(s.name.number()) == Some(&true);
    let mut taken: HashSet<(Name, Name)> =
        variables(inputs, table, plan, rival).map(|(_, name)| name).collect();
    // Asked for when a name that was to be new is not.
    let visible: OnceCell<HashSet<(Name, Name)>> = OnceCell::new();
    let is_visible = |name: &(Name, Name)| {
        let all = || variables(inputs, table, plan, |s| !s.is_local());
        visible.get_or_init(|| all().map(|(_, name)| name).collect()).contains(name)
    };
    let mut renamed = HashMap::default();
    // Numbers are given out once, so that many of one name do not take long.
    let mut next: HashMap<(Name, Name), u32> = HashMap::default();
    for (here, (section, name)) in statics {
        if taken.insert((section, name)) {
            continue;
        }
        let next = next.entry((section, name)).or_insert(2);
        for number in *next.. {
            *next = number.saturating_add(1);
            let text = format!("{}_{number}", names.text(name));
            let new = (section, names.add(text.as_bytes()));
            let is_known = new.1.number() < is_of_static.len();
            if !(is_known && (all.contains(&new) || is_visible(&new))) && taken.insert(new) {
                renamed.insert(here, new.1);
                break;
            }
        }
    }
    renamed
}

/// Variables of the output with such symbols: these, and their sections and names.
fn variables<'c>(
    inputs: &'c Inputs,
    table: &'c Table,
    plan: &'c Plan,
    is: impl Fn(&Symbol) -> bool,
) -> impl Iterator<Item = (At, (Name, Name))> {
    let all = inputs
        .numbered()
        .flat_map(|(number, input)| input.vars().iter().map(move |var| (number, input, var)));
    all.filter_map(move |(number, input, var)| {
        let (section, index) = var.section.zip(var.symbol)?;
        let symbol = input.symbol(index).filter(|symbol| is(symbol))?;
        let here = (number, index);
        let is_there = !table.is_removed(here)
            && plan.is_alive(inputs, number, symbol.section()?, symbol.value);
        is_there.then_some((here, (section, symbol.name)))
    })
}

impl Symtab {
    pub(crate) fn make(
        context: &Context,
        table: &Table,
        plan: &Plan,
        layout: &Layout,
        contents: &[Contents],
        renamed: &HashMap<At, Name>,
    ) -> Self {
        let index = Index {
            sections: vec![NONE; layout.sections.len()],
            symbols: vec![NONE; context.symbols.total()],
            globals: vec![NONE; table.globals.len()],
            called: vec![NONE; layout.called.len()],
        };
        let mut tab = Self { symbols: Vec::with_capacity(context.symbols.total()), index };
        for reloc in contents.iter().flat_map(|c| &c.relocs) {
            if let Some(slot) = tab.index.slot(&context.symbols, reloc.target) {
                *slot = WANTED;
            }
        }
        for index in (0u32..).take(layout.sections.len()) {
            let target = Target::Section(index);
            if tab.number(context, target).is_some() {
                let symbol = elf::Symbol {
                    name: Name::EMPTY,
                    kind: STT_SECTION,
                    bind: STB_LOCAL,
                    visibility: 0,
                    place: Place::Section(index),
                    value: 0,
                    size: 0,
                };
                tab.push(context, target, symbol);
            }
        }
        for (number, input) in context.inputs.numbered() {
            for (at, symbol) in (0u32..).zip(input.symbols()) {
                let here = (number, at);
                let target = Target::Symbol(here);
                let wanted = tab.number(context, target).is_some();
                if !is_local(symbol) || !wanted && !is_worth_keeping(symbol) {
                    continue;
                }
                if table.is_removed(here) {
                    continue;
                }
                let name = renamed.get(&here).copied().unwrap_or(symbol.name);
                let Some((place, value)) = place(plan, layout, number, &input, symbol) else {
                    continue;
                };
                let (bind, size) = (STB_LOCAL, symbol.size);
                let (kind, visibility) = (symbol.kind, symbol.visibility);
                let symbol = elf::Symbol { name, kind, bind, visibility, place, value, size };
                tab.push(context, target, symbol);
            }
        }
        tab.add_called(context, layout, false);
        for (id, global) in (0u32..).zip(&table.globals) {
            let name = global.name;
            let visibility = global.visibility;
            let found = |at: At| Some((at.0, context.inputs.get(at.0)?));
            let symbol = match global.definition {
                Some(at) if layout.moved(&context.inputs, at).is_some() => continue,
                Some(at) => {
                    let Some((number, input)) = found(at) else { continue };
                    let Some(symbol) = input.symbol(at.1) else { continue };
                    let spot = place(plan, layout, number, &input, symbol);
                    let Some((place, value)) = spot else { continue };
                    let (kind, bind, size) = (symbol.kind, symbol.bind, symbol.size);
                    elf::Symbol { name, kind, bind, visibility, place, value, size }
                }
                None => {
                    let symbol = table.others(id).and_then(|others| {
                        let &at = others.wanted.first()?;
                        found(at)?.1.symbol(at.1)
                    });
                    let kind = symbol.map_or(0, |s| s.kind);
                    let bind = if global.weak { STB_WEAK } else { STB_GLOBAL };
                    let (place, value, size) = (Place::Undefined, 0, 0);
                    elf::Symbol { name, kind, bind, visibility, place, value, size }
                }
            };
            tab.push(context, Target::Global(id), symbol);
        }
        tab.add_called(context, layout, true);
        tab
    }

    /// Entry programs that became functions.
    fn add_called(&mut self, context: &Context, layout: &Layout, global: bool) {
        let Some(text) = layout.text() else { return };
        for (id, called) in (0u32..).zip(&layout.called).filter(|(_, c)| c.global == global) {
            let (number, section, chunk) = called.chunk;
            let input = context.inputs.get(number);
            let chunk = input.and_then(|i| i.chunks_of(i.section(section)?).get(chunk as usize));
            let symbol = elf::Symbol {
                name: called.name,
                kind: STT_FUNC,
                bind: if global { STB_GLOBAL } else { STB_LOCAL },
                visibility: 0,
                place: Place::Section(section_number(text)),
                value: called.at,
                size: chunk.map_or(0, |c| c.end - c.start),
            };
            self.push(context, Target::Called(id), symbol);
        }
    }

    /// The number of the symbol for a target.
    pub(crate) fn number(&self, context: &Context, target: Target) -> Option<u32> {
        self.index.get(&context.symbols, target)
    }

    fn push(&mut self, context: &Context, target: Target, symbol: elf::Symbol) {
        if let Some(slot) = self.index.slot(&context.symbols, target) {
            // Fewer than there are bytes in the inputs.
            *slot = u32::try_from(self.symbols.len()).unwrap_or(NONE);
        }
        self.symbols.push(symbol);
    }
}

fn section_number(index: usize) -> u32 {
    // Fewer than a file can number.
    u32::try_from(index).unwrap_or(u32::MAX)
}

fn is_local(symbol: &Symbol) -> bool {
    symbol.is_local() && !symbol.names_section() && symbol.kind != elf::STT_FILE
}

/// Labels within functions are of use only to what refers to them.
fn is_worth_keeping(symbol: &Symbol) -> bool {
    matches!(symbol.kind, elf::STT_FUNC | elf::STT_OBJECT)
}

/// Where a symbol is in the output; `None` when it is not part of it.
fn place(
    plan: &Plan,
    layout: &Layout,
    number: u32,
    input: &Input,
    symbol: &Symbol,
) -> Option<(Place, u64)> {
    let Some(section) = symbol.section() else {
        return Some((
            if symbol.is_absolute() { Place::Absolute } else { Place::Undefined },
            symbol.value,
        ));
    };
    let home = input.section(section)?;
    let cut = matches!(home.role, Role::Text | Role::Entries | Role::Maps);
    if cut && !home.chunks.is_empty() {
        let chunk = input.chunk_at(home, symbol.value)?;
        if !plan.fate((number, section, chunk)).stays {
            return None;
        }
    }
    let (at, value) = layout.spot(number, section, symbol.value)?;
    Some((Place::Section(section_number(at)), value))
}
