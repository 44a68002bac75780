//! From a list of members to a loaded chain: the root generated, everything linked as ever, loaded, maps
//! that exist taken over.

use std::cell::RefCell;
use std::collections::HashMap;
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::sync::Arc;

use bpfweld::kernel::sys::ObjectKind;
use bpfweld::kernel::{Map, Program, Sys};
use bpfweld::link::chain_root::{self, COUNTERS_MAP, Member, ROOT_NAME, Root};
use bpfweld::link::fuse::Policy;
use bpfweld::link::{ExistingMaps, ImageSet, InstanceId, MapIndex};
use bpfweld::{Link, LinkOptions, LoadOptions, Loaded};

use crate::error::ChainError;
use crate::host::Chains;
use crate::member::Opened;
use crate::state::{Files, State, file};

/// A chain that the verifier has taken.
pub(crate) struct Built {
    pub(crate) loaded: Loaded,
    /// The instance of each member, in the order of the state.
    pub(crate) instances: Vec<InstanceId>,
    /// The root's, unless one program runs alone.
    pub(crate) root: Option<InstanceId>,
    pub(crate) warnings: Vec<String>,
    /// Pins of maps that ask for it by name.
    pub(crate) new_pins: NewPins,
    /// Maps that are another instance's.
    aliases: Vec<(MapName, MapName)>,
}

/// Pins that a change made outside the chain's own directory; removed unless it comes to its end.
pub(crate) struct NewPins {
    sys: Arc<dyn Sys>,
    paths: RefCell<Vec<PathBuf>>,
}

impl NewPins {
    pub(crate) fn keep(&self) {
        self.paths.take();
    }
}

impl Drop for NewPins {
    fn drop(&mut self) {
        for path in self.paths.take() {
            // Nothing more can be done about one that cannot be removed.
            let _ = self.sys.remove_file(&path);
        }
    }
}

/// Maps that are not a member's own; members by their places in the state.
#[derive(Debug, Default)]
pub(crate) struct Shared {
    /// Maps that exist, to use instead of new ones.
    pub(crate) existing: HashMap<usize, ExistingMaps>,
    /// Maps of new members that become one.
    pub(crate) pairs: Vec<Pair>,
}

/// A map of a new member that is to be another's.
#[derive(Debug)]
pub(crate) struct Pair {
    pub(crate) member: usize,
    pub(crate) name: String,
    pub(crate) owner: usize,
    pub(crate) map: String,
}

/// A map by its instance and its name there.
type MapName = (InstanceId, String);

/// Links and loads. `members` are in the order of `state.members`. Nothing is pinned.
pub(crate) fn build(
    host: &Chains<'_>,
    files: &Files,
    state: &State,
    members: &[Opened],
    shared: &Shared,
    options: &LoadOptions,
    fuse: Policy,
) -> Result<Built, ChainError> {
    let mut link = Link::new();
    let root = match state.alone {
        true => None,
        false => Some(add_root(host, files, state, members, &mut link)?),
    };
    let mut instances = Vec::with_capacity(members.len());
    for (i, member) in members.iter().enumerate() {
        let mut maps = pinned(host, files, member)?;
        if let Some(shared) = shared.existing.get(&i) {
            maps.extend(shared.iter().map(|(name, fd)| (name.clone(), fd.clone())));
        }
        let at = link.add_existing(&member.entry.name, member.object.clone(), maps)?;
        if let Some(root) = root {
            let name = chain_root::extern_name(i);
            link.bind(root, &name, at, Some(&member.entry.program))?;
        }
        instances.push(at);
    }
    let core_targets = match link.core_object() {
        None => None,
        Some(object) => {
            let object = object.to_owned();
            let targets = host.kernel.core_targets();
            Some(targets.map_err(|source| ChainError::KernelBtf { object, source })?)
        }
    };
    let linked = link.link(&LinkOptions { core_targets, ..LinkOptions::default() })?;
    let entry = match (root, instances.first(), members.first()) {
        (None, Some(&only), Some(member)) => linked.entry(only, Some(&member.entry.program))?,
        (root, ..) => linked.entry(root.unwrap_or(InstanceId(0)), None)?,
    };
    let mut images = linked.images(&[entry])?;
    let aliases = share(&mut images, &shared.pairs, members, &instances)?;
    if state.members.iter().any(|m| m.adopted.is_some_and(|a| a.untyped)) {
        // One of them cannot be in a prog array of a program that says more than it did.
        for image in &mut images.images {
            image.program.attach_type = None;
        }
    }
    // A function that others replace has to be one.
    let replaced = state.members.iter().any(|m| m.adopted.is_some_and(|a| a.replaces));
    let fuse = if replaced { Policy::Never } else { fuse };
    let loaded = host.kernel.load_fused(&images, options, fuse)?.loaded;
    let mut warnings = images.warnings;
    warnings.extend_from_slice(loaded.warnings());
    let new_pins = NewPins {
        sys: host.kernel.features().sys().clone(),
        paths: RefCell::new(loaded.pins().to_vec()),
    };
    Ok(Built { loaded, instances, root, warnings, new_pins, aliases })
}

