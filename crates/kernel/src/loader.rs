//! Loading an [`ImageSet`]: BTF, maps, then programs one by one.
//!
//! Between the steps:
//! * after [`Prepared::new`]: the kernel has the BTF (or a warning says why not), every map exists,
//!   data sections are filled and read-only ones frozen. No program can change that.
//! * after [`Prepared::load`]: one program is verified. Others are not affected, so a check of many
//!   programs goes on behind one that is refused.
//! * after [`Prepared::finish`]: prog arrays are filled. What was not finished leaves nothing behind:
//!   file descriptors close, pins that were made on the way are removed.

use std::collections::BTreeMap;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::PathBuf;
use std::sync::Arc;

use bpfweld_btf::Btf;
use bpfweld_link::kconfig::Config;
use bpfweld_link::{Image, ImageFunction, ImageSet, InstanceId, MapContent};

use crate::error::{LoadError, MapProblem};
use crate::features::{Feature, Features};
use crate::map_options::{self, MapOption};
use crate::maps::{Map, MapMaker, fill_programs};
use crate::privilege::{Capability, Privilege};
use crate::programs::{Program, ProgramLoader};
use crate::running::Running;
use crate::struct_ops::{KernelTable, Ready};
use crate::sys::{Log, Sys};
use crate::target::{self, AttachOption};
use crate::upload::Upload;
use crate::wanted::Wanted;

/// The device that programs are loaded for, by the index of its interface.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Device {
    /// They run in the host, on this interface only, and may ask its driver about packets
    /// (`BPF_F_XDP_DEV_BOUND_ONLY`). Programs of other types than XDP stay as they are.
    Bound(u32),
    /// They and their maps go into the card.
    Offload(u32),
}

/// How to load.
#[derive(Clone, Debug)]
pub struct LoadOptions {
    /// Level of the verifier's log: 0 for one on failure only, 1 or 2 for always, plus 4 for
    /// statistics.
    pub log_level: u32,
    /// Largest log in bytes; what is longer is cut.
    pub log_limit: usize,
    /// Configuration for kconfig externs; without one, the running kernel's.
    pub kconfig: Option<Config>,
    /// The kernel's BTF; without one, `/sys/kernel/btf/vmlinux`.
    pub kernel_btf: Option<Arc<Btf>>,
    /// Directory on a BPF file system where maps that ask to be pinned by name are shared; without
    /// one they are not pinned.
    pub pin_root: Option<PathBuf>,
    /// The same for the maps of single instances, by label.
    pub pin_roots: BTreeMap<String, PathBuf>,
    /// What is to be different about maps.
    pub maps: Vec<MapOption>,
    /// The device that the programs are for; without one, any.
    pub device: Option<Device>,
    /// What programs attach to, where not to what their sections' names say.
    pub targets: Vec<AttachOption>,
}

impl Default for LoadOptions {
    fn default() -> Self {
        Self {
            log_level: 0,
            log_limit: 64 << 20,
            kconfig: None,
            kernel_btf: None,
            pin_root: None,
            pin_roots: BTreeMap::new(),
            maps: Vec::new(),
            device: None,
            targets: Vec::new(),
        }
    }
}

/// A set whose BTF and maps the kernel has, and whose programs can be loaded.
pub struct Prepared<'a> {
    set: &'a ImageSet,
    features: Arc<Features>,
    options: &'a LoadOptions,
    running: Running,
    upload: Upload,
    btf: Option<OwnedFd>,
    maps: Vec<Map>,
    pins: Pins,
    warnings: Vec<String>,
}

impl std::fmt::Debug for Prepared<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Prepared").field("maps", &self.maps).finish_non_exhaustive()
    }
}

/// Loads all programs of a set.
pub fn load_all(
    set: &ImageSet,
    features: &Arc<Features>,
    options: &LoadOptions,
) -> Result<Loaded, LoadError> {
    let mut prepared = Prepared::new(set, features, options)?;
    let mut programs = Vec::with_capacity(set.images.len());
    for index in 0..set.images.len() {
        programs.push(prepared.load(index)?);
    }
    prepared.finish(programs)
}

