//! One interface for what runs programs on packets: the kernel, or the engine in this process.

use bpfweld_engine as engine;
use bpfweld_kernel as kernel;
use bpfweld_link::fuse::{FuseOptions, Policy, fuse};
use bpfweld_link::{ImageSet, MapIndex, RunOptions, Verdict};

use crate::Kernel;

/// What is to run a set.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum BackendChoice {
    /// The kernel where this process is permitted to use it, else the engine.
    #[default]
    Auto,
    /// The running kernel.
    Kernel,
    /// The engine.
    Engine,
}

/// A set that is loaded, ready to run.
#[derive(Debug, Clone)]
pub enum Backend {
    /// By the kernel.
    Kernel(kernel::Loaded),
    /// By the engine.
    Engine(engine::Loaded),
}

/// Why no backend took a set.
#[derive(Debug, thiserror::Error)]
pub enum BackendError {
    /// The kernel refused.
    #[error(transparent)]
    Kernel(#[from] kernel::LoadError),
    /// The engine refused.
    #[error(transparent)]
    Engine(#[from] engine::LoadError),
    /// No copy that tells what it does can be made.
    #[error("cannot trace: {0}")]
    Trace(#[from] bpfweld_link::trace::TraceError),
    /// The kernel takes the set, but no copy that tells what it does.
    #[error("the kernel takes the program, but not with what tracing adds to it: {0}")]
    Untraceable(#[source] kernel::LoadError),
    /// Neither could: the process may not use the kernel, and the engine refused.
    #[error("{engine} ({kernel})")]
    Neither {
        /// What the kernel said.
        kernel: Box<kernel::LoadError>,
        /// What the engine said.
        engine: engine::LoadError,
    },
}

impl Backend {
    /// Loads a set. With [`BackendChoice::Auto`], the second of the result says why it is not the
    /// kernel. `engine_options` is asked only if the engine comes into it.
    pub fn load(
        choice: BackendChoice,
        images: &ImageSet,
        kernel: &Kernel,
        options: &kernel::LoadOptions,
        engine_options: impl FnOnce() -> engine::EngineOptions,
    ) -> Result<(Self, Option<String>), BackendError> {
        Self::load_fused(choice, images, Policy::Never, kernel, options, engine_options)
    }

    /// The same with calls fused as the policy says, see [`Kernel::load_fused`].
    pub fn load_fused(
        choice: BackendChoice,
        images: &ImageSet,
        policy: Policy,
        kernel: &Kernel,
        options: &kernel::LoadOptions,
        engine_options: impl FnOnce() -> engine::EngineOptions,
    ) -> Result<(Self, Option<String>), BackendError> {
        let refused = match choice {
            BackendChoice::Engine => None,
            _ => match kernel.load_fused(images, options, policy) {
                Ok(fused) => return Ok((Self::Kernel(fused.loaded), None)),
                Err(error) if choice == BackendChoice::Auto && out_of_reach(&error) => Some(error),
                Err(error) => return Err(error.into()),
            },
        };
        let how = FuseOptions { policy, long_jumps: true, ..FuseOptions::default() };
        let (fused, _) = fuse(images, &how);
        match (engine::Engine::load(&fused, &engine_options()), refused) {
            (Ok(loaded), refused) => Ok((Self::Engine(loaded), refused.map(|e| e.to_string()))),
            (Err(engine), Some(kernel)) => {
                Err(BackendError::Neither { kernel: Box::new(kernel), engine })
            }
            (Err(engine), None) => Err(engine.into()),
        }
    }

    /// `kernel` or `engine`.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Kernel(_) => "kernel",
            Self::Engine(_) => "engine",
        }
    }

    /// What was not as one might expect and did not stop the load.
    pub fn warnings(&self) -> &[String] {
        match self {
            Self::Kernel(loaded) => loaded.warnings(),
            Self::Engine(loaded) => loaded.warnings(),
        }
    }

    /// Prepares runs of the program that was asked for first; `None` when there is none.
    pub fn runner(&self) -> Option<Runner<'_>> {
        Some(match self {
            Self::Kernel(loaded) => Runner::Kernel(loaded.entries().first()?.runner()),
            Self::Engine(loaded) => Runner::Engine(loaded.entries().first()?.runner()),
        })
    }
}

/// A map of a loaded set, whichever backend has it.
#[derive(Debug, Clone, Copy)]
pub enum MapRef<'a> {
    /// In the kernel.
    Kernel(&'a kernel::Map),
    /// In the engine.
    Engine(&'a engine::Map),
}

impl MapRef<'_> {
    /// All keys; the error is the system's or the engine's word.
    pub fn keys(&self) -> Result<Vec<Vec<u8>>, String> {
        match self {
            Self::Kernel(map) => map.keys().map_err(|e| e.to_string()),
            Self::Engine(map) => map.keys().map_err(|e| e.to_string()),
        }
    }

    /// The value of a key, `None` when there is none; in per-CPU maps one for every CPU, each rounded
    /// up to 8 bytes.
    pub fn lookup(&self, key: &[u8]) -> Result<Option<Vec<u8>>, String> {
        match self {
            Self::Kernel(map) => map.lookup(key).map_err(|e| e.to_string()),
            Self::Engine(map) => map.lookup(key).map_err(|e| e.to_string()),
        }
    }
}

impl Backend {
    /// A map, by its place in [`ImageSet::maps`].
    pub fn map(&self, map: MapIndex) -> Option<MapRef<'_>> {
        Some(match self {
            Self::Kernel(loaded) => MapRef::Kernel(loaded.maps().get(map.index())?),
            Self::Engine(loaded) => MapRef::Engine(loaded.maps().get(map.index())?),
        })
    }

