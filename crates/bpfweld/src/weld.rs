//! All phases in a row, for who has paths and names: [`Request`] says what, [`weld`] does it.

use std::path::PathBuf;
use std::sync::Arc;

use bpfweld_btf::Btf;
use bpfweld_kernel::{LoadError, LoadOptions, Loaded};
use bpfweld_link::core_reloc::Targets;
use bpfweld_link::{Entry, ImageSet, InstanceId, Link, LinkError, LinkOptions, Linked};
use bpfweld_object::{Object, ReadError};

use crate::{Kernel, KernelBtfError};

/// What to link.
#[derive(Debug, Clone, Default)]
pub struct Request {
    /// Label and path of each instance; the first is the root. A path that is there under several
    /// labels is read once.
    pub objects: Vec<(String, PathBuf)>,
    /// Which function stands behind which extern; what is not here resolves by name.
    pub bindings: Vec<Wire>,
    /// The root's entry program, where it has several.
    pub entry: Option<String>,
    /// All linked functions go in as static ones.
    pub static_functions: bool,
    /// Maps to be made or not, whatever their objects say ([`Link::set_autocreate`]).
    pub maps: Vec<Switch>,
    /// Entry programs to be loaded or not, whatever their sections say ([`Link::set_autoload`]).
    pub programs: Vec<Switch>,
    /// The kernel's BTF, where not the running kernel's is meant.
    pub kernel_btf: Option<Arc<Btf>>,
}

/// One binding; objects by their place in [`Request::objects`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wire {
    /// The instance with the extern.
    pub from: usize,
    /// The extern.
    pub name: String,
    /// The instance with the function.
    pub to: usize,
    /// The function; see [`Link::bind`] for what stands in for a missing one.
    pub function: Option<String>,
}

/// Something of an object that is switched on or off.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Switch {
    /// The instance, by its place in [`Request::objects`]; without one, all that have it.
    pub of: Option<usize>,
    /// Its name.
    pub name: String,
    /// On?
    pub on: bool,
}

/// Why a request failed, by phase.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// An object cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The objects do not link.
    #[error(transparent)]
    Link(#[from] LinkError),
    /// The kernel's BTF, which the objects' CO-RE records need, is not to be had.
    #[error("{object} has CO-RE records, which need the kernel's types: {source}")]
    KernelBtf {
        /// An object with such records.
        object: String,
        /// What is wrong.
        source: KernelBtfError,
    },
    /// The kernel refuses.
    #[error(transparent)]
    Load(#[from] LoadError),
}

impl Error {
    /// The stable code, a section of `docs/errors.md`.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Read(error) => error.problem.code(),
            Self::Link(error) => error.code(),
            Self::KernelBtf { .. } => "E0226",
            Self::Load(error) => error.code(),
        }
    }
}

/// The whole pipeline: objects in, a loaded program out.
pub fn weld(
    request: &Request,
    kernel: &Kernel,
    options: &LoadOptions,
) -> Result<(ImageSet, Loaded), Error> {
    // Every file is a well-formed BPF object; each use of one is an instance with a label.
    let link = request.open()?;
    // Every extern has a function of its type, a backend to ask, or is known to be missing.
    let linked = request.link(link, kernel)?;
    // The entry's functions are in one stream, its types and lines merged. No system call so far
    // but for the kernel's types, and those only for CO-RE.
    let images = linked.images(&[request.entry(&linked)?])?;
    // The maps exist, the verifier has taken every program.
    let loaded = kernel.load(&images, options)?;
    Ok((images, loaded))
}

impl Switch {
    /// `turn` says whether an instance has it.
    fn turn(
        &self,
        all: &[InstanceId],
        mut turn: impl FnMut(InstanceId) -> Result<(), LinkError>,
    ) -> Result<(), LinkError> {
        if let Some(of) = self.of {
            let id = all.get(of).copied().ok_or(LinkError::ForeignInstance(of as u32))?;
            return turn(id);
        }
        let mut first = Ok(());
        let mut turned = false;
        for &id in all {
            match turn(id) {
                Ok(()) => turned = true,
                Err(e) if first.is_ok() => first = Err(e),
                Err(_) => {}
            }
        }
        // What the root has is the likeliest to be meant.
        if turned { Ok(()) } else { first }
    }
}

impl Request {
    /// The root: the first object.
    pub const ROOT: InstanceId = InstanceId(0);

    /// Reads the objects and binds what the request binds.
    pub fn open(&self) -> Result<Link, Error> {
        let mut link = Link::new();
        let mut read: Vec<(&PathBuf, Arc<Object>)> = Vec::new();
        let mut ids = Vec::with_capacity(self.objects.len());
        for (label, path) in &self.objects {
            let object = match read.iter().find(|(p, _)| *p == path) {
                Some((_, object)) => object.clone(),
                None => {
                    let object = Arc::new(Object::open(path)?);
                    read.push((path, object.clone()));
                    object
                }
            };
            ids.push(link.add(label, object)?);
        }
        for wire in &self.bindings {
            let id = |at: usize| ids.get(at).copied().ok_or(LinkError::ForeignInstance(at as u32));
            link.bind(id(wire.from)?, &wire.name, id(wire.to)?, wire.function.as_deref())?;
        }
        for switch in &self.maps {
            switch.turn(&ids, |id| link.set_autocreate(id, &switch.name, switch.on))?;
        }
        for switch in &self.programs {
            switch.turn(&ids, |id| link.set_autoload(id, &switch.name, switch.on))?;
        }
        Ok(link)
    }

    /// Resolves the externs. Fetches the kernel's types if an object has CO-RE records.
    pub fn link(&self, link: Link, kernel: &Kernel) -> Result<Linked, Error> {
        let core_targets = match link.core_object() {
            None => None,
            Some(object) => Some(match &self.kernel_btf {
                Some(btf) => Arc::new(Targets::new(btf.clone(), Vec::new())),
                None => kernel
                    .core_targets()
                    .map_err(|source| Error::KernelBtf { object: object.to_owned(), source })?,
            }),
        };
        let static_functions = self.static_functions;
        Ok(link.link(&LinkOptions { static_functions, core_targets })?)
    }

    /// The entry program that runs.
    pub fn entry(&self, linked: &Linked) -> Result<Entry, LinkError> {
        linked.entry(Self::ROOT, self.entry.as_deref())
    }

    /// The entry programs to check or load: the one asked for, else all of the root.
    pub fn entries(&self, linked: &Linked) -> Result<Vec<Entry>, LinkError> {
        match &self.entry {
            Some(name) => Ok(vec![linked.entry(Self::ROOT, Some(name))?]),
            None => linked.entries(Self::ROOT),
        }
    }
}
