//! Maps: made, filled, frozen, reused; and access to their values afterwards.

use std::fmt;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bpfweld_btf::{Btf, Linkage, TypeId};
use bpfweld_link::{ImageMap, InstanceId, MapContent, MapSpec, SlotRef};
use bpfweld_object::DataKind;

use crate::error::{LoadError, MapProblem};
use crate::facts::{self, POSSIBLE_CPUS, is_per_cpu, map_flag, map_type, map_type_name};
use crate::features::{Feature, Features};
use crate::map_options::Definition;
use crate::privilege::{self, Privilege};
use crate::running::Running;
use crate::struct_ops::KernelTable;
use crate::sys::{MapCreate, MapInfo, OBJ_NAME_MAX, Sys};
use crate::upload::Upload;

/// A map of a loaded set.
#[derive(Clone)]
pub struct Map {
    sys: Arc<dyn Sys>,
    name: String,
    label: String,
    instance: InstanceId,
    fd: Arc<OwnedFd>,
    info: MapInfo,
    kind: MapKind,
    /// Bytes of a value as user space sees it: one for every CPU in per-CPU maps.
    value_len: usize,
    variables_at: u32,
}

/// What a map is for.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum MapKind {
    /// Defined by the object.
    Defined,
    /// A section of global variables.
    Data(DataKind),
    /// Values of kconfig externs.
    Kconfig,
}

impl fmt::Debug for Map {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Map")
            .field("name", &self.name)
            .field("label", &self.label)
            .field("kind", &self.kind)
            .field("fd", &self.fd)
            .finish_non_exhaustive()
    }
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

    /// Its file descriptor.
    pub fn fd(&self) -> &Arc<OwnedFd> {
        &self.fd
    }

    /// What it is for.
    pub fn kind(&self) -> MapKind {
        self.kind
    }

    /// What the kernel says of it.
    pub fn info(&self) -> &MapInfo {
        &self.info
    }

    /// Bytes of a value as [`lookup`](Self::lookup) gives it and [`update`](Self::update) takes
    /// it. In per-CPU maps, one value, rounded up to 8 bytes, for every possible CPU.
    pub fn value_len(&self) -> usize {
        self.value_len
    }

    /// Of an arena with variables: how far from its start they are, in bytes. At its end where the kernel
    /// lets programs have addresses of all of it, so that its first pages are free for the program's
    /// purposes; else at its start. 0 for any other map.
    pub fn variables_at(&self) -> u32 {
        self.variables_at
    }

    /// The value of `key`, as bytes; `None` when there is none.
    pub fn lookup(&self, key: &[u8]) -> io::Result<Option<Vec<u8>>> {
        let mut value = vec![0; self.value_len];
        match self.sys.lookup(self.fd.as_fd(), key, &mut value) {
            Ok(()) => Ok(Some(value)),
            Err(e) if e.raw_os_error() == Some(libc::ENOENT) => Ok(None),
            Err(e) => Err(e),
        }
    }

    /// Sets the value of `key`.
    pub fn update(&self, key: &[u8], value: &[u8]) -> io::Result<()> {
        self.sys.update(self.fd.as_fd(), key, value)
    }

    /// Removes `key`; `false` when it was not there.
    pub fn delete(&self, key: &[u8]) -> io::Result<bool> {
        match self.sys.delete(self.fd.as_fd(), key) {
            Ok(()) => Ok(true),
            Err(e) if e.raw_os_error() == Some(libc::ENOENT) => Ok(false),
            Err(e) => Err(e),
        }
    }

    /// All keys. Those that come and go meanwhile may be missed; at most `max_entries` are given.
    pub fn keys(&self) -> io::Result<Vec<Vec<u8>>> {
        let mut keys: Vec<Vec<u8>> = Vec::new();
        while keys.len() < self.info.max_entries as usize {
            let mut next = vec![0; self.info.key_size as usize];
            let last = keys.last().map(Vec::as_slice);
            match self.sys.next_key(self.fd.as_fd(), last, &mut next) {
                Ok(()) => keys.push(next),
                Err(e) if e.raw_os_error() == Some(libc::ENOENT) => break,
                Err(e) => return Err(e),
            }
        }
        Ok(keys)
    }

    /// The bytes of a data section (or of any map's entry 0).
    pub fn data(&self) -> io::Result<Vec<u8>> {
        self.lookup(&0u32.to_ne_bytes())?.ok_or_else(|| io::Error::from_raw_os_error(libc::ENOENT))
    }

    /// Overwrites a part of a data section. Not atomic: what programs write meanwhile to the rest of
    /// the section may be lost.
    pub fn write_data(&self, offset: usize, bytes: &[u8]) -> io::Result<()> {
        let mut value = self.data()?;
        let place = offset
            .checked_add(bytes.len())
            .and_then(|end| value.get_mut(offset..end))
            .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "outside the section"))?;
        place.copy_from_slice(bytes);
        self.update(&0u32.to_ne_bytes(), &value)
    }
}

