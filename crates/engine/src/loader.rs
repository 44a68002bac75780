//! Loading a set: maps made and filled, programs decoded, prog arrays filled.
//!
//! Between the steps:
//! * every map has its values, and data sections their contents, before a program is decoded: what
//!   `ldimm64` refers to is an address from then on.
//! * a program that cannot be decoded fails the load; nothing runs before all are there.

use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bpfweld_insn::Insn;
use bpfweld_link::kconfig;
use bpfweld_link::trace::{Events, Recorder};
use bpfweld_link::{
    Image, ImageMap, ImageSet, ImageTarget, InstanceId, MapContent, MapSpec, SlotRef,
};
use bpfweld_object::{DataKind, ProgramType};

use crate::decode::{self, decode};
use crate::error::{LoadError, MapProblem};
use crate::helpers;
use crate::maps::{self, MapError, NO_PREALLOC, RDONLY_PROG, Shape, Who, map_type};
use crate::memory::Memory;
use crate::options::EngineOptions;
use crate::packet::Packet;
use crate::run::{Effects, Event};
use crate::vm::State;

/// More CPUs than any machine that this kernel runs on has; bounds what per-CPU maps take.
const MAX_CPUS: u32 = 1024;

/// The engine.
#[derive(Debug)]
pub struct Engine;

/// A set that is loaded. Programs share its maps.
#[derive(Clone, Debug)]
pub struct Loaded {
    programs: Vec<Program>,
    entries: usize,
    maps: Vec<Map>,
    warnings: Vec<String>,
    shared: Arc<Shared>,
}

/// What programs and maps of a set share.
pub(crate) struct Shared {
    pub(crate) programs: Vec<decode::Program>,
    pub(crate) options: EngineOptions,
    state: Mutex<State>,
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").field("options", &self.options).finish_non_exhaustive()
    }
}

impl Shared {
    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        // A run that panicked would leave its maps as they are: usable.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A loaded program.
#[derive(Clone, Debug)]
pub struct Program {
    pub(crate) shared: Arc<Shared>,
    pub(crate) index: usize,
    pub(crate) prog_type: ProgramType,
    pub(crate) frags: bool,
    name: String,
    instance: String,
    section: String,
}

impl Program {
    /// Name of its entry function.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Label of the instance that its entry function is from.
    pub fn instance(&self) -> &str {
        &self.instance
    }

    /// Name of the ELF section of its entry function.
    pub fn section(&self) -> &str {
        &self.section
    }

    /// Its type.
    pub fn prog_type(&self) -> ProgramType {
        self.prog_type
    }
}

impl Engine {
    /// Makes the maps of a set and decodes its programs.
    pub fn load(set: &ImageSet, options: &EngineOptions) -> Result<Loaded, LoadError> {
        let mut options = options.clone();
        options.cpus = options.cpus.clamp(1, MAX_CPUS);
        options.cpu = options.cpu.min(options.cpus - 1);
        let mut warnings = Vec::new();
        let mut maker = Maker {
            memory: Memory::new(),
            maps: Vec::with_capacity(set.maps.len()),
            seed: RandomState::new().hash_one(0),
            left: options.memory,
            options: &options,
            warnings: &mut warnings,
        };
        for map in &set.maps {
            maker.make(map)?;
        }
        let Maker { memory, maps, seed, .. } = maker;
        let mut programs = Vec::with_capacity(set.images.len());
        for (index, image) in set.images.iter().enumerate() {
            check_type(image)?;
            let value = |map: usize, offset| maps.get(map).and_then(|m| m.first_value(offset));
            let ops = decode(image, index, &value)?;
            warnings.extend(missing_helpers(image));
            let image = Arc::new(image.clone());
            programs.push(decode::Program { ops, image, btf: set.btf.clone() });
        }
        let state = State {
            memory,
            maps,
            packet: Packet::new(),
            effects: Effects::new(),
            random: options.seed.unwrap_or(seed),
            windows: Vec::new(),
            scratch: Vec::new(),
            touched: 0,
            instructions: 0,
            trace: Recorder::default(),
        };
        let shared = Arc::new(Shared { programs, options, state: Mutex::new(state) });
        fill(set, &shared)?;
        let program = |(index, image): (usize, &Image)| Program {
            shared: shared.clone(),
            index,
            prog_type: image.program.prog_type,
            frags: image.program.frags,
            name: image.name.clone(),
            instance: image.instance.clone(),
            section: image.section.clone(),
        };
        let map = |(index, map): (usize, &ImageMap)| Map {
            shared: shared.clone(),
            index,
            name: map.name.clone(),
            label: map.label.clone(),
            instance: map.instance,
        };
        Ok(Loaded {
            programs: set.images.iter().enumerate().map(program).collect(),
            entries: set.entries,
            maps: set.maps.iter().enumerate().map(map).collect(),
            warnings,
            shared,
        })
    }
}

impl Loaded {
    /// The programs, in the order of [`ImageSet::images`].
    pub fn programs(&self) -> &[Program] {
        &self.programs
    }

