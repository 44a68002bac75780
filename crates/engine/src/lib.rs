//! Runs an [`ImageSet`](bpfweld_link::ImageSet) on packets in user space: no kernel, no privilege.
//!
//! | module | what lives there |
//! |---|---|
//! | `loader` | [`Engine::load`]: maps made and filled, programs decoded |
//! | `decode`, `op` | instructions → the compact form that the loop runs |
//! | `vm` | the loop; calls, callbacks, tail calls, budgets; arithmetic and atomics |
//! | `memory` | regions, addresses; every access is checked here |
//! | `packet`, `context` | the packet with its head and tail room; `xdp_md`, `__sk_buff` |
//! | `maps` | map types with the kernel's semantics and error codes |
//! | `helpers` | helpers by the kernel's numbers |
//! | `run` | [`Runner`]: one packet after the other |
//!
//! There is no verifier. What it would prove is checked as the program runs instead: a bad access
//! ends the run with a [`Fault`] that names instruction, source line and reason. Makes no system
//! call but for the clock.

mod context;
mod decode;
mod error;
mod helpers;
mod loader;
mod maps;
mod memory;
mod op;
mod options;
mod packet;
mod run;
mod vm;

pub use bpfweld_link::{RunOptions, XdpContext};
pub use error::{Fault, FaultKind, LoadError, MapProblem, RunError, SourceLine};
pub use loader::{Engine, Loaded, Map, Program};
pub use maps::{MapError, errno};
pub use options::{Clock, EngineOptions, Neighbour, Route};
pub use run::{Event, MIN_PACKET, Outcome, Redirect, Runner};