/// Makes the maps of one set.
pub(crate) struct MapMaker<'a> {
    pub(crate) features: &'a Features,
    pub(crate) btf: Option<BorrowedFd<'a>>,
    /// The images' BTF.
    pub(crate) types: &'a Btf,
    /// The same as the kernel has it.
    pub(crate) upload: &'a Upload,
    pub(crate) running: &'a Running,
    pub(crate) kernel_btf: Option<&'a Btf>,
    pub(crate) pin_root: Option<&'a Path>,
    /// Of the interface in whose card they are to be; 0 for the host.
    pub(crate) ifindex: u32,
    /// Pins that were made on the way.
    pub(crate) pins: &'a mut Vec<PathBuf>,
    pub(crate) warnings: &'a mut Vec<String>,
}

impl MapMaker<'_> {
    /// Makes `map`, fills it and freezes it. `made` are the maps before it.
    pub(crate) fn make(
        &mut self,
        map: &ImageMap,
        made: &[Map],
        kconfig: Option<Vec<u8>>,
    ) -> Result<Map, LoadError> {
        let kind = match &map.content {
            MapContent::Defined(_) => MapKind::Defined,
            MapContent::Data { kind, .. } => MapKind::Data(*kind),
            MapContent::Kconfig { .. } => MapKind::Kconfig,
        };
        let fd = match &map.existing {
            Some(fd) => fd.clone(),
            None => Arc::new(self.make_new(map, made, kconfig)?),
        };
        let error = |source| call_failed(map, "describe", source);
        let sys = self.features.sys().clone();
        let info = sys.map_info(fd.as_fd()).map_err(error)?;
        let variables_at = match &map.content {
            MapContent::Defined(spec) if spec.map_type == map_type::ARENA => {
                self.variables_at(spec, info.max_entries).map_err(error)?
            }
            _ => 0,
        };
        let value_len = match is_per_cpu(info.map_type) {
            true => {
                let cpus = possible_cpus(&*sys).map_err(error)?;
                (info.value_size as usize).next_multiple_of(8).saturating_mul(cpus as usize)
            }
            false => info.value_size as usize,
        };
        Ok(Map {
            sys,
            name: map.name.clone(),
            label: map.label.clone(),
            instance: map.instance,
            fd,
            info,
            kind,
            value_len,
            variables_at,
        })
    }

    fn make_new(
        &mut self,
        map: &ImageMap,
        made: &[Map],
        kconfig: Option<Vec<u8>>,
    ) -> Result<OwnedFd, LoadError> {
        let problem = |problem| map_error(map, problem);
        match &map.content {
            MapContent::Defined(spec) => {
                let pin = self.pin_root.filter(|_| spec.pin_by_name).map(|r| r.join(&map.name));
                if let Some(path) = &pin
                    && let Some(fd) = self.reuse(map, spec, path)?
                {
                    return Ok(fd);
                }
                let fd = self.make_defined(map, spec, made)?;
                if let Some(path) = pin {
                    self.features.sys().pin(fd.as_fd(), &path).map_err(|source| {
                        problem(MapProblem::Pin { path: path.clone(), source })
                    })?;
                    self.pins.push(path);
                }
                Ok(fd)
            }
            MapContent::Data { kind, size, bytes, datasec } => {
                let read_only = *kind == DataKind::Rodata;
                let filled = (!bytes.is_empty()).then_some(&bytes[..]);
                self.make_data(map, *size, filled, *datasec, read_only)
            }
            MapContent::Kconfig { size, datasec, .. } => {
                self.make_data(map, *size, kconfig.as_deref(), *datasec, true)
            }
        }
    }

    /// The map that is pinned at `path`, if there is one and it fits.
    fn reuse(
        &self,
        map: &ImageMap,
        spec: &MapSpec,
        path: &Path,
    ) -> Result<Option<OwnedFd>, LoadError> {
        let sys = self.features.sys();
        let pin = |source| map_error(map, MapProblem::Pin { path: path.into(), source });
        let fd = match sys.pinned(path) {
            Ok(fd) => fd,
            Err(e) if e.raw_os_error() == Some(libc::ENOENT) => return Ok(None),
            Err(e) => return Err(pin(e)),
        };
        let info = sys.map_info(fd.as_fd()).map_err(pin)?;
        let wanted = Definition {
            map_type: spec.map_type,
            key_size: spec.key_size,
            value_size: spec.value_size,
            max_entries: self.max_entries(map, spec)?,
            flags: flags(spec),
            extra: spec.map_extra,
        };
        match wanted.difference(&info) {
            None => Ok(Some(fd)),
            Some(difference) => {
                Err(map_error(map, MapProblem::Pinned { path: path.into(), difference }))
            }
        }
    }

    fn make_defined(
        &mut self,
        map: &ImageMap,
        spec: &MapSpec,
        made: &[Map],
    ) -> Result<OwnedFd, LoadError> {
        if spec.map_type == map_type::STRUCT_OPS {
            return self.make_struct_ops(map, spec);
        }
        // Only what it looks like matters; the kernel forgets it as soon as the outer map is made.
        let inner = match &spec.inner {
            Some(inner) => Some(self.create(map, inner, "", None)?),
            None => None,
        };
        let name = kernel_name(&map.name, false);
        let fd = self.create(map, spec, &name, inner.as_ref().map(AsFd::as_fd))?;
        if spec.map_type == map_type::ARENA {
            self.fill_arena(map, spec, fd.as_fd())?;
        }
        for &(slot, value) in &spec.values {
            // Programs come later, see `fill_programs`.
            if let SlotRef::Map(index) = value {
                let inner = made.get(index.index()).ok_or_else(|| {
                    slot_error(map, slot, format!("map {} is not made yet", index.0))
                })?;
                set_slot(&**self.features.sys(), map, fd.as_fd(), slot, inner.fd.as_fd())?;
            }
        }
        Ok(fd)
    }

    /// A table of functions, still empty.
    fn make_struct_ops(&mut self, map: &ImageMap, spec: &MapSpec) -> Result<OwnedFd, LoadError> {
        let problem = |text: String| map_error(map, MapProblem::Definition(text));
        let Some(ops) = &spec.struct_ops else {
            let text = "a struct_ops map is made from a variable in a section `.struct_ops` or \
                        `.struct_ops.link`, not from a definition";
            return Err(problem(text.into()));
        };
        let sys = &**self.features.sys();
        let table = KernelTable::find(sys, self.running, self.kernel_btf, self.types, spec)
            .map_err(problem)?;
        // The kernel wants some BTF object of the loader's, though the value's type is its own.
        let Some(btf) = self.btf else {
            return Err(problem("the kernel has no types of the object, see the warnings".into()));
        };
        let module = table.wrapper.module;
        let mut map_flags = flags(spec);
        if ops.by_link {
            map_flags |= map_flag::LINK;
        }
        if module.is_some() {
            map_flags |= map_flag::VTYPE_BTF_OBJ_FD;
        }
        let name = kernel_name(&map.name, false);
        let attr = MapCreate {
            map_type: spec.map_type,
            key_size: 4,
            value_size: table.size,
            max_entries: 1,
            map_flags,
            name: &name,
            btf: Some(btf),
            kernel_value_type_id: table.wrapper.id.0,
            kernel_value_btf: module.map(|module| module.fd.as_fd()),
            ..Default::default()
        };
        self.create_with_types(map, attr, None)
    }

    /// Gives an arena its address, which programs are verified with, and its variables their values.
    fn fill_arena(
        &self,
        map: &ImageMap,
        spec: &MapSpec,
        fd: BorrowedFd<'_>,
    ) -> Result<(), LoadError> {
        let sys = &**self.features.sys();
        let page = sys.page_size().map_err(|e| call_failed(map, "size", e))?;
        let at = self.variables_at(spec, spec.max_entries);
        let at = at.map_err(|e| call_failed(map, "size", e))?;
        let len = u64::from(page) * u64::from(spec.max_entries);
        if spec.arena_data.len() as u64 > len {
            let problem = format!(
                "its variables have {} bytes, and {} pages of {page} bytes are too few for them",
                spec.arena_data.len(),
                spec.max_entries
            );
            return Err(map_error(map, MapProblem::Definition(problem)));
        }
        sys.fill_memory(fd, spec.map_extra, len, at.into(), &spec.arena_data)
            .map_err(|e| call_failed(map, "map the memory of", e))
    }

    /// Where an arena of so many pages has its variables, in bytes.
    fn variables_at(&self, spec: &MapSpec, pages: u32) -> io::Result<u32> {
        if spec.arena_data.is_empty() || !self.features.get(Feature::FarOffsets) {
            return Ok(0);
        }
        let page = u64::from(self.features.sys().page_size()?);
        let len = (spec.arena_data.len() as u64).next_multiple_of(page.max(1));
        let at = (page * u64::from(pages)).saturating_sub(len);
        // Arenas have 4 GiB at most.
        u32::try_from(at).map_err(io::Error::other)
    }

    fn create(
        &mut self,
        map: &ImageMap,
        spec: &MapSpec,
        name: &str,
        inner_map: Option<BorrowedFd<'_>>,
    ) -> Result<OwnedFd, LoadError> {
        let ids = [spec.key_type, spec.value_type].map(|id| id.map(|id| self.upload.type_id(id)));
        let types = match ids {
            _ if !takes_types(spec.map_type) => None,
            [Some(Some(key)), Some(Some(value))] => Some((key, value)),
            // Bloom filters have no keys.
            [None, Some(Some(value))] if spec.key_size == 0 => Some((0, value)),
            _ => None,
        };
        let attr = MapCreate {
            map_type: spec.map_type,
            key_size: spec.key_size,
            value_size: spec.value_size,
            max_entries: self.max_entries(map, spec)?,
            map_flags: flags(spec),
            inner_map,
            numa_node: spec.numa_node.unwrap_or(0),
            name,
            map_extra: spec.map_extra,
            ifindex: self.ifindex,
            ..Default::default()
        };
        self.create_with_types(map, attr, types)
    }

    fn make_data(
        &mut self,
        map: &ImageMap,
        size: u32,
        bytes: Option<&[u8]>,
        datasec: Option<TypeId>,
        read_only: bool,
    ) -> Result<OwnedFd, LoadError> {
        if size == 0 {
            let problem = "the section is empty, and the kernel has no maps of nothing";
            return Err(map_error(map, MapProblem::Definition(problem.into())));
        }
        let needs = |feature| LoadError::Unsupported {
            what: format!("section `{}` of `{}`", map.name, map.label),
            feature,
        };
        if !self.features.get(Feature::GlobalData) {
            return Err(needs(Feature::GlobalData));
        }
        let freeze = read_only && self.features.get(Feature::MapFreeze);
        let mut map_flags = if freeze { map_flag::RDONLY_PROG } else { 0 };
        if datasec.is_some_and(|id| has_visible(self.types, id))
            && self.features.get(Feature::MmapableArray)
        {
            map_flags |= map_flag::MMAPABLE;
        }
        let name = data_name(&map.label, &map.name);
        let attr = MapCreate {
            map_type: map_type::ARRAY,
            key_size: 4,
            value_size: size,
            max_entries: 1,
            map_flags,
            name: &name,
            ifindex: self.ifindex,
            ..Default::default()
        };
        // Type 0 as the key is for arrays of one data section alone; where the sections were
        // sanitised away there is no type for the value.
        let types = datasec
            .filter(|_| self.features.get(Feature::BtfDatasec))
            .and_then(|id| self.upload.datasec_id(id, size))
            .map(|id| (0, id));
        let fd = self.create_with_types(map, attr, types)?;
        let sys = &**self.features.sys();
        if let Some(bytes) = bytes {
            if bytes.len() > size as usize {
                let problem = format!("{} bytes of contents in a section of {size}", bytes.len());
                return Err(map_error(map, MapProblem::Definition(problem)));
            }
            let mut value = bytes.to_vec();
            value.resize(size as usize, 0);
            sys.update(fd.as_fd(), &0u32.to_ne_bytes(), &value)
                .map_err(|e| call_failed(map, "fill", e))?;
        }
        if freeze {
            sys.freeze(fd.as_fd()).map_err(|e| call_failed(map, "freeze", e))?;
        }
        Ok(fd)
    }

    /// With type information first; without it when the kernel does not like that: what it takes
    /// depends on the map's type and on the kernel, and only few things need it.
    fn create_with_types(
        &mut self,
        map: &ImageMap,
        mut attr: MapCreate<'_>,
        types: Option<(u32, u32)>,
    ) -> Result<OwnedFd, LoadError> {
        if !self.features.get(Feature::Names) {
            attr.name = "";
        }
        let sys = &**self.features.sys();
        let plain = attr;
        let failed = |e: io::Error| match e.raw_os_error() {
            Some(libc::EPERM) => {
                let what = format!("make map `{}` of `{}`", map.name, map.label);
                let needed = privilege::for_map(attr.map_type);
                LoadError::Privilege(Privilege::find_out(sys, what, needed))
            }
            _ => {
                let mut problem = call_failed(map, "make", e);
                if let LoadError::Map { problem: MapProblem::Call { hint, source, .. }, .. } =
                    &mut problem
                {
                    *hint = hint_on(&plain, source);
                }
                problem
            }
        };
        let (Some((key, value)), Some(btf)) = (types, self.btf) else {
            return sys.create_map(&attr).map_err(failed);
        };
        let typed =
            MapCreate { btf: Some(btf), btf_key_type_id: key, btf_value_type_id: value, ..plain };
        let first = match sys.create_map(&typed) {
            Ok(fd) => return Ok(fd),
            Err(e) => e,
        };
        if matches!(
            first.raw_os_error(),
            Some(libc::EPERM | libc::ENOMEM | libc::EMFILE | libc::ENFILE)
        ) {
            return Err(failed(first));
        }
        match sys.create_map(&plain) {
            Ok(fd) => {
                self.warnings.push(format!(
                    "map `{}` of `{}` was made without type information, which the kernel refused: \
                     {first}",
                    map.name, map.label
                ));
                Ok(fd)
            }
            Err(e) => Err(failed(e)),
        }
    }

    /// Number of entries, where 0 stands for what the machine has.
    fn max_entries(&self, map: &ImageMap, spec: &MapSpec) -> Result<u32, LoadError> {
        let sys = &**self.features.sys();
        match spec.map_type {
            map_type::PERF_EVENT_ARRAY if spec.max_entries == 0 => {
                possible_cpus(sys).map_err(|e| call_failed(map, "size", e))
            }
            map_type::RINGBUF | map_type::USER_RINGBUF => {
                let page = sys.page_size().map_err(|e| call_failed(map, "size", e))?;
                ring_size(spec.max_entries, page).ok_or_else(|| {
                    let problem = format!(
                        "a ring buffer of {} bytes is more than the kernel can make",
                        spec.max_entries
                    );
                    map_error(map, MapProblem::Definition(problem))
                })
            }
            _ => Ok(spec.max_entries),
        }
    }
}