    /// The programs that were asked for: those that are not there only for a prog array.
    pub fn entries(&self) -> &[Program] {
        self.programs.get(..self.entries).unwrap_or(&self.programs)
    }

    /// The maps, in the order of [`ImageSet::maps`].
    pub fn maps(&self) -> &[Map] {
        &self.maps
    }

    /// The map of this name (a section name for data) of an instance.
    pub fn map(&self, instance: InstanceId, name: &str) -> Option<&Map> {
        self.maps.iter().find(|m| m.instance == instance && m.name == name)
    }

    /// What was not as one might expect and did not stop the load.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// What programs told since this was last asked, and how much of it was lost.
    pub fn take_events(&self) -> (Vec<Event>, u64) {
        let effects = &mut self.shared.state().effects;
        (std::mem::take(&mut effects.events), std::mem::take(&mut effects.lost))
    }

    /// What happened in the last run, where the options have a plan of what to note.
    pub fn take_trace(&self) -> Events {
        self.shared.state().trace.take()
    }

    /// Instructions that all runs took.
    pub fn instructions(&self) -> u64 {
        self.shared.state().instructions
    }
}

/// A map of a loaded set, as user space sees it.
#[derive(Clone, Debug)]
pub struct Map {
    shared: Arc<Shared>,
    index: usize,
    name: String,
    label: String,
    instance: InstanceId,
}

impl Map {
    /// Its name in its object; a section name for data.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Label of the instance that it belongs to.
    pub fn label(&self) -> &str {
        &self.label
    }

    /// The instance that it belongs to.
    pub fn instance(&self) -> InstanceId {
        self.instance
    }

    fn with<T>(&self, f: impl FnOnce(&mut maps::Map, &mut Memory) -> T) -> Result<T, MapError> {
        let mut state = self.shared.state();
        let State { memory, maps, .. } = &mut *state;
        let map = maps.get_mut(self.index).ok_or(MapError(maps::errno::EINVAL))?;
        Ok(f(map, memory))
    }

    /// The value of `key`, in per-CPU maps one for each CPU, each rounded up to 8 bytes; `None` when
    /// there is none. Of a queue or stack (with no key), the next value, which stays.
    pub fn lookup(&self, key: &[u8]) -> Result<Option<Vec<u8>>, MapError> {
        self.with(|map, memory| {
            if key.len() != map.shape.key_size as usize {
                return Err(MapError(maps::errno::EINVAL));
            }
            if key.is_empty() {
                let mut value = vec![0; map.value_len()];
                return match map.take(memory, &mut value, true) {
                    Ok(()) => Ok(Some(value)),
                    Err(maps::errno::ENOENT) => Ok(None),
                    Err(code) => Err(MapError(code)),
                };
            }
            Ok(map.value(memory, key))
        })?
    }

    /// Sets the value of `key`, in per-CPU maps all of them. A queue or stack (with no key) gets one
    /// more.
    pub fn update(&self, key: &[u8], value: &[u8]) -> Result<(), MapError> {
        self.with(|map, memory| {
            if key.len() != map.shape.key_size as usize || value.len() != map.value_len() {
                return Err(MapError(maps::errno::EINVAL));
            }
            map.update(memory, key, value, 0, Who::User).map_err(MapError)
        })?
    }

    /// Removes `key`; `false` when it was not there.
    pub fn delete(&self, key: &[u8]) -> Result<bool, MapError> {
        self.with(|map, _| match map.delete(key) {
            Ok(()) => Ok(true),
            Err(maps::errno::ENOENT) => Ok(false),
            Err(code) => Err(MapError(code)),
        })?
    }

