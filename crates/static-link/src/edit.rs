//! What the caller wants done to the objects before they are linked: externs bound, names changed, names
//! made local.

use crate::hash::{HashMap, HashSet};

use crate::elf;
use crate::error::LinkError;
use crate::input::{Role, Symbol};
use crate::inputs::{Input, Inputs};
use crate::names::Name;
use crate::symbols::At;
use crate::{InputId, Linker};

/// One wish.
#[derive(Debug)]
pub(crate) enum Edit {
    Bind { from: u32, name: String, to: u32, function: Option<String> },
    Rename { of: Option<u32>, old: String, new: String },
    Localize { of: Option<u32>, pattern: String },
    Prefix { of: u32, prefix: String },
}

impl Linker {
    /// Says which function stands behind an extern. Without a function's name: the target's only entry
    /// program, else its function of the extern's own name. Any function will do, static ones and entry
    /// programs included. Names are those that the objects have in their files.
    pub fn bind(&mut self, from: InputId, name: &str, to: InputId, function: Option<&str>) {
        let (name, function) = (name.to_owned(), function.map(str::to_owned));
        self.edits.push(Edit::Bind { from: from.0, name, to: to.0, function });
    }

    /// Gives what is called `old`, in one object or in all, another name: definitions and uses.
    pub fn rename(&mut self, of: Option<InputId>, old: &str, new: &str) {
        let (old, new) = (old.to_owned(), new.to_owned());
        self.edits.push(Edit::Rename { of: of.map(|i| i.0), old, new });
    }

    /// Makes what is defined under names like the pattern (`*` for anything, `?` for one character), in
    /// one object or in all, invisible to other objects.
    pub fn localize(&mut self, of: Option<InputId>, pattern: &str) {
        self.edits.push(Edit::Localize { of: of.map(|i| i.0), pattern: pattern.to_owned() });
    }

    /// Puts `prefix` in front of every name that an object defines for others: so an object can be
    /// linked twice, its maps and variables told apart.
    pub fn prefix(&mut self, of: InputId, prefix: &str) {
        self.edits.push(Edit::Prefix { of: of.0, prefix: prefix.to_owned() });
    }

    /// Does what was asked for; gives the bindings.
    pub(crate) fn edit(&mut self, errors: &mut Vec<LinkError>) -> HashMap<At, At> {
        let edits = std::mem::take(&mut self.edits);
        let mut bound: HashMap<At, At> = HashMap::default();
        // Bindings go by the names of the files.
        for edit in &edits {
            if let Edit::Bind { from, name, to, function } = edit
                && let Err(error) =
                    self.add_binding(*from, name, *to, function.as_deref(), &mut bound)
            {
                errors.push(error);
            }
        }
        for edit in &edits {
            let outcome = match edit {
                Edit::Bind { .. } => Ok(()),
                Edit::Rename { of, old, new } => self.apply_rename(*of, old, new),
                Edit::Localize { of, pattern } => self.apply_localize(*of, pattern),
                Edit::Prefix { of, prefix } => self.apply_prefix(*of, prefix),
            };
            errors.extend(outcome.err());
        }
        bound
    }

    /// Entry programs of objects that are not the root are functions to call, and nothing else. Where
    /// several definitions have the name of one and no extern is left to resolve by that name, nobody
    /// needs it: it becomes local.
    pub(crate) fn hide_entries(&mut self, root: Option<InputId>, bound: &HashMap<At, At>) {
        let Some(root) = root else { return };
        let mut defined: HashMap<Name, usize> = HashMap::default();
        let mut wanted: HashSet<Name> = HashSet::default();
        for (number, input) in self.inputs.numbered() {
            for (at, symbol) in (0u32..).zip(input.symbols()).filter(|(_, s)| !s.is_local()) {
                match symbol.is_undefined() {
                    true if !bound.contains_key(&(number, at)) => {
                        wanted.insert(symbol.name);
                    }
                    true => {}
                    false => *defined.entry(symbol.name).or_default() += 1,
                }
            }
        }
        for number in self.inputs.numbers().filter(|&n| n != root.0) {
            let input = self.inputs.get(number).into_iter();
            let entries =
                input.flat_map(|i| i.chunks().iter().filter(|c| c.is_entry).map(move |c| (i, c)));
            let entries: Vec<u32> =
                entries.flat_map(|(input, chunk)| input.starting(chunk)).copied().collect();
            let symbols = self.inputs.symbols_mut(number);
            for at in entries {
                if let Some(symbol) = symbols.get_mut(at as usize)
                    && defined.get(&symbol.name).is_some_and(|&count| count > 1)
                    && !wanted.contains(&symbol.name)
                {
                    symbol.bind = elf::STB_LOCAL;
                }
            }
        }
    }

