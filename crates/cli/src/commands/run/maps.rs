//! What `--maps` shows: the contents of every map after the last packet, by their types.

use std::io::{self, Write};

use bpfweld::kernel::facts::map_type_name;
use bpfweld::link::{ImageMap, MapContent, MapIndex, MapSpec};
use bpfweld::{Backend, ImageSet, MapRef};
use serde::Serialize;

use crate::output::{Style, count};
use crate::values::Shown;

/// Entries that are listed of a map; with `--verbose` and in JSON all.
const LISTED: usize = 32;
/// `enum bpf_map_type`.
const PROG_ARRAY: u32 = 3;
const ARRAY_OF_MAPS: u32 = 12;
const HASH_OF_MAPS: u32 = 13;
/// Types whose entries each have a value from the start: those that are all zeros are not listed.
const ARRAY: u32 = 2;
const PERCPU_ARRAY: u32 = 6;
/// Types without keys: their contents are there for whoever takes them.
const WITHOUT_KEYS: [u32; 6] = [22, 23, 27, 30, 31, 33];

/// A map and what it holds; its fields are the JSON's.
#[derive(Debug, Serialize)]
pub(super) struct MapReport {
    name: String,
    instance: String,
    #[serde(rename = "type")]
    kind: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    variables: Option<Shown>,
    #[serde(skip_serializing_if = "Option::is_none")]
    entries: Option<Vec<Entry>>,
    /// Entries that are not listed because they are zeros.
    #[serde(skip_serializing_if = "is_zero")]
    zeros: u64,
    /// Why there are no contents.
    #[serde(skip_serializing_if = "Option::is_none")]
    unreadable: Option<String>,
}

#[derive(Debug, Serialize)]
struct Entry {
    key: Shown,
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<Shown>,
    /// Of a per-CPU map: one for each.
    #[serde(skip_serializing_if = "Option::is_none")]
    values: Option<Vec<Shown>>,
}

fn is_zero(n: &u64) -> bool {
    *n == 0
}

/// Reads the maps of a set.
pub(super) fn read(images: &ImageSet, backend: &Backend) -> Vec<MapReport> {
    let indices = (0..).map(MapIndex).zip(&images.maps);
    indices.filter_map(|(at, map)| Some(one(images, backend, map, backend.map(at)?))).collect()
}

fn one(images: &ImageSet, backend: &Backend, map: &ImageMap, made: MapRef<'_>) -> MapReport {
    let mut report = MapReport {
        name: map.name.clone(),
        instance: map.label.clone(),
        kind: "data".into(),
        variables: None,
        entries: None,
        zeros: 0,
        unreadable: None,
    };
    let done = match &map.content {
        MapContent::Data { datasec, .. } | MapContent::Kconfig { datasec, .. } => {
            made.lookup(&0u32.to_ne_bytes()).map(|value| {
                let value = value.unwrap_or_default();
                report.variables = Some(Shown::section(&images.btf, *datasec, &value));
            })
        }
        MapContent::Defined(spec) => {
            report.kind = map_type_name(spec.map_type).to_lowercase();
            if WITHOUT_KEYS.contains(&spec.map_type) {
                Err("it has no keys; what it holds is gone once it is read".into())
            } else {
                entries(images, backend, spec, made, &mut report)
            }
        }
    };
    report.unreadable = done.err();
    report
}

fn entries(
    images: &ImageSet,
    backend: &Backend,
    spec: &MapSpec,
    made: MapRef<'_>,
    report: &mut MapReport,
) -> Result<(), String> {
    let array = matches!(spec.map_type, ARRAY | PERCPU_ARRAY);
    let stride = (spec.value_size as usize).next_multiple_of(8).max(8);
    let btf = &images.btf;
    let mut keys = made.keys()?;
    // Hash tables have an order of their own, which differs from run to run.
    keys.sort_by_key(|key| Sorted::new(key));
    let mut list = Vec::new();
    for key in keys {
        let Some(bytes) = made.lookup(&key)? else { continue };
        if array && bytes.iter().all(|b| *b == 0) {
            report.zeros += 1;
            continue;
        }
        let id = || bytes.first_chunk().map_or(0, |b| u32::from_ne_bytes(*b));
        let value = |bytes: &[u8]| Shown::new(btf, spec.value_type, bytes);
        let (one, many) = match spec.map_type {
            PROG_ARRAY => (Some(program(images, backend, id())), None),
            ARRAY_OF_MAPS | HASH_OF_MAPS => (Some(map_by_id(images, backend, id())), None),
            // PERCPU_HASH, LRU_PERCPU_HASH
            PERCPU_ARRAY | 5 | 10 => (None, Some(bytes.chunks(stride).map(value).collect())),
            _ => (Some(value(&bytes)), None),
        };
        list.push(Entry { key: Shown::new(btf, spec.key_type, &key), value: one, values: many });
    }
    report.entries = Some(list);
    Ok(())
}