/// Makes pairs of maps one. What then stands for what.
fn share(
    images: &mut ImageSet,
    pairs: &[Pair],
    members: &[Opened],
    instances: &[InstanceId],
) -> Result<Vec<(MapName, MapName)>, ChainError> {
    let mut aliases: Vec<(MapName, MapName)> = Vec::new();
    let named = |member: usize, map: &str| Some((*instances.get(member)?, map.to_owned()));
    for pair in pairs {
        let (Some(from), Some(with)) =
            (named(pair.member, &pair.name), named(pair.owner, &pair.map))
        else {
            continue;
        };
        let (from, with) = (real(&aliases, from), real(&aliases, with));
        let at = |name: &MapName| {
            let mut maps = (0..).map(MapIndex).zip(&images.maps);
            let found = maps.find(|(_, m)| m.instance == name.0 && m.name == name.1);
            found.map(|(index, _)| index)
        };
        let shared = match (at(&from), at(&with)) {
            _ if from == with => continue,
            (Some(a), Some(b)) => images.share_map(a, b),
            // Its owner's code does not use it: then it is whose does.
            (Some(_), None) => {
                aliases.push((with, from));
                continue;
            }
            (None, _) => Ok(()),
        };
        shared.map_err(|problem| ChainError::SharedMap {
            object: members.get(pair.member).map_or_else(String::new, |m| m.object.name.clone()),
            map: pair.name.clone(),
            with: format!("{}:{}", members.get(pair.owner).map_or("", |m| &m.entry.name), pair.map),
            problem,
        })?;
        aliases.push((from, with));
    }
    // Of one that stands for another that does, the last.
    let resolve = |(name, with): &(MapName, MapName)| (name.clone(), real(&aliases, with.clone()));
    Ok(aliases.iter().map(resolve).collect())
}

/// What stands for a map.
fn real(aliases: &[(MapName, MapName)], name: MapName) -> MapName {
    let mut name = name;
    // No alias stands for what it is behind.
    while let Some((_, with)) = aliases.iter().find(|(alias, _)| *alias == name) {
        name = with.clone();
    }
    name
}

/// Generates the root and adds it; its counters are those that exist, if they do.
fn add_root(
    host: &Chains<'_>,
    files: &Files,
    state: &State,
    members: &[Opened],
    link: &mut Link,
) -> Result<InstanceId, ChainError> {
    let described: Vec<Member<'_>> = members
        .iter()
        .map(|m| Member {
            name: &m.entry.name,
            goes_on: m.entry.verdicts(),
            types: m.object.btf.as_deref().zip(m.of().and_then(|f| f.btf_func)),
            slot: m.entry.slot,
        })
        .collect();
    let object = chain_root::generate(&Root {
        members: &described,
        end: chain_root::XDP_PASS,
        frags: members.iter().all(Opened::frags),
        counters: state.counters,
        name: ROOT_NAME,
    })?;
    let mut maps = ExistingMaps::new();
    if let (true, Some(pin)) = (state.counters, &state.counters_pin) {
        let path = files.maps_of(0).join(pin);
        let map = host.sys().pinned(&path);
        maps.insert(
            COUNTERS_MAP.into(),
            Arc::new(map.map_err(lost("open the counters' map", files))?),
        );
    }
    let label = format!("the chain on {}", state.interface);
    Ok(link.add_existing(&label, Arc::new(object), maps)?)
}