/// Puts programs into their slots. `program` gives the fd of an image.
pub(crate) fn fill_programs<'f>(
    sys: &dyn Sys,
    maps: &[ImageMap],
    made: &'f [Map],
    program: impl Fn(u32) -> Option<BorrowedFd<'f>>,
) -> Result<(), LoadError> {
    for (map, made) in maps.iter().zip(made) {
        let MapContent::Defined(spec) = &map.content else { continue };
        // The kernel takes a table of functions as a whole.
        if map.existing.is_some() || spec.map_type == map_type::STRUCT_OPS {
            continue;
        }
        for &(slot, value) in &spec.values {
            if let SlotRef::Image(image) = value {
                let fd = program(image)
                    .ok_or_else(|| slot_error(map, slot, format!("image {image} is not loaded")))?;
                set_slot(sys, map, made.fd.as_fd(), slot, fd)?;
            }
        }
    }
    Ok(())
}

fn set_slot(
    sys: &dyn Sys,
    map: &ImageMap,
    outer: BorrowedFd<'_>,
    slot: u32,
    value: BorrowedFd<'_>,
) -> Result<(), LoadError> {
    let value = value.as_raw_fd().to_ne_bytes();
    sys.update(outer, &slot.to_ne_bytes(), &value)
        .map_err(|e| slot_error(map, slot, format!("the kernel refused to set it: {e}")))
}