    /// All keys.
    pub fn keys(&self) -> Result<Vec<Vec<u8>>, MapError> {
        self.with(|map, memory| {
            let mut key = Vec::new();
            let keys = (0..map.slots())
                .filter_map(|slot| map.entry(memory, slot, 0, &mut key).map(|_| key.clone()));
            keys.collect()
        })
    }

    /// The next record of a ring buffer that was submitted; it is then gone.
    pub fn consume(&self) -> Result<Option<Vec<u8>>, MapError> {
        self.with(|map, memory| {
            let region = map.region;
            let ring = map.ring().ok_or(MapError(maps::errno::EINVAL))?;
            let Some((offset, len)) = ring.consume() else { return Ok(None) };
            let bytes = memory
                .region(region)
                .and_then(|r| r.bytes.get(offset as usize..(offset + len) as usize));
            Ok(bytes.map(<[u8]>::to_vec))
        })?
    }
}

fn check_type(image: &Image) -> Result<(), LoadError> {
    let kind = image.program.prog_type;
    match kind {
        ProgramType::XDP
        | ProgramType::SCHED_CLS
        | ProgramType::SCHED_ACT
        | ProgramType::SOCKET_FILTER
        | ProgramType::CGROUP_SKB => Ok(()),
        _ => Err(LoadError::ProgramType {
            program: image.name.clone(),
            instance: image.instance.clone(),
            kind,
        }),
    }
}

/// Warnings of helpers that are called and not there.
fn missing_helpers(image: &Image) -> Option<String> {
    let mut numbers: Vec<u32> = image.insns.iter().copied().filter_map(Insn::helper).collect();
    numbers.retain(|&number| !helpers::exists(number));
    numbers.sort_unstable();
    numbers.dedup();
    let names: Vec<_> = numbers.iter().map(|&number| helpers::name(number)).collect();
    (!names.is_empty()).then(|| {
        format!(
            "program `{}` calls {}, which the engine does not have: a run that gets there ends",
            image.name,
            names.join(", ")
        )
    })
}

/// Makes maps.
struct Maker<'a> {
    memory: Memory,
    maps: Vec<maps::Map>,
    seed: u64,
    /// Bytes that further maps may take.
    left: u64,
    options: &'a EngineOptions,
    warnings: &'a mut Vec<String>,
}

impl Maker<'_> {
    fn make(&mut self, map: &ImageMap) -> Result<(), LoadError> {
        let problem = |problem| LoadError::Map {
            name: map.name.clone(),
            instance: map.label.clone(),
            problem,
        };
        if map.existing.is_some() {
            return Err(problem(MapProblem::Existing));
        }
        let data = |size, flags| Shape {
            map_type: map_type::ARRAY,
            key_size: 4,
            value_size: size,
            max_entries: 1,
            flags,
            extra: 0,
        };
        let (shape, contents) = match &map.content {
            MapContent::Defined(spec) => (self.shape(spec), Vec::new()),
            MapContent::Data { kind, size, bytes, .. } => {
                let flags = if *kind == DataKind::Rodata { RDONLY_PROG } else { 0 };
                (data(*size, flags), bytes.to_vec())
            }
            MapContent::Kconfig { size, vars, .. } => {
                let config = self.options.kconfig.clone().unwrap_or_default();
                let values = kconfig::evaluate(vars, *size, &config, &self.options.kernel)
                    .map_err(|e| problem(e.into()))?;
                let named = |w: &String| format!("{}: {w}", map.label);
                self.warnings.extend(values.warnings.iter().map(named));
                (data(*size, RDONLY_PROG), values.bytes)
            }
        };
        let size = maps::Map::size(&shape, self.options.cpus);
        let Some(left) = self.left.checked_sub(size) else {
            return Err(problem(MapProblem::Memory { limit: self.options.memory }));
        };
        self.left = left;
        let kind = shape.map_type;
        if contents.len() > shape.value_size as usize {
            let text = format!("{} bytes of contents in {}", contents.len(), shape.value_size);
            return Err(problem(MapProblem::Definition(text)));
        }
        let made = maps::Map::new(shape, self.options.cpus, self.seed, &mut self.memory);
        let made = made.map_err(|text| problem(MapProblem::Definition(text)))?;
        let made = made.ok_or_else(|| problem(MapProblem::Type(kind)))?;
        if !contents.is_empty()
            && let Some(region) = self.memory.region_mut(made.region)
            && let Some(place) = region.bytes.get_mut(..contents.len())
        {
            place.copy_from_slice(&contents);
        }
        self.maps.push(made);
        Ok(())
    }

    fn shape(&self, spec: &MapSpec) -> Shape {
        let max_entries = match spec.map_type {
            // The loader fills it in.
            map_type::PERF_EVENT_ARRAY if spec.max_entries == 0 => self.options.cpus,
            // Rounded up to what the kernel takes, as loaders do.
            map_type::RINGBUF => {
                spec.max_entries.max(4096).checked_next_power_of_two().unwrap_or(spec.max_entries)
            }
            _ => spec.max_entries,
        };
        let flags = match spec.map_type {
            map_type::LPM_TRIE => spec.map_flags | NO_PREALLOC,
            _ => spec.map_flags,
        };
        let size = |size| match spec.map_type {
            map_type::PROG_ARRAY
            | map_type::ARRAY_OF_MAPS
            | map_type::HASH_OF_MAPS
            | map_type::PERF_EVENT_ARRAY
            | map_type::XSKMAP
                if size == 0 =>
            {
                4
            }
            _ => size,
        };
        Shape {
            map_type: spec.map_type,
            key_size: match spec.map_type {
                map_type::HASH_OF_MAPS => spec.key_size,
                _ => size(spec.key_size),
            },
            value_size: size(spec.value_size),
            max_entries,
            flags,
            extra: spec.map_extra,
        }
    }
}