    /// Which map of the set a value of a map of maps stands for: the kernel gives ids.
    pub fn map_of_value(&self, value: u32) -> Option<MapIndex> {
        let at = match self {
            Self::Kernel(loaded) => loaded.maps().iter().position(|m| m.info().id == value)?,
            Self::Engine(loaded) => {
                usize::try_from(value).ok().filter(|&at| at < loaded.maps().len())?
            }
        };
        u32::try_from(at).ok().map(MapIndex)
    }

    /// Which image of the set a value of a prog array stands for.
    pub fn image_of_value(&self, value: u32) -> Option<usize> {
        match self {
            Self::Kernel(loaded) => {
                let is = |p: &kernel::Program| p.info().is_ok_and(|info| info.id == value);
                loaded.programs().iter().position(is)
            }
            Self::Engine(loaded) => {
                usize::try_from(value).ok().filter(|&at| at < loaded.programs().len())
            }
        }
    }
}

/// Is it this process or machine that cannot use the kernel, whatever the program?
fn out_of_reach(error: &kernel::LoadError) -> bool {
    match error {
        kernel::LoadError::Privilege(_) => true,
        kernel::LoadError::Unsupported { feature, .. } => *feature == kernel::Feature::Bpf,
        _ => false,
    }
}

/// Runs one program on packet after packet.
#[derive(Debug)]
pub enum Runner<'p> {
    /// In the kernel.
    Kernel(kernel::Runner<'p>),
    /// In the engine.
    Engine(engine::Runner<'p>),
}

/// Outcome of one packet, from either backend.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome<'a> {
    /// What the program returned (the last time).
    pub verdict: Verdict,
    /// Mean time of one run in nanoseconds.
    pub duration_ns: u32,
    /// The packet afterwards, metadata in front when a context was given.
    pub packet: &'a [u8],
    /// How many bytes of it are metadata.
    pub metadata: u32,
    /// Where it was to go; only the engine sees that.
    pub redirect: Option<engine::Redirect>,
    /// Why the program did not come to its end; only the engine has such.
    pub fault: Option<engine::Fault>,
}

/// Why one packet could not be run. The next one may.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// By the kernel.
    #[error(transparent)]
    Kernel(#[from] kernel::RunError),
    /// By the engine.
    #[error(transparent)]
    Engine(#[from] engine::RunError),
}

impl Runner<'_> {
    /// Runs the program on one packet (the raw frame).
    pub fn run(&mut self, packet: &[u8], options: &RunOptions) -> Result<Outcome<'_>, RunError> {
        match self {
            Self::Kernel(runner) => {
                let outcome = runner.run(packet, options)?;
                Ok(Outcome {
                    verdict: outcome.verdict,
                    duration_ns: outcome.duration_ns,
                    packet: outcome.packet,
                    metadata: outcome.metadata,
                    redirect: None,
                    fault: None,
                })
            }
            Self::Engine(runner) => {
                let outcome = runner.run(packet, options)?;
                Ok(Outcome {
                    verdict: outcome.verdict,
                    duration_ns: outcome.duration_ns,
                    packet: outcome.packet,
                    metadata: outcome.metadata,
                    redirect: outcome.redirect,
                    fault: outcome.fault,
                })
            }
        }
    }
}
