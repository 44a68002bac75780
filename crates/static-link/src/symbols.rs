//! Which definition stands behind each symbol: explicit bindings first, then names. Strong over weak,
//! the first weak one wins, two strong ones are an error.

use crate::hash::{HashMap, HashSet};

use crate::Context;
use crate::elf;
use crate::error::LinkError;
use crate::input::{Input, Role, Symbol};
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
    /// Definitions that gave way.
    pub(crate) lost: Vec<At>,
    /// Undefined symbols of the name.
    pub(crate) wanted: Vec<At>,
    /// The strictest of all.
    pub(crate) visibility: u8,
    /// May it stay undefined?
    pub(crate) weak: bool,
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
    by_symbol: Vec<Vec<u32>>,
    bound: HashMap<At, At>,
    /// Definitions that are not part of the output.
    removed: HashSet<At>,
}

const NONE: u32 = u32::MAX;

impl Table {
    /// Resolves every symbol. What is wrong goes into the errors.
    pub(crate) fn resolve(
        context: &Context<'_>,
        bound: HashMap<At, At>,
        errors: &mut Vec<LinkError>,
    ) -> Self {
        let mut table = Self { bound, ..Self::default() };
        let mut by_name: HashMap<Name, u32> = HashMap::default();
        for (number, input) in (0u32..).zip(context.inputs) {
            let mut numbers = vec![NONE; input.symbols.len()];
            for (at, symbol) in (0u32..).zip(&input.symbols) {
                let here = (number, at);
                let owner = single_section(input, symbol).map(|name| context.owners.get(&name));
                if owner.is_some_and(|owner| owner != Some(&number)) {
                    table.removed.insert(here);
                    continue;
                }
                let visible = !symbol.is_local()
                    && symbol.name != Name::EMPTY
                    && !table.bound.contains_key(&here);
                if !visible {
                    continue;
                }
                let id = *by_name.entry(symbol.name).or_insert_with(|| {
                    table.globals.push(Global {
                        name: symbol.name,
                        definition: None,
                        strong: false,
                        lost: Vec::new(),
                        wanted: Vec::new(),
                        visibility: elf::STV_DEFAULT,
                        weak: true,
                    });
                    u32::try_from(table.globals.len() - 1).unwrap_or(NONE)
                });
                if let Some(slot) = numbers.get_mut(at as usize) {
                    *slot = id;
                }
                if let Some(global) = table.globals.get_mut(id as usize)
                    && let Some(removed) = global.add(here, symbol)
                {
                    match removed {
                        Outcome::Lost(at) => {
                            table.removed.insert(at);
                        }
                        Outcome::Clash(first) => errors.push(LinkError::Duplicate {
                            name: context.names.text(symbol.name).into_owned(),
                            first: declaration(context, first),
                            second: declaration(context, here),
                        }),
                    }
                }
            }
            table.by_symbol.push(numbers);
        }
        table
    }

    /// What a symbol stands for.
    pub(crate) fn meaning(&self, at: At) -> Meaning {
        if let Some(&target) = self.bound.get(&at) {
            // A bound symbol is undefined and its target defined: this ends after one step. Who names a
            // definition explicitly gets it, even if it gave way to another of its name.
            return match self.is_removed(target) {
                true => Meaning::Symbol(target),
                false => self.meaning(target),
            };
        }
        let global = self.by_symbol.get(at.0 as usize).and_then(|list| list.get(at.1 as usize));
        match global {
            Some(&id) if id != NONE => Meaning::Global(id),
            _ => Meaning::Symbol(at),
        }
    }

    pub(crate) fn global(&self, id: u32) -> Option<&Global> {
        self.globals.get(id as usize)
    }

    /// Where what a symbol stands for is defined.
    pub(crate) fn definition(&self, at: At) -> Option<At> {
        match self.meaning(at) {
            Meaning::Global(id) => self.global(id)?.definition,
            Meaning::Symbol(at) => Some(at),
        }
    }

    pub(crate) fn is_bound(&self, at: At) -> bool {
        self.bound.contains_key(&at)
    }

    /// Was it a definition that gave way to another?
    pub(crate) fn is_removed(&self, at: At) -> bool {
        self.removed.contains(&at)
    }

    /// The explicit bindings, sorted.
    pub(crate) fn bindings(&self) -> Vec<(At, At)> {
        let mut all: Vec<_> = self.bound.iter().map(|(&from, &to)| (from, to)).collect();
        all.sort_unstable();
        all
    }
}

enum Outcome {
    Lost(At),
    Clash(At),
}

impl Global {
    fn add(&mut self, at: At, symbol: &Symbol) -> Option<Outcome> {
        self.visibility = match (self.visibility, symbol.visibility) {
            (0, other) | (other, 0) => other,
            // Internal, hidden, protected: 1, 2, 3.
            (one, other) => one.min(other),
        };
        let weak = symbol.bind == elf::STB_WEAK;
        if symbol.is_undefined() {
            self.weak &= weak;
            self.wanted.push(at);
            return None;
        }
        match self.definition {
            None => {
                self.definition = Some(at);
                self.strong = !weak;
                None
            }
            Some(first) if self.strong && !weak => Some(Outcome::Clash(first)),
            Some(first) if !self.strong && !weak => {
                self.definition = Some(at);
                self.strong = true;
                self.lost.push(first);
                Some(Outcome::Lost(first))
            }
            Some(_) => {
                self.lost.push(at);
                Some(Outcome::Lost(at))
            }
        }
    }
}

fn single_section(input: &Input, symbol: &Symbol) -> Option<Name> {
    let section = input.section(symbol.section?)?;
    (section.role == Role::Single && !symbol.names_section()).then_some(section.name)
}
