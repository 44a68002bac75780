//! Which definition stands behind each symbol: explicit bindings first, then names. Strong over weak,
//! the first weak one wins, two strong ones are an error.

use crate::hash::HashMap;

use crate::Context;
use crate::elf;
use crate::error::LinkError;
use crate::input::{Bases, Role, Symbol};
use crate::inputs::Input;
use crate::names::Name;
use crate::report::declaration;

/// A symbol of an input: number of the input, index of the symbol.
pub(crate) type At = (u32, u32);

/// A name that is visible between objects.
#[derive(Debug)]
pub(crate) struct Global {
    pub(crate) name: Name,
    pub(crate) definition: Option<At>,
    strong: bool,
    /// The strictest of all.
    pub(crate) visibility: u8,
    /// May it stay undefined?
    pub(crate) weak: bool,
}

/// What has a global name beside its definition.
#[derive(Debug, Default)]
pub(crate) struct Others {
    /// Definitions that gave way.
    pub(crate) lost: Vec<At>,
    /// Undefined symbols.
    pub(crate) wanted: Vec<At>,
}

/// What a symbol of an input comes to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Meaning {
    /// A global name, defined or not.
    Global(u32),
    /// A symbol that only its object knows, or that a binding names.
    Symbol(At),
}

/// Result of the resolution.
#[derive(Debug, Default)]
pub(crate) struct Table {
    pub(crate) globals: Vec<Global>,
    /// By the global names' numbers. Most have one definition and nothing more.
    others: HashMap<u32, Others>,
    /// The global name of each symbol of all inputs, or what is known of it instead.
    by_symbol: Vec<u32>,
    bases: Bases,
    bound: HashMap<At, At>,
}

/// Not a global name.
const NONE: u32 = u32::MAX;
/// Nor a definition that is part of the output.
const REMOVED: u32 = u32::MAX - 1;
/// A global name whose definition this is not, though it has the name: the top bit is set.
const LOST: u32 = 1 << 31;

impl Table {
    /// Resolves every symbol. What is wrong goes into the errors.
    pub(crate) fn resolve(
        context: &Context,
        bound: HashMap<At, At>,
        errors: &mut Vec<LinkError>,
    ) -> Self {
        let bases = Bases::new(context.inputs.iter().map(|i| i.symbols().len()));
        let mut table =
            Self { bound, by_symbol: vec![NONE; bases.total()], bases, ..Self::default() };
        // By the names' numbers.
        let mut by_name = vec![NONE; context.names.count()];
        for (number, input) in context.inputs.numbered() {
            for (at, symbol) in (0u32..).zip(input.symbols()) {
                let here = (number, at);
                let owner = single_section(&input, symbol).map(|name| context.owners.get(&name));
                if owner.is_some_and(|owner| owner != Some(&number)) {
                    table.set(here, REMOVED);
                    continue;
                }
                let visible =
                    !symbol.is_local() && symbol.name != Name::EMPTY && !table.is_bound(here);
                if !visible {
                    continue;
                }
                let Some(id) = by_name.get_mut(symbol.name.number()) else { continue };
                if *id == NONE {
                    *id = u32::try_from(table.globals.len()).unwrap_or(NONE);
                    table.globals.push(Global {
                        name: symbol.name,
                        definition: None,
                        strong: false,
                        visibility: elf::STV_DEFAULT,
                        weak: true,
                    });
                }
                let id = *id;
                table.set(here, id);
                let Some(global) = table.globals.get_mut(id as usize) else { continue };
                match global.add(here, symbol) {
                    Outcome::Defined => {}
                    Outcome::Wanted => table.others.entry(id).or_default().wanted.push(here),
                    Outcome::Lost(at) => {
                        table.others.entry(id).or_default().lost.push(at);
                        table.set(at, id | LOST);
                    }
                    Outcome::Clash(first) => errors.push(LinkError::Duplicate {
                        name: context.names.text(symbol.name).into_owned(),
                        first: declaration(context, first),
                        second: declaration(context, here),
                    }),
                }
            }
        }
        table
    }

