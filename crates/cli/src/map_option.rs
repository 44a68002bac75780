//! `--map`: what the user wants to be different about maps.

use std::path::Path;

use bpfweld::Kernel;
use bpfweld::kernel::{MapChange, MapOption};

use crate::error::Failure;
use crate::instances::{Instance, Wiring};

/// One `--map`; opens the pin that it names.
pub(crate) fn parse(text: &str, wiring: &Wiring, kernel: &Kernel) -> Result<MapOption, Failure> {
    let usage = |problem: &str| {
        Failure::usage(format!("--map {text}: {problem}"))
            .hint("it reads [INSTANCE:]MAP=entries:N, =value-size:N or =reuse:PIN".to_owned())
    };
    // A pin's path may hold anything.
    let ways = ["=entries:", "=value-size:", "=reuse:"];
    let found = ways.iter().filter_map(|way| Some((text.find(way)?, *way))).min();
    let Some((at, way)) = found else { return Err(usage("it does not say what to change")) };
    let (whose, value) = (&text[..at], &text[at + way.len()..]);
    let (instance, map) = match whose.rsplit_once(':') {
        None => (None, whose),
        Some((instance, map)) => (Some(instance), map),
    };
    if map.is_empty() {
        return Err(usage("it names no map"));
    }
    let instance = match instance {
        None => None,
        Some(name) => {
            let known = |i: &&Instance| i.label == name || i.path == Path::new(name);
            let found = wiring.instances.iter().find(known);
            Some(
                found
                    .ok_or_else(|| usage(&format!("there is no instance `{name}`")))?
                    .label
                    .clone(),
            )
        }
    };
    let number = || value.parse().map_err(|_| usage(&format!("`{value}` is no number below 2^32")));
    let change = match way {
        "=entries:" => MapChange::Entries(number()?),
        "=value-size:" => MapChange::ValueSize(number()?),
        _ => {
            let fd = kernel.features().sys().pinned(Path::new(value));
            let fd = fd.map_err(|error| {
                Failure::new(format!(
                    "--map {text}: {value} cannot be opened as a pinned map: {error}"
                ))
                .code("E0303")
            })?;
            MapChange::Reuse(fd.into())
        }
    };
    Ok(MapOption { instance, map: map.to_owned(), change })
}