    fn input(&self, at: u32) -> Result<Input<'_>, LinkError> {
        self.inputs.get(at).ok_or(LinkError::ForeignInput(at))
    }

    fn add_binding(
        &self,
        from: u32,
        name: &str,
        to: u32,
        function: Option<&str>,
        bound: &mut HashMap<At, At>,
    ) -> Result<(), LinkError> {
        let (caller, target) = (self.input(from)?, self.input(to)?);
        let wanted = self.shared.names.find(name);
        let symbol = find(&caller, |s| Some(s.name) == wanted && s.is_undefined() && !s.is_local());
        let symbol = symbol.ok_or_else(|| {
            let names = caller.symbols().iter().filter(|s| s.is_undefined());
            self.unknown(&caller, "extern", name, names)
        })?;
        let function = match function {
            Some(function) => self.function(&target, function)?,
            None => self.default_function(&target, name)?,
        };
        let new = (to, function);
        match bound.insert((from, symbol), new) {
            Some(old) if old != new => Err(LinkError::BoundTwice {
                object: caller.label().to_owned(),
                name: name.to_owned(),
                first: self.describe(old),
                second: self.describe(new),
            }),
            _ => Ok(()),
        }
    }

    fn describe(&self, (input, symbol): At) -> String {
        let input = self.inputs.get(input);
        let symbol = input.and_then(|i| i.symbol(symbol));
        let label = input.map_or("", |i| i.label());
        format!("{} of {label}", symbol.map(|s| self.shared.names.text(s.name)).unwrap_or_default())
    }

    fn function(&self, target: &Input, name: &str) -> Result<u32, LinkError> {
        let wanted = self.shared.names.find(name);
        let named = |s: &Symbol| Some(s.name) == wanted && is_function(target, s);
        // A static function may share its name with a visible one, which is meant.
        let found = find(target, |s| named(s) && !s.is_local()).or_else(|| find(target, named));
        found.ok_or_else(|| {
            let functions = target.symbols().iter().filter(|s| is_function(target, s));
            self.unknown(target, "function", name, functions)
        })
    }

    fn default_function(&self, target: &Input, name: &str) -> Result<u32, LinkError> {
        let entries = target.chunks().iter().filter(|c| c.is_entry);
        let entries: Vec<u32> =
            entries.filter_map(|c| target.starting(c).first().copied()).collect();
        match *entries {
            [only] => Ok(only),
            _ => self.function(target, name).map_err(|error| match entries.is_empty() {
                true => error,
                false => LinkError::WhichFunction {
                    object: target.label().to_owned(),
                    name: name.to_owned(),
                    functions: entries
                        .iter()
                        .filter_map(|&s| {
                            Some(self.shared.names.text(target.symbol(s)?.name).into_owned())
                        })
                        .collect(),
                },
            }),
        }
    }

    fn unknown<'s>(
        &self,
        input: &Input,
        what: &'static str,
        name: &str,
        offered: impl Iterator<Item = &'s Symbol>,
    ) -> LinkError {
        let mut near: Vec<(f64, String)> = offered
            .map(|s| self.shared.names.text(s.name).into_owned())
            .map(|offer| (strsim::jaro_winkler(name, &offer), offer))
            .filter(|(likeness, offer)| *likeness > 0.75 && !offer.is_empty())
            .collect();
        near.sort_by(|a, b| b.0.total_cmp(&a.0).then_with(|| a.1.cmp(&b.1)));
        near.dedup_by(|a, b| a.1 == b.1);
        near.truncate(3);
        LinkError::Unknown {
            object: input.label().to_owned(),
            what,
            name: name.to_owned(),
            near: near.into_iter().map(|(_, n)| n).collect(),
        }
    }

    fn apply_rename(&mut self, of: Option<u32>, old: &str, new: &str) -> Result<(), LinkError> {
        let new = self.shared.names.add(new.as_bytes());
        let wanted = self.shared.names.find(old);
        let mut any = false;
        for number in chosen(&self.inputs, of) {
            for symbol in self.inputs.symbols_mut(number) {
                if Some(symbol.name) == wanted && has_name(symbol) {
                    symbol.rename(new);
                    any = true;
                }
            }
        }
        if any { Ok(()) } else { Err(self.no_symbol(of, old)) }
    }

    fn apply_localize(&mut self, of: Option<u32>, pattern: &str) -> Result<(), LinkError> {
        let names = &self.shared.names;
        let mut any = false;
        for number in chosen(&self.inputs, of) {
            let defined = |s: &Symbol| has_name(s) && !s.is_undefined() && !s.is_local();
            for symbol in self.inputs.symbols_mut(number).iter_mut().filter(|s| defined(s)) {
                if matches(pattern.as_bytes(), names.bytes(symbol.name)) {
                    symbol.bind = elf::STB_LOCAL;
                    symbol.visibility = elf::STV_DEFAULT;
                    any = true;
                }
            }
        }
        if any { Ok(()) } else { Err(self.no_symbol(of, pattern)) }
    }

    fn apply_prefix(&mut self, of: u32, prefix: &str) -> Result<(), LinkError> {
        // Licences are joined, not told apart.
        let sections = self.input(of)?.sections().iter();
        let single: Vec<bool> = sections.map(|s| s.role == Role::Single).collect();
        let names = &mut self.shared.names;
        for symbol in self.inputs.symbols_mut(of) {
            let home = symbol.section().and_then(|s| single.get(s as usize));
            if has_name(symbol) && !symbol.is_local() && home == Some(&false) {
                let new = [prefix.as_bytes(), names.bytes(symbol.name)].concat();
                symbol.rename(names.add(&new));
            }
        }
        Ok(())
    }

    fn no_symbol(&self, of: Option<u32>, name: &str) -> LinkError {
        let all: Vec<_> = chosen(&self.inputs, of).filter_map(|n| self.inputs.get(n)).collect();
        let symbols = all.iter().flat_map(|i| i.symbols()).filter(|s| has_name(s));
        match all.first() {
            None => LinkError::ForeignInput(of.unwrap_or(0)),
            Some(first) => match self.unknown(first, "symbol", name, symbols) {
                LinkError::Unknown { what, name, near, .. } if all.len() > 1 => {
                    LinkError::Unknown { object: "the whole link".to_owned(), what, name, near }
                }
                error => error,
            },
        }
    }
}

