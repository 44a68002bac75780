//! Do declarations and definitions of one name agree? All types are in one blob, so most of them are
//! the same type.

use std::cell::OnceCell;

use bpfweld_btf::{Kind, Linkage, TypeId, check_prototype, compat::check_variable};
use bpfweld_object::{MapDef, RelocKind, map_definition};

use crate::Context;
use crate::error::LinkError;
use crate::hash::HashSet;
use crate::input::{Described, Func, Var};
use crate::report::declaration;
use crate::symbols::{At, Table};

/// Compares all that is resolved, and what stays undefined with each other.
pub(crate) fn check(context: &Context, table: &Table, errors: &mut Vec<LinkError>) {
    let mut check = Check { context, agreed: HashSet::default(), called: OnceCell::new() };
    for (global, others) in table.with_others() {
        let first = global.definition.or(others.wanted.first().copied());
        let Some(first) = first else { continue };
        for &other in others.wanted.iter().chain(&others.lost) {
            if other != first
                && let Err(error) = check.pair(first, other)
            {
                errors.push(*error);
                break;
            }
        }
    }
    for (from, to) in table.bindings() {
        if let Err(error) = check.pair(to, from) {
            errors.push(*error);
        }
    }
}

/// What is called and what is there are of two kinds.
const FUNCTION_AND_DATA: &str = "one is a function, the other a variable";

struct Check<'c> {
    context: &'c Context,
    /// Pairs of types that agree.
    agreed: HashSet<(TypeId, TypeId)>,
    /// What [`called`] gives, where it was asked for.
    called: OnceCell<HashSet<At>>,
}

/// The symbols that code of their objects calls.
fn called(context: &Context) -> HashSet<At> {
    let mut called = HashSet::default();
    for (number, input) in context.inputs.numbered() {
        for section in input.sections() {
            let relocs = context.lists.relocs_of(section).iter();
            called.extend(relocs.filter(|r| r.kind == RelocKind::Call).map(|r| (number, r.symbol)));
        }
    }
    called
}