/// The maps that a member has already: by their ids, of which the kernel gives each once in 2^31 maps; without an id, or
/// the privilege to use it, by their pins.
fn pinned(host: &Chains<'_>, files: &Files, member: &Opened) -> Result<ExistingMaps, ChainError> {
    let sys = host.sys();
    let ids = member.entry.map_ids.iter().copied().map(Some).chain(std::iter::repeat(None));
    let open = |((name, pin), id): ((&String, &String), Option<u32>)| {
        let by_id = id.and_then(|id| sys.fd_by_id(ObjectKind::Map, id).ok());
        let fd = by_id.map_or_else(
            || {
                let path = files.maps_of(member.entry.id).join(pin);
                sys.pinned(&path).map_err(file("open the map", &path))
            },
            Ok,
        )?;
        Ok((name.clone(), Arc::new(fd)))
    };
    member.entry.maps.iter().zip(ids).map(open).collect()
}

fn lost<'a>(step: &'static str, files: &'a Files) -> impl Fn(std::io::Error) -> ChainError + 'a {
    move |source| ChainError::File { step, path: files.maps_of(0), source }
}

fn asked(interface: &str) -> impl Fn(std::io::Error) -> ChainError + '_ {
    move |source| ChainError::Call {
        interface: interface.to_owned(),
        step: "ask after the new program",
        source,
    }
}

impl Built {
    /// The program for the interface.
    pub(crate) fn program(&self, interface: &str) -> Result<&Program, ChainError> {
        let none = || asked(interface)(std::io::ErrorKind::NotFound.into());
        self.loaded.entries().first().ok_or_else(none)
    }

    /// The kernel's id of it.
    pub(crate) fn program_id(&self, interface: &str) -> Result<u32, ChainError> {
        Ok(self.program(interface)?.info().map_err(asked(interface))?.id)
    }

    /// The maps of an instance, with their names there; also those that are another's.
    pub(crate) fn maps_of(&self, instance: InstanceId) -> impl Iterator<Item = (&str, &Map)> {
        let own = self.loaded.maps().iter().filter(move |m| m.instance() == instance);
        let others = self.aliases.iter().filter(move |((at, _), _)| *at == instance);
        own.map(|m| (m.name(), m)).chain(others.filter_map(|((_, name), (at, map))| {
            let mut maps = self.loaded.maps().iter();
            let found = maps.find(|m| m.instance() == *at && m.name() == map)?;
            Some((name.as_str(), found))
        }))
    }

    /// Pins the maps of an instance that have no pin yet.
    pub(crate) fn pin(
        &self,
        host: &Chains<'_>,
        files: &Files,
        id: u32,
        instance: InstanceId,
        pins: &std::collections::BTreeMap<String, String>,
        there: &std::collections::BTreeMap<String, String>,
    ) -> Result<(), ChainError> {
        if pins.len() <= there.len() {
            return Ok(());
        }
        let (sys, dir) = (host.sys(), files.maps_of(id));
        sys.make_dir(&dir).map_err(file("make directory", &dir))?;
        for (name, map) in self.maps_of(instance).filter(|(name, _)| !there.contains_key(*name)) {
            let Some(pin) = pins.get(name) else { continue };
            let path = dir.join(pin);
            sys.pin(map.fd().as_fd(), &path).map_err(file("pin", &path))?;
        }
        Ok(())
    }
}