fn map_error(map: &ImageMap, problem: MapProblem) -> LoadError {
    LoadError::Map { map: map.name.clone(), label: map.label.clone(), problem }
}

fn call_failed(map: &ImageMap, step: &'static str, source: io::Error) -> LoadError {
    map_error(map, MapProblem::Call { step, source, hint: String::new() })
}

fn slot_error(map: &ImageMap, slot: u32, problem: String) -> LoadError {
    map_error(map, MapProblem::Slot { slot, problem })
}

fn flags(spec: &MapSpec) -> u32 {
    // `BPF_F_NUMA_NODE` is the author's to set; without it the kernel passes over the node.
    spec.map_flags
}

/// What an error number most likely means for this map.
fn hint_on(attr: &MapCreate<'_>, error: &io::Error) -> String {
    let kind = map_type_name(attr.map_type);
    match error.raw_os_error() {
        Some(libc::EINVAL) if attr.map_flags & map_flag::LINK != 0 => " (the kernel does not know \
             struct_ops with links, which came with Linux 6.4; put the table into a section \
             `.struct_ops`)"
            .into(),
        Some(libc::EINVAL) => format!(
            " ({kind}, key {} bytes, value {} bytes, {} entries, flags {:#x}: one of these is not \
             possible, or the kernel does not know this type of map)",
            attr.key_size, attr.value_size, attr.max_entries, attr.map_flags
        ),
        Some(libc::E2BIG | libc::ENOMEM) => {
            format!(" ({kind}, {} entries: too large)", attr.max_entries)
        }
        _ => String::new(),
    }
}