/// All programs that use a prog array and all that are in it are of one type, and all take packets in
/// several buffers or none does.
fn check_prog_array(set: &ImageSet, index: usize) -> Result<(), String> {
    let Some(MapContent::Defined(spec)) = set.maps.get(index).map(|map| &map.content) else {
        return Ok(());
    };
    if spec.map_type != map_type::PROG_ARRAY {
        return Ok(());
    }
    let uses = |image: &&Image| {
        image.relocs.iter().any(|r| matches!(r.target, ImageTarget::Map(m) if m.index() == index))
    };
    let kind = |image: &Image| (image.program.prog_type, image.program.frags);
    let slots = spec.values.iter().filter_map(|&(_, slot)| match slot {
        SlotRef::Image(image) => set.images.get(image as usize),
        SlotRef::Map(_) => None,
    });
    let mut all = set.images.iter().filter(uses).chain(slots);
    let Some(first) = all.next() else { return Ok(()) };
    match all.find(|image| kind(image) != kind(first)) {
        None => Ok(()),
        Some(other) => Err(format!(
            "program `{}` ({}, frags: {}) and `{}` ({}, frags: {}) cannot share a prog array",
            first.name,
            first.program.prog_type.name(),
            first.program.frags,
            other.name,
            other.program.prog_type.name(),
            other.program.frags
        )),
    }
}

/// Initial values of maps of maps and of prog arrays.
fn fill(set: &ImageSet, shared: &Shared) -> Result<(), LoadError> {
    let mut state = shared.state();
    let State { memory, maps, .. } = &mut *state;
    for (index, map) in set.maps.iter().enumerate() {
        let MapContent::Defined(spec) = &map.content else { continue };
        check_prog_array(set, index).map_err(|problem| LoadError::Map {
            name: map.name.clone(),
            instance: map.label.clone(),
            problem: MapProblem::Definition(problem),
        })?;
        for &(slot, value) in &spec.values {
            let (to, count) = match value {
                SlotRef::Map(to) => (to.0, set.maps.len()),
                SlotRef::Image(to) => (to, set.images.len()),
            };
            let done = match maps.get_mut(index) {
                Some(map) if (to as usize) < count => map.set_reference(memory, slot, to).is_ok(),
                _ => false,
            };
            if !done {
                return Err(LoadError::Map {
                    name: map.name.clone(),
                    instance: map.label.clone(),
                    problem: MapProblem::Definition(format!("its slot {slot} cannot be set")),
                });
            }
        }
    }
    Ok(())
}
