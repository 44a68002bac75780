//! What the user wants to be different about maps: their sizes, or another map in their place.

use std::borrow::Cow;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

use bpfweld_btf::TypeId;
use bpfweld_link::{ImageMap, ImageSet, MapContent};

use crate::error::{LoadError, MapProblem};
use crate::facts::{map_flag, map_type, map_type_name};
use crate::sys::{MapInfo, Sys};

/// One wish about one map.
#[derive(Clone, Debug)]
pub struct MapOption {
    /// Label of the instance whose map is meant; all instances' without one.
    pub instance: Option<String>,
    /// Name of the map; of variables, of their section.
    pub map: String,
    /// What is to be different.
    pub change: MapChange,
}

/// What is to be different about a map.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum MapChange {
    /// Number of its entries.
    Entries(u32),
    /// Bytes of a value; of variables, of their section, which can only grow: a last variable that is an
    /// array gets the room.
    ValueSize(u32),
    /// This map, which exists, instead of a new one. It must be as the object defines it.
    Reuse(Arc<OwnedFd>),
}

impl MapOption {
    fn is_about(&self, map: &ImageMap) -> bool {
        self.map == map.name && self.instance.as_ref().is_none_or(|label| *label == map.label)
    }
}

/// Every wish is about a map that is there.
pub(crate) fn check(options: &[MapOption], set: &ImageSet) -> Result<(), LoadError> {
    let lost = options.iter().find(|o| !set.maps.iter().any(|map| o.is_about(map)));
    match lost {
        None => Ok(()),
        Some(option) => Err(LoadError::Map {
            map: option.map.clone(),
            label: option.instance.clone().unwrap_or_else(|| "any instance".into()),
            problem: MapProblem::NoSuch {
                there: set.maps.iter().map(|m| format!("{}:{}", m.label, m.name)).collect(),
            },
        }),
    }
}

/// The sections of variables that are to have more bytes than their variables: their types, and how many.
pub(crate) fn larger_sections(
    options: &[MapOption],
    set: &ImageSet,
) -> impl Iterator<Item = (TypeId, u32)> {
    set.maps.iter().flat_map(|map| options.iter().map(move |option| (map, option))).filter_map(
        |(map, option)| match (&map.content, &option.change) {
            (MapContent::Data { datasec: Some(id), size, .. }, MapChange::ValueSize(wanted))
                if option.is_about(map) && wanted > size =>
            {
                Some((*id, *wanted))
            }
            _ => None,
        },
    )
}

/// The map as it is wanted.
pub(crate) fn apply<'m>(
    options: &[MapOption],
    sys: &dyn Sys,
    map: &'m ImageMap,
) -> Result<Cow<'m, ImageMap>, LoadError> {
    let mut map = Cow::Borrowed(map);
    for option in options {
        if !option.is_about(&map) {
            continue;
        }
        let refuse = |problem: MapProblem| LoadError::Map {
            map: option.map.clone(),
            label: map.label.clone(),
            problem,
        };
        let definition = |text: &str| refuse(MapProblem::Definition(text.into()));
        match (&option.change, &map.content) {
            (MapChange::Entries(_), MapContent::Data { .. } | MapContent::Kconfig { .. }) => {
                return Err(definition("a section of variables has one entry, always"));
            }
            (MapChange::ValueSize(_), MapContent::Kconfig { .. }) => {
                return Err(definition("the kernel's configuration has the size that it has"));
            }
            (MapChange::ValueSize(size), MapContent::Data { size: has, .. }) if size < has => {
                return Err(definition(&format!(
                    "its variables have {has} bytes, which do not fit into {size}"
                )));
            }
            (MapChange::Reuse(fd), _) => {
                let call =
                    |source| MapProblem::Call { step: "describe", source, hint: String::new() };
                let info = sys.map_info(fd.as_fd()).map_err(|e| refuse(call(e)))?;
                let mut wanted = Definition::of(&map);
                if let Some(wanted) = &mut wanted
                    && is_sized_by_machine(wanted.map_type)
                {
                    wanted.max_entries = info.max_entries;
                }
                if let Some(difference) = wanted.and_then(|w| w.difference(&info)) {
                    return Err(refuse(MapProblem::Existing { difference }));
                }
                map.to_mut().existing = Some(fd.clone());
            }
            (change, _) => match (change, &mut map.to_mut().content) {
                (MapChange::Entries(count), MapContent::Defined(spec)) => spec.max_entries = *count,
                (MapChange::ValueSize(size), MapContent::Defined(spec)) => {
                    spec.value_size = *size;
                    spec.value_type = None;
                }
                (MapChange::ValueSize(bytes), MapContent::Data { size, .. }) => *size = *bytes,
                _ => {}
            },
        }
    }
    Ok(map)
}

/// The number of entries is rounded, or the number of CPUs.
fn is_sized_by_machine(kind: u32) -> bool {
    matches!(kind, map_type::RINGBUF | map_type::USER_RINGBUF | map_type::PERF_EVENT_ARRAY)
}

/// What must agree for one map to stand for another.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Definition {
    pub(crate) map_type: u32,
    pub(crate) key_size: u32,
    pub(crate) value_size: u32,
    pub(crate) max_entries: u32,
    pub(crate) flags: u32,
    pub(crate) extra: u64,
}

impl Definition {
    /// As the object has it; none of the kernel's configuration.
    fn of(map: &ImageMap) -> Option<Self> {
        Some(match &map.content {
            MapContent::Defined(spec) => Self {
                map_type: spec.map_type,
                key_size: spec.key_size,
                value_size: spec.value_size,
                max_entries: spec.max_entries,
                flags: spec.map_flags,
                extra: spec.map_extra,
            },
            MapContent::Data { size, .. } => Self {
                map_type: map_type::ARRAY,
                key_size: 4,
                value_size: *size,
                max_entries: 1,
                // What the loader sets itself.
                flags: 0,
                extra: 0,
            },
            MapContent::Kconfig { .. } => return None,
        })
    }

    /// In words: what differs first, and both as wholes. Flags that the kernel or a loader sets do not
    /// count.
    pub(crate) fn difference(&self, info: &MapInfo) -> Option<String> {
        let own = match info.map_type {
            map_type::DEVMAP | map_type::DEVMAP_HASH => map_flag::RDONLY_PROG,
            map_type::ARRAY => map_flag::RDONLY_PROG | map_flag::MMAPABLE,
            _ => 0,
        };
        let there = Self {
            map_type: info.map_type,
            key_size: info.key_size,
            value_size: info.value_size,
            max_entries: info.max_entries,
            flags: info.map_flags & (!own | self.flags),
            extra: info.map_extra,
        };
        let pairs = [
            ("type", u64::from(there.map_type), u64::from(self.map_type)),
            ("key size", there.key_size.into(), self.key_size.into()),
            ("value size", there.value_size.into(), self.value_size.into()),
            ("number of entries", there.max_entries.into(), self.max_entries.into()),
            ("flags", there.flags.into(), self.flags.into()),
            ("map_extra", there.extra, self.extra),
        ];
        let (what, ..) = pairs.into_iter().find(|(_, has, wants)| has != wants)?;
        Some(format!("another {what}: there is {there}, the object defines {self}"))
    }
}

impl std::fmt::Display for Definition {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { key_size, value_size, max_entries, flags, extra, .. } = self;
        write!(
            f,
            "{} (key {key_size} bytes, value {value_size} bytes, {max_entries} entries, flags {flags:#x}",
            map_type_name(self.map_type)
        )?;
        if *extra != 0 {
            write!(f, ", map_extra {extra:#x}")?;
        }
        f.write_str(")")
    }
}