/// Is there a variable in this section that is meant to be found from outside? Where all are static, as
/// in `.rodata` of format strings, there is nothing to map into memory.
fn has_visible(types: &Btf, datasec: TypeId) -> bool {
    types.ty(datasec).section_vars().any(|var| types.ty(var.type_id).linkage() != Linkage::Static)
}

/// Does the kernel take type information with such a map? (Those whose `map_check_btf` always says
/// no, and those without keys.)
fn takes_types(kind: u32) -> bool {
    use map_type::{
        ARENA, ARRAY_OF_MAPS, CGROUP_ARRAY, CPUMAP, DEVMAP, DEVMAP_HASH, HASH_OF_MAPS,
        PERF_EVENT_ARRAY, QUEUE, RINGBUF, SOCKHASH, SOCKMAP, STACK, STACK_TRACE, USER_RINGBUF,
        XSKMAP,
    };
    !matches!(
        kind,
        ARENA
            | ARRAY_OF_MAPS
            | CGROUP_ARRAY
            | CPUMAP
            | DEVMAP
            | DEVMAP_HASH
            | HASH_OF_MAPS
            | PERF_EVENT_ARRAY
            | QUEUE
            | RINGBUF
            | SOCKHASH
            | SOCKMAP
            | STACK
            | STACK_TRACE
            | USER_RINGBUF
            | XSKMAP
    )
}