fn chosen(inputs: &Inputs, of: Option<u32>) -> impl Iterator<Item = u32> + use<> {
    inputs.numbers().filter(move |&number| of.is_none_or(|of| of == number))
}

fn has_name(symbol: &Symbol) -> bool {
    symbol.name != Name::EMPTY && !symbol.names_section() && symbol.kind != elf::STT_FILE
}

fn is_function(input: &Input, symbol: &Symbol) -> bool {
    let section = symbol.section().and_then(|s| input.section(s));
    has_name(symbol)
        && matches!(symbol.kind, elf::STT_FUNC | elf::STT_NOTYPE)
        && section.is_some_and(|s| {
            s.is_code() && input.chunks_of(s).iter().any(|c| c.start == symbol.value)
        })
}

fn find(input: &Input, is: impl Fn(&Symbol) -> bool) -> Option<u32> {
    (0u32..).zip(input.symbols()).find(|(_, s)| is(s)).map(|(at, _)| at)
}

/// Shell patterns: `*` and `?`.
fn matches(pattern: &[u8], name: &[u8]) -> bool {
    // Where to go on after a mismatch: behind the last `*`, one byte further in the name.
    let (mut p, mut n) = (0, 0);
    let mut retry: Option<(usize, usize)> = None;
    while n < name.len() {
        match pattern.get(p) {
            Some(b'*') => {
                p += 1;
                retry = Some((p, n));
            }
            Some(&c) if c == b'?' || name.get(n) == Some(&c) => {
                p += 1;
                n += 1;
            }
            _ => match retry {
                Some((behind, from)) => {
                    retry = Some((behind, from + 1));
                    p = behind;
                    n = from + 1;
                }
                None => return false,
            },
        }
    }
    pattern.get(p..).unwrap_or_default().iter().all(|&c| c == b'*')
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn patterns() {
        for (pattern, name, want) in [
            ("count", "count", true),
            ("count", "counts", false),
            ("*", "", true),
            ("c*t", "count", true),
            ("c*t", "counts", false),
            ("*_*_x", "a_b_c_x", true),
            ("?ount", "count", true),
            ("?", "", false),
            ("a**b", "ab", true),
        ] {
            assert_eq!(matches(pattern.as_bytes(), name.as_bytes()), want, "{pattern} {name}");
        }
    }
}