/// Keys of 4 or 8 bytes by number, others by their bytes.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Sorted {
    Number(u64),
    Bytes(Vec<u8>),
}

impl Sorted {
    fn new(key: &[u8]) -> Self {
        match *key {
            [a, b, c, d] => Self::Number(u32::from_ne_bytes([a, b, c, d]).into()),
            [a, b, c, d, e, f, g, h] => Self::Number(u64::from_ne_bytes([a, b, c, d, e, f, g, h])),
            _ => Self::Bytes(key.to_vec()),
        }
    }
}

fn map_by_id(images: &ImageSet, backend: &Backend, id: u32) -> Shown {
    let map = backend.map_of_value(id).and_then(|at| images.maps.get(at.index()));
    named(id, "map", map.map(|m| (m.name.as_str(), m.label.as_str())))
}

fn program(images: &ImageSet, backend: &Backend, id: u32) -> Shown {
    let image = backend.image_of_value(id).and_then(|at| images.images.get(at));
    named(id, "program", image.map(|i| (i.name.as_str(), i.instance.as_str())))
}

fn named(id: u32, what: &str, found: Option<(&str, &str)>) -> Shown {
    let mut members = vec![("id".to_owned(), Shown::Unsigned(id.into()))];
    if let Some((name, instance)) = found {
        members.push((what.to_owned(), Shown::Text(name.to_owned())));
        members.push(("instance".to_owned(), Shown::Text(instance.to_owned())));
    }
    Shown::Struct(members)
}

/// Prints all maps.
pub(super) fn print(
    maps: &[MapReport],
    out: &mut impl Write,
    style: Style,
    verbose: bool,
) -> io::Result<()> {
    for map in maps {
        writeln!(out)?;
        map.print(out, style, verbose)?;
    }
    Ok(())
}

impl MapReport {
    fn print(&self, out: &mut impl Write, style: Style, verbose: bool) -> io::Result<()> {
        let mut of = vec![self.instance.clone(), self.kind.clone()];
        of.extend(self.entries.as_ref().map(|e| count_entries(e.len() as u64 + self.zeros)));
        writeln!(out, "{}  {}", style.bold(&self.name), style.dim(&of.join(", ")))?;
        if let Some(why) = &self.unreadable {
            writeln!(out, "  not shown: {why}")?;
        }
        match &self.variables {
            Some(Shown::Struct(variables)) => {
                for (name, value) in variables {
                    writeln!(out, "  {name} = {value}")?;
                }
            }
            Some(other) => writeln!(out, "  {}", short(&other.to_string(), verbose))?,
            None => {}
        }
        let entries = self.entries.as_deref().unwrap_or_default();
        let shown = if verbose { entries.len() } else { entries.len().min(LISTED) };
        for entry in &entries[..shown] {
            match (&entry.value, &entry.values) {
                (Some(value), _) => writeln!(out, "  {} → {value}", entry.key)?,
                (None, values) => {
                    writeln!(out, "  {}", entry.key)?;
                    for (cpu, value) in values.iter().flatten().enumerate() {
                        writeln!(out, "    cpu {cpu} → {value}")?;
                    }
                }
            }
        }
        if entries.len() > shown {
            let more = count_entries((entries.len() - shown) as u64);
            writeln!(out, "  {}", style.dim(&format!("… {more} more; --verbose lists them")))?;
        }
        if self.zeros > 0 {
            let zeros = count_entries(self.zeros);
            writeln!(out, "  {}", style.dim(&format!("{zeros} of zeros")))?;
        }
        Ok(())
    }
}

fn count_entries(n: u64) -> String {
    match n {
        1 => count(1, "entry"),
        n => format!("{n} entries"),
    }
}

/// Bytes without a type: a line of them.
fn short(text: &str, verbose: bool) -> String {
    match text.char_indices().nth(96) {
        Some((at, _)) if !verbose => format!("{}… ({} bytes)", &text[..at], text.len() / 2 - 1),
        _ => text.to_owned(),
    }
}