impl<'a> Prepared<'a> {
    /// Loads the BTF and makes the maps.
    pub fn new(
        set: &'a ImageSet,
        features: &Arc<Features>,
        options: &'a LoadOptions,
    ) -> Result<Self, LoadError> {
        let sys = &**features.sys();
        ensure_bpf(features)?;
        features.prepare_memory();
        let mut warnings = Vec::new();
        let (upload, blob) = Upload::new(set, &options.maps, features);
        let btf = match upload.is_empty() {
            true => None,
            false => load_btf(sys, features, &blob, &mut warnings),
        };
        // It may be large, and programs are to come.
        drop(blob);
        let running = Running::new(features.kernel_types().clone(), Wanted::of(set));
        let mut pins = Pins::default();
        let mut maps = Vec::with_capacity(set.maps.len());
        map_options::check(&options.maps, set)?;
        target::check(&options.targets, set)?;
        for map in &set.maps {
            let map = &*map_options::apply(&options.maps, sys, map)?;
            let kconfig = match (&map.content, &map.existing) {
                (MapContent::Kconfig { size, vars, .. }, None) => {
                    let given = options.kconfig.as_ref();
                    let values = running.kconfig(features, given, &map.label, vars, *size)?;
                    let named = |w: &String| format!("{}: {w}", map.label);
                    warnings.extend(values.warnings.iter().map(named));
                    Some(values.bytes)
                }
                _ => None,
            };
            let mut maker = MapMaker {
                features,
                btf: btf.as_ref().map(AsFd::as_fd),
                types: &set.btf,
                upload: &upload,
                running: &running,
                kernel_btf: options.kernel_btf.as_deref(),
                pin_root: options
                    .pin_roots
                    .get(&map.label)
                    .or(options.pin_root.as_ref())
                    .map(PathBuf::as_path),
                ifindex: match options.device {
                    Some(Device::Offload(index)) => index,
                    _ => 0,
                },
                pins: &mut pins.0,
                warnings: &mut warnings,
            };
            let map = maker.make(map, &maps, kconfig)?;
            maps.push(map);
        }
        let features = features.clone();
        Ok(Self { set, features, options, running, upload, btf, maps, pins, warnings })
    }

    /// Loads (and so verifies) one program: the image of this index.
    pub fn load(&mut self, index: usize) -> Result<Program, LoadError> {
        let count = self.set.images.len();
        let image = self.set.images.get(index).ok_or(LoadError::NoImage { index, count })?;
        self.load_as(image)
    }

    /// Loads another form of one of the set's images: one that refers to the same maps and types.
    pub fn load_as(&mut self, image: &Image) -> Result<Program, LoadError> {
        let loader = ProgramLoader {
            features: &self.features,
            running: &self.running,
            kernel_btf: self.options.kernel_btf.as_deref(),
            targets: &self.options.targets,
            maps: &self.maps,
            btf: self.btf.as_ref().map(AsFd::as_fd),
            types: &self.set.btf,
            origin: &self.set.origin,
            upload: &self.upload,
            device: self.options.device,
            log_level: self.options.log_level,
            log_limit: self.options.log_limit,
        };
        let (fd, log, warnings) = loader.load(image)?;
        self.warnings.extend(warnings);
        let functions = image.functions.iter().filter(|_| self.btf.is_some());
        let of = |f: &ImageFunction| Some((f.name.clone(), self.upload.type_id(f.type_id)?));
        Ok(Program {
            functions: functions.filter_map(of).collect(),
            sys: self.features.sys().clone(),
            name: image.name.clone(),
            instance: image.instance.clone(),
            section: image.section.clone(),
            prog_type: image.program.prog_type,
            fd: Arc::new(fd),
            log,
        })
    }

    /// Fills the prog arrays. `programs` are those of all images, in order.
    pub fn finish(mut self, programs: Vec<Program>) -> Result<Loaded, LoadError> {
        let fd = |image: u32| programs.get(image as usize).map(|p| p.fd().as_fd());
        fill_programs(&**self.features.sys(), &self.set.maps, &self.maps, fd)?;
        let tables = self.tables(&programs)?;
        Ok(Loaded {
            tables,
            sys: self.features.sys().clone(),
            pins: self.pins.keep(),
            programs,
            entries: self.set.entries,
            maps: std::mem::take(&mut self.maps),
            warnings: std::mem::take(&mut self.warnings),
        })
    }

    /// The struct_ops tables as the kernel is to get them.
    fn tables(&self, programs: &[Program]) -> Result<Vec<Ready>, LoadError> {
        let sys = &**self.features.sys();
        let mut tables = Vec::new();
        for (map, made) in self.set.maps.iter().zip(&self.maps) {
            let MapContent::Defined(spec) = &map.content else { continue };
            let Some(ops) = spec.struct_ops.as_ref().filter(|_| map.existing.is_none()) else {
                continue;
            };
            let types = &*self.set.btf;
            let kernel_btf = self.options.kernel_btf.as_deref();
            let fd = |image: u32| programs.get(image as usize).map(|p| p.fd().as_raw_fd());
            let value = KernelTable::find(sys, &self.running, kernel_btf, types, spec)
                .and_then(|table| table.value(types, spec, ops, fd));
            let value = value.map_err(|problem| LoadError::Map {
                map: map.name.clone(),
                label: map.label.clone(),
                problem: MapProblem::Definition(problem),
            })?;
            tables.push(Ready::new(made.clone(), value, ops.by_link));
        }
        Ok(tables)
    }

    /// The maps.
    pub fn maps(&self) -> &[Map] {
        &self.maps
    }

    /// What was not as one might expect and did not stop the load.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// Adds to that.
    pub fn warn(&mut self, warning: String) {
        self.warnings.push(warning);
    }
}