/// The next size that a ring buffer can have: a power of two and a multiple of a page.
fn ring_size(wanted: u32, page: u32) -> Option<u32> {
    wanted.max(page).checked_next_power_of_two()
}

/// Number of CPUs that there may be: each has its value in per-CPU maps.
pub fn possible_cpus(sys: &dyn Sys) -> io::Result<u32> {
    let list = sys.read(Path::new(POSSIBLE_CPUS))?;
    facts::parse_cpu_list(&String::from_utf8_lossy(&list))
        .ok_or_else(|| io::Error::other(format!("{POSSIBLE_CPUS} is no list of CPUs")))
}

/// `name` as the kernel takes it: 15 bytes, letters, digits and underscores (and dots, which came
/// with global data).
pub(crate) fn kernel_name(name: &str, dots: bool) -> String {
    let valid = |c: char| c.is_ascii_alphanumeric() || c == '_' || dots && c == '.';
    name.chars().take(OBJ_NAME_MAX).map(|c| if valid(c) { c } else { '_' }).collect()
}

/// Name of a data section's map: as much of the instance's label (of the file's name, if that is a
/// path) as fits, then the section.
fn data_name(label: &str, section: &str) -> String {
    let file = Path::new(label).file_stem().map_or(label.into(), |stem| stem.to_string_lossy());
    let section = kernel_name(section, true);
    let room = OBJ_NAME_MAX - section.len();
    let mut name: String = kernel_name(&file, false).chars().take(room).collect();
    name.push_str(&section);
    name
}

#[cfg(test)]
mod tests;