enum Kindred<'a> {
    Func(&'a Func),
    Var(&'a Var),
}

impl<'c> Check<'c> {
    /// `given` is the definition, where there is one.
    fn pair(&mut self, given: At, wanted: At) -> Result<(), Box<LinkError>> {
        let (Some(a), Some(b)) = (self.described(given), self.described(wanted)) else {
            // One side has no types.
            return match self.is_data(given) && self.is_called(wanted) {
                true => Err(Box::new(self.conflict(given, wanted, FUNCTION_AND_DATA.to_owned()))),
                false => Ok(()),
            };
        };
        let conflict = |why: String| Err(Box::new(self.conflict(given, wanted, why)));
        if let Some(why) = self.of_kernel(&a, &b) {
            return conflict(why);
        }
        let outcome = match (a, b) {
            (Kindred::Func(a), Kindred::Func(b)) => self.prototypes(a.proto, b.proto),
            (Kindred::Func(a), Kindred::Var(b)) => self.encoding_of_2019(a.proto, b.type_id),
            (Kindred::Var(a), Kindred::Func(b)) => self.encoding_of_2019(a.type_id, b.proto),
            (Kindred::Var(a), Kindred::Var(b)) => {
                let is_map =
                    |v: &Var| v.section.is_some_and(|s| self.context.names.bytes(s) == b".maps");
                match (is_map(a), is_map(b)) {
                    (true, true) => return self.maps((given, a), (wanted, b)),
                    (false, false) => self.variables(a.type_id, b.type_id),
                    _ => Err("one is a map (section .maps), the other is not".to_owned()),
                }
            }
        };
        match outcome {
            Ok(()) => Ok(()),
            Err(why) => Err(Box::new(self.conflict(given, wanted, why))),
        }
    }

    fn conflict(&self, given: At, wanted: At, why: String) -> LinkError {
        LinkError::Conflict {
            name: self.name(given),
            first: declaration(self.context, given),
            second: declaration(self.context, wanted),
            why,
        }
    }

    fn name(&self, (input, symbol): At) -> String {
        let found = self.context.inputs.get(input).and_then(|i| i.symbol(symbol));
        found.map(|s| self.context.names.text(s.name).into_owned()).unwrap_or_default()
    }

    fn described(&self, (input, symbol): At) -> Option<Kindred<'c>> {
        let input = self.context.inputs.get(input)?;
        Some(match input.described(symbol)? {
            Described::Func(at) => {
                let func = input.funcs().get(at as usize)?;
                // No compiler says so of a name that others see: it is the type that a link made up.
                let global = input.symbol(symbol).is_some_and(|s| !s.is_local());
                if global && func.linkage == Linkage::Static {
                    return None;
                }
                Kindred::Func(func)
            }
            Described::Var(at) => Kindred::Var(input.vars().get(at as usize)?),
        })
    }

    /// What the kernel is to provide, no object can; and one object's kernel symbol is no other's
    /// function.
    fn of_kernel(&self, a: &Kindred<'_>, b: &Kindred<'_>) -> Option<String> {
        let place = |k: &Kindred<'_>| match k {
            Kindred::Func(f) if f.kernel => ".ksyms",
            Kindred::Var(v) => match v.section.map(|s| self.context.names.bytes(s)) {
                Some(b".ksyms") => ".ksyms",
                Some(b".kconfig") => ".kconfig",
                _ => "",
            },
            Kindred::Func(_) => "",
        };
        match (place(a), place(b)) {
            (one, other) if one == other => None,
            ("", of_kernel) | (of_kernel, "") => {
                Some(format!("one of them declares it as the kernel's (section {of_kernel})"))
            }
            (one, other) => Some(format!("section {one} and section {other}")),
        }
    }

    fn prototypes(&mut self, given: TypeId, wanted: TypeId) -> Result<(), String> {
        let (given, wanted) = (self.context.type_id(given), self.context.type_id(wanted));
        if given == wanted || self.agreed.contains(&(given, wanted)) {
            return Ok(());
        }
        let types = &self.context.types;
        check_prototype((types, wanted), (types, given)).map_err(|e| e.to_string())?;
        self.agreed.insert((given, wanted));
        Ok(())
    }

    fn variables(&mut self, given: TypeId, wanted: TypeId) -> Result<(), String> {
        let (given, wanted) = (self.context.type_id(given), self.context.type_id(wanted));
        if given == wanted || self.agreed.contains(&(given, wanted)) {
            return Ok(());
        }
        let types = &self.context.types;
        check_variable((types, wanted), (types, given)).map_err(|e| e.to_string())?;
        self.agreed.insert((given, wanted));
        Ok(())
    }

    /// The encoding of 2019 has a variable whose type is a prototype.
    fn encoding_of_2019(&mut self, given: TypeId, wanted: TypeId) -> Result<(), String> {
        let is_function = |id| {
            let types = &self.context.types;
            types.resolve(self.context.type_id(id)).kind() == Kind::FuncProto
        };
        match is_function(given) && is_function(wanted) {
            true => self.prototypes(given, wanted),
            false => Err(FUNCTION_AND_DATA.to_owned()),
        }
    }

    /// Is it defined outside code?
    fn is_data(&self, (input, symbol): At) -> bool {
        let input = self.context.inputs.get(input);
        let section = input.and_then(|i| i.section(i.symbol(symbol)?.section()?));
        section.is_some_and(|s| !s.is_code())
    }

    /// Does code of its object call it?
    fn is_called(&self, symbol: At) -> bool {
        self.called.get_or_init(|| called(self.context)).contains(&symbol)
    }

    fn maps(
        &mut self,
        (given, a): (At, &Var),
        (wanted, b): (At, &Var),
    ) -> Result<(), Box<LinkError>> {
        let (one, other) = (self.context.type_id(a.type_id), self.context.type_id(b.type_id));
        if one == other || self.agreed.contains(&(one, other)) {
            return Ok(());
        }
        let name = self.name(given);
        let read = |id: TypeId, var: &Var| {
            map_definition(&name, &self.context.types, id).map_err(|problem| {
                let what = if var.linkage == Linkage::Extern { "declared" } else { "defined" };
                Box::new(self.conflict(given, wanted, format!("as {what}, {problem}")))
            })
        };
        let (x, y) = (read(one, a)?, read(other, b)?);
        if let Some((field, first_value, second_value)) = self.map_difference(&x, &y) {
            return Err(Box::new(LinkError::Map {
                name,
                field,
                first_value,
                second_value,
                first: declaration(self.context, given),
                second: declaration(self.context, wanted),
            }));
        }
        self.agreed.insert((one, other));
        Ok(())
    }

    /// The first member in which two definitions differ, and its values.
    fn map_difference(&self, x: &MapDef, y: &MapDef) -> Option<(&'static str, String, String)> {
        let number = |n: u64| n.to_string();
        let hex = |n: u64| format!("{n:#x}");
        let node = |n: Option<u32>| n.map_or_else(|| "not set".to_owned(), |n| n.to_string());
        let pin = |by_name| if by_name { "LIBBPF_PIN_BY_NAME" } else { "not set" }.to_owned();
        let fields = [
            ("type", number(x.map_type.into()), number(y.map_type.into())),
            ("key_size", number(x.key_size.into()), number(y.key_size.into())),
            ("value_size", number(x.value_size.into()), number(y.value_size.into())),
            ("max_entries", number(x.max_entries.into()), number(y.max_entries.into())),
            ("map_flags", hex(x.map_flags.into()), hex(y.map_flags.into())),
            ("numa_node", node(x.numa_node), node(y.numa_node)),
            ("map_extra", hex(x.map_extra), hex(y.map_extra)),
            ("pinning", pin(x.pin_by_name), pin(y.pin_by_name)),
        ];
        if let Some(found) = fields.into_iter().find(|(_, a, b)| a != b) {
            return Some(found);
        }
        let types = &self.context.types;
        for (field, a, b) in
            [("key", x.key_type, y.key_type), ("value", x.value_type, y.value_type)]
        {
            // One says the type, the other only its size: no contradiction.
            let (Some(a), Some(b)) = (a, b) else { continue };
            if a != b && check_variable((types, a), (types, b)).is_err() {
                let text = |id| format!("`{}`", types.c_declaration(id, ""));
                return Some((field, text(a), text(b)));
            }
        }
        match (&x.inner, &y.inner) {
            (Some(a), Some(b)) => {
                let (field, a, b) = self.map_difference(a, b)?;
                let inner = |value| format!("{field} {value} of the inner map");
                Some(("values", inner(a), inner(b)))
            }
            _ => None,
        }
    }
}