    fn set(&mut self, (input, symbol): At, to: u32) {
        if let Some(slot) = self.by_symbol.get_mut(self.bases.at(input, symbol)) {
            *slot = to;
        }
    }

    fn get(&self, (input, symbol): At) -> u32 {
        self.by_symbol.get(self.bases.at(input, symbol)).copied().unwrap_or(NONE)
    }

    /// What a symbol stands for.
    pub(crate) fn meaning(&self, at: At) -> Meaning {
        if let Some(&target) = self.bound.get(&at).filter(|_| self.is_bound(at)) {
            // A bound symbol is undefined and its target defined: this ends after one step. Who names a
            // definition explicitly gets it, even if it gave way to another of its name.
            return match self.is_removed(target) {
                true => Meaning::Symbol(target),
                false => self.meaning(target),
            };
        }
        match self.get(at) {
            NONE | REMOVED => Meaning::Symbol(at),
            id => Meaning::Global(id & !LOST),
        }
    }

    pub(crate) fn global(&self, id: u32) -> Option<&Global> {
        self.globals.get(id as usize)
    }

    /// What a global name has beside its definition.
    pub(crate) fn others(&self, id: u32) -> Option<&Others> {
        self.others.get(&id)
    }

    /// All that have something beside their definition, by rising number.
    pub(crate) fn with_others(&self) -> Vec<(&Global, &Others)> {
        let mut all: Vec<_> = self.others.iter().collect();
        all.sort_unstable_by_key(|&(&id, _)| id);
        all.into_iter().filter_map(|(&id, others)| Some((self.global(id)?, others))).collect()
    }

    /// Where what a symbol stands for is defined.
    pub(crate) fn definition(&self, at: At) -> Option<At> {
        match self.meaning(at) {
            Meaning::Global(id) => self.global(id)?.definition,
            Meaning::Symbol(at) => Some(at),
        }
    }

    pub(crate) fn is_bound(&self, at: At) -> bool {
        !self.bound.is_empty() && self.bound.contains_key(&at)
    }

    /// Was it a definition that gave way to another?
    pub(crate) fn is_removed(&self, at: At) -> bool {
        !matches!(self.get(at), NONE) && self.get(at) & LOST != 0
    }

    /// The explicit bindings, sorted.
    pub(crate) fn bindings(&self) -> Vec<(At, At)> {
        let mut all: Vec<_> = self.bound.iter().map(|(&from, &to)| (from, to)).collect();
        all.sort_unstable();
        all
    }
}

/// What becomes of a symbol, or of what was the definition so far.
enum Outcome {
    Defined,
    Wanted,
    Lost(At),
    Clash(At),
}

impl Global {
    fn add(&mut self, at: At, symbol: &Symbol) -> Outcome {
        self.visibility = match (self.visibility, symbol.visibility) {
            (0, other) | (other, 0) => other,
            // Internal, hidden, protected: 1, 2, 3.
            (one, other) => one.min(other),
        };
        let weak = symbol.bind == elf::STB_WEAK;
        if symbol.is_undefined() {
            self.weak &= weak;
            return Outcome::Wanted;
        }
        match self.definition {
            None => {
                self.definition = Some(at);
                self.strong = !weak;
                Outcome::Defined
            }
            Some(first) if self.strong && !weak => Outcome::Clash(first),
            Some(first) if !self.strong && !weak => {
                self.definition = Some(at);
                self.strong = true;
                Outcome::Lost(first)
            }
            Some(_) => Outcome::Lost(at),
        }
    }
}

fn single_section(input: &Input, symbol: &Symbol) -> Option<Name> {
    let section = input.section(symbol.section()?)?;
    (section.role == Role::Single && !symbol.names_section()).then_some(section.name)
}
