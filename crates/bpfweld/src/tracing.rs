//! Runs that are watched: the engine watches itself, the kernel is given a copy of the set that tells.

use std::io;
use std::sync::Arc;

use bpfweld_engine as engine;
use bpfweld_kernel::{self as kernel, Feature};
use bpfweld_link::trace::{Detail, Events, Story, TracePlan, instrument};
use bpfweld_link::{ImageSet, MapIndex};
use bpfweld_object::ProgramType;

use crate::Kernel;
use crate::backend::{Backend, BackendChoice, BackendError};

/// A set that is loaded so that each run can be told afterwards.
#[derive(Debug)]
pub struct Traced {
    backend: Backend,
    plan: Arc<TracePlan>,
    /// Of the kernel: the map that the copy writes into.
    map: Option<MapIndex>,
    notes: Vec<String>,
}

impl Traced {
    /// Loads a set. What the kernel is given is a copy; that it takes the set itself is tried first, so
    /// an error is about the set. The second of the result is as in [`Backend::load`].
    ///
    /// Where the kernel refuses a copy that tells everything, one that tells less is tried, and
    /// [`notes`](Self::notes) say so.
    pub fn load(
        choice: BackendChoice,
        images: &ImageSet,
        kernel: &Kernel,
        options: &kernel::LoadOptions,
        engine_options: impl FnOnce() -> engine::EngineOptions,
    ) -> Result<(Self, Option<String>), BackendError> {
        let plan = Arc::new(TracePlan::new(images, Detail::Bytes));
        let with_plan = || engine::EngineOptions { trace: Some(plan.clone()), ..engine_options() };
        let (backend, reason) = Backend::load(choice, images, kernel, options, with_plan)?;
        let traced = match backend {
            Backend::Engine(_) => Self { backend, plan, map: None, notes: Vec::new() },
            // Gone before the copy comes: it is to have the same maps.
            Backend::Kernel(loaded) => {
                drop(loaded);
                Self::load_copy(images, kernel, options)?
            }
        };
        Ok((traced, reason))
    }

    fn load_copy(
        images: &ImageSet,
        kernel: &Kernel,
        options: &kernel::LoadOptions,
    ) -> Result<Self, BackendError> {
        let options = kernel::LoadOptions { log_level: 0, ..options.clone() };
        let mut notes = Vec::new();
        let mut detail = Detail::Bytes;
        let xdp = images.images.iter().any(|i| i.program.prog_type == ProgramType::XDP);
        if xdp && !kernel.features().get(Feature::XdpLoadBytes) {
            let what = "changed bytes of packets are not traced: the kernel has no helper that \
                        copies them (feature `xdp-load-bytes`)";
            notes.push(what.into());
            detail = Detail::Lengths;
        }
        loop {
            let mut plan = TracePlan::new(images, detail);
            let (copy, map) = instrument(images, &mut plan)?;
            let (what, less) = match (kernel.load(&copy, &options), detail) {
                (Ok(loaded), _) => {
                    let backend = Backend::Kernel(loaded);
                    let (plan, map) = (Arc::new(plan), Some(map));
                    return Ok(Self { backend, plan, map, notes });
                }
                (Err(error @ kernel::LoadError::Rejected(_)), Detail::Bytes) => {
                    (format!("changed bytes of packets are not traced: {error}"), Detail::Lengths)
                }
                (Err(error @ kernel::LoadError::Rejected(_)), Detail::Lengths) => {
                    (format!("lengths of packets are not traced: {error}"), Detail::Calls)
                }
                (Err(error), _) => return Err(BackendError::Untraceable(error)),
            };
            notes.push(what);
            detail = less;
        }
    }

    /// What runs.
    pub fn backend(&self) -> &Backend {
        &self.backend
    }

    /// What is watched.
    pub fn plan(&self) -> &TracePlan {
        &self.plan
    }

    /// What is not told that could be, and why.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// Tells the last run. To be called after each: events of runs that were not told pile up.
    pub fn story(&self) -> io::Result<Story> {
        let events = match (&self.backend, self.map) {
            (Backend::Engine(loaded), _) => loaded.take_trace(),
            (Backend::Kernel(loaded), Some(map)) => {
                let missing = || io::Error::from(io::ErrorKind::NotFound);
                let map = loaded.maps().get(map.index()).ok_or_else(missing)?;
                let value = map.data()?;
                // All of it: a map is written as a whole.
                map.update(&0u32.to_ne_bytes(), &vec![0; value.len()])?;
                Events::read(&value, |image, function| self.plan.has_packet(image, function))
            }
            (Backend::Kernel(_), None) => Events::default(),
        };
        Ok(Story::new(&events, &self.plan))
    }
}