/// A set that is loaded. Programs and maps live as long as this or another owner of their file
/// descriptors, or a pin.
#[derive(Clone)]
pub struct Loaded {
    pub(crate) sys: Arc<dyn Sys>,
    programs: Vec<Program>,
    entries: usize,
    maps: Vec<Map>,
    tables: Vec<Ready>,
    pins: Vec<PathBuf>,
    warnings: Vec<String>,
}

impl std::fmt::Debug for Loaded {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Loaded")
            .field("programs", &self.programs)
            .field("maps", &self.maps)
            .finish_non_exhaustive()
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

    /// Gives the struct_ops tables to the kernel, all of them or none: from then on it calls their
    /// programs. A table of a section `.struct_ops.link` is in use as long as this set or a pin holds
    /// its link ([`pin`](Self::pin) pins it), any other until [`unregister`](Self::unregister), also
    /// when this process has ended. How many there are.
    pub fn register(&mut self) -> Result<usize, LoadError> {
        for at in 0..self.tables.len() {
            let done = self.tables.get_mut(at).map_or(Ok(()), |t| t.register(&*self.sys));
            if let Err(error) = done {
                self.unregister();
                return Err(error);
            }
        }
        Ok(self.tables.len())
    }

    /// Takes the tables back that [`register`](Self::register) gave.
    pub fn unregister(&mut self) {
        for table in &mut self.tables {
            table.unregister(&*self.sys);
        }
    }

    /// The maps of tables that are in use without a link: without [`unregister`](Self::unregister) they stay
    /// so, whatever becomes of this process and of pins.
    pub fn lasting_tables(&self) -> impl Iterator<Item = &Map> {
        self.tables.iter().filter(|table| table.in_use).map(|table| &table.map)
    }

    /// The links of the tables that are in use by one, each with its map.
    pub(crate) fn table_links(&self) -> impl Iterator<Item = (&Map, &Arc<OwnedFd>)> {
        self.tables.iter().filter_map(|table| Some((&table.map, table.link.as_ref()?)))
    }

    /// The maps, in the order of [`ImageSet::maps`].
    pub fn maps(&self) -> &[Map] {
        &self.maps
    }

    /// The pins of maps that were made on the way, see [`LoadOptions::pin_root`].
    pub fn pins(&self) -> &[PathBuf] {
        &self.pins
    }

    /// What was not as one might expect and did not stop the load.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// The map of this name (a section name for data) of an instance.
    pub fn map(&self, instance: InstanceId, name: &str) -> Option<&Map> {
        self.maps.iter().find(|m| m.instance() == instance && m.name() == name)
    }

    /// Its file descriptor, for a later link that shares it.
    pub fn map_fd(&self, instance: InstanceId, name: &str) -> Option<Arc<OwnedFd>> {
        self.map(instance, name).map(|m| m.fd().clone())
    }
}

/// Pins of maps made during a load; removed unless the load comes to its end.
#[derive(Default)]
struct Pins(Vec<PathBuf>);

impl Pins {
    fn keep(&mut self) -> Vec<PathBuf> {
        std::mem::take(&mut self.0)
    }
}

impl Drop for Pins {
    fn drop(&mut self) {
        for path in &self.0 {
            // Nothing more can be done about one that cannot be removed.
            let _ = std::fs::remove_file(path);
        }
    }
}

/// The BTF's fd; `None`, with a warning, where the kernel refuses it: programs run without.
fn load_btf(
    sys: &dyn Sys,
    features: &Features,
    blob: &[u8],
    warnings: &mut Vec<String>,
) -> Option<OwnedFd> {
    if !features.get(Feature::Btf) {
        warnings.push("the kernel has no BTF: programs are loaded without types".into());
        return None;
    }
    let error = match sys.load_btf(blob, None) {
        Ok(fd) => return Some(fd),
        Err(e) => e,
    };
    let mut buf = vec![0; 64 << 10];
    let log = match sys.load_btf(blob, Some(Log { level: 1, buf: &mut buf })) {
        Ok(fd) => return Some(fd),
        Err(_) => crate::log::VerifierLog::from_buffer(&buf, false),
    };
    let reason = log.reason().map(|reason| format!(": {reason}")).unwrap_or_default();
    warnings.push(format!(
        "the kernel refused the BTF, programs are loaded without types: {error}{reason}"
    ));
    None
}

/// Is bpf(2) there, and this process permitted to use it? What the answer is for programs of a certain
/// type, only loading one tells.
pub fn ensure_bpf(features: &Features) -> Result<(), LoadError> {
    let sys = &**features.sys();
    match features.support(Feature::Bpf) {
        support if support.usable() => Ok(()),
        crate::features::Support::Denied => Err(LoadError::Privilege(Privilege::find_out(
            sys,
            "use bpf(2)".into(),
            &[Capability::Bpf],
        ))),
        _ => Err(LoadError::Unsupported { what: "loading".into(), feature: Feature::Bpf }),
    }
}
