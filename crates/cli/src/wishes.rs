//! `--map`, `--program`, `--attach-target`: what the user wants to be otherwise than the objects say.

use std::path::Path;
use std::sync::Arc;

use bpfweld::kernel::sys::{ObjectKind, Sys};
use bpfweld::kernel::{AttachOption, AttachTarget, MapChange, MapOption};
use bpfweld::{Kernel, Switch};

use crate::args::LinkArgs;
use crate::error::Failure;
use crate::instances::{Instance, Wiring};

/// All of them, names looked up and pins opened.
#[derive(Default)]
pub(crate) struct Wishes {
    /// `--map` with sizes and pins: the loader's business.
    pub(crate) map_options: Vec<MapOption>,
    /// `--map …=on` and `=off`: the linker's.
    pub(crate) maps: Vec<Switch>,
    /// `--program`.
    pub(crate) programs: Vec<Switch>,
    /// `--attach-target`.
    pub(crate) targets: Vec<AttachOption>,
}

impl Wishes {
    pub(crate) fn new(args: &LinkArgs, wiring: &Wiring, kernel: &Kernel) -> Result<Self, Failure> {
        let mut wishes = Self::default();
        for text in &args.map_changes {
            match map(text, wiring, kernel)? {
                Map::Option(option) => wishes.map_options.push(option),
                Map::Switch(switch) => wishes.maps.push(switch),
            }
        }
        for text in &args.programs {
            wishes.programs.push(program(text, wiring)?);
        }
        for text in &args.targets {
            wishes.targets.push(target(text, wiring, kernel)?);
        }
        Ok(wishes)
    }
}

enum Map {
    Option(MapOption),
    Switch(Switch),
}

/// One `--map`; opens the pin that it names.
fn map(text: &str, wiring: &Wiring, kernel: &Kernel) -> Result<Map, Failure> {
    let option = Text {
        option: "--map",
        text,
        form: "[INSTANCE:]MAP=entries:N, =value-size:N, =reuse:PIN, =off or =on",
    };
    // A pin's path may hold anything.
    let ways = ["=entries:", "=value-size:", "=reuse:"];
    let found = ways.iter().filter_map(|way| Some((text.find(way)?, *way))).min();
    let Some((at, way)) = found else {
        return Ok(Map::Switch(option.switch("map", wiring)?));
    };
    let (whose, value) = (&text[..at], &text[at + way.len()..]);
    let (of, map) = option.scoped(whose, "map", wiring)?;
    let number =
        || value.parse().map_err(|_| option.wrong(&format!("`{value}` is no number below 2^32")));
    let change = match way {
        "=entries:" => MapChange::Entries(number()?),
        "=value-size:" => MapChange::ValueSize(number()?),
        _ => {
            let fd = kernel.features().sys().pinned(Path::new(value));
            let fd = fd.map_err(|error| {
                let problem = format!("{value} cannot be opened as a pinned map: {error}");
                Failure::new(format!("--map {text}: {problem}")).code("E0303")
            })?;
            MapChange::Reuse(fd.into())
        }
    };
    let instance = of.and_then(|at| wiring.instances.get(at)).map(|i| i.label.clone());
    Ok(Map::Option(MapOption { instance, map, change }))
}

/// One `--program`.
fn program(text: &str, wiring: &Wiring) -> Result<Switch, Failure> {
    Text { option: "--program", text, form: "[INSTANCE:]PROG=on or =off" }.switch("program", wiring)
}

/// One `--attach-target`; opens the program that it names.
fn target(text: &str, wiring: &Wiring, kernel: &Kernel) -> Result<AttachOption, Failure> {
    let option = Text {
        option: "--attach-target",
        text,
        form: "[INSTANCE:]PROG=id:ID[:FUNCTION], =pin:PIN[:FUNCTION] or =kernel:NAME",
    };
    let ways = ["=id:", "=pin:", "=kernel:"];
    let found = ways.iter().filter_map(|way| Some((text.find(way)?, *way))).min();
    let (at, way) = found.ok_or_else(|| option.wrong("it does not say what to attach to"))?;
    let (whose, value) = (&text[..at], &text[at + way.len()..]);
    let (of, program) = option.scoped(whose, "program", wiring)?;
    let instance = of.and_then(|at| wiring.instances.get(at)).map(|i| i.label.clone());
    if way == "=kernel:" {
        let target = AttachTarget::Kernel(value.to_owned());
        return Ok(AttachOption { instance, program, target });
    }
    let (which, function) = match value.split_once(':') {
        Some((which, function)) => (which, Some(function.to_owned())),
        None => (value, None),
    };
    let sys: &Arc<dyn Sys> = kernel.features().sys();
    let fd = match way {
        "=id:" => {
            let id = which.parse().map_err(|_| option.wrong(&format!("`{which}` is no id")))?;
            sys.fd_by_id(ObjectKind::Prog, id)
        }
        _ => sys.pinned(Path::new(which)),
    };
    let fd = fd.map_err(|error| {
        let problem = format!("{which} cannot be opened as a program: {error}");
        Failure::new(format!("--attach-target {text}: {problem}")).code("E0306")
    })?;
    let target = AttachTarget::Program { program: fd.into(), function };
    Ok(AttachOption { instance, program, target })
}

/// An option's value as it was written.
struct Text<'a> {
    option: &'a str,
    text: &'a str,
    form: &'a str,
}

impl Text<'_> {
    fn wrong(&self, problem: &str) -> Failure {
        Failure::usage(format!("{} {}: {problem}", self.option, self.text))
            .hint(format!("it reads {}", self.form))
    }

    /// `[INSTANCE:]NAME`: the instance's place, the name.
    fn scoped(
        &self,
        whose: &str,
        what: &str,
        wiring: &Wiring,
    ) -> Result<(Option<usize>, String), Failure> {
        let (instance, name) = match whose.rsplit_once(':') {
            None => (None, whose),
            Some((instance, name)) => (Some(instance), name),
        };
        if name.is_empty() {
            return Err(self.wrong(&format!("it names no {what}")));
        }
        let of = match instance {
            None => None,
            Some(wanted) => {
                let known = |i: &Instance| i.label == wanted || i.path == Path::new(wanted);
                let found = wiring.instances.iter().position(known);
                Some(found.ok_or_else(|| self.wrong(&format!("there is no instance `{wanted}`")))?)
            }
        };
        Ok((of, name.to_owned()))
    }

    /// `[INSTANCE:]NAME=on|off`.
    fn switch(&self, what: &str, wiring: &Wiring) -> Result<Switch, Failure> {
        let (whose, on) = match self.text.rsplit_once('=') {
            Some((whose, "on")) => (whose, true),
            Some((whose, "off")) => (whose, false),
            _ => return Err(self.wrong("it does not say what to change")),
        };
        let (of, name) = self.scoped(whose, what, wiring)?;
        Ok(Switch { of, name, on })
    }
}
