//! Linking: objects and bindings in, [`ImageSet`] out. Makes no system call, asks no kernel.
//!
//! | module | what lives there |
//! |---|---|
//! | [`resolve`] | [`Link`]: instances and bindings; [`Linked`]: what stands behind each extern |
//! | `plan` | which functions an entry program needs; cycles, limits |
//! | `liveness` | is an extern's address only compared with 0? |
//! | `program` | program type, flags and licence of an image |
//! | `tail_calls` | which functions may tail-call |
//! | `stack` | does a call path outgrow the kernel's stack? |
//! | `types` | the merged BTF; global or static |
//! | `maps` | the maps of all instances; kconfig externs get their places |
//! | [`core_reloc`] | CO-RE relocations |
//! | [`lay_out`] | [`Linked::images`]: the pipeline; instructions patched, lines merged |
//! | [`fuse`] | calls replaced by the code that they call |
//! | [`graph`] | [`Graph`](graph::Graph): what calls what, for drawing |
//! | [`image`] | [`ImageSet`]: what backends take |
//! | [`kconfig`] | values of kconfig externs, for backends |
//! | [`trace`] | a copy of the images that tells what it does; what that means |
//! | `share` | maps of two instances made one |
//! | `run` | [`RunOptions`]: how to run a program on packets, in any backend |
//! | `verdict` | [`Verdict`]: what a program returned, in any backend |
//! | [`chain_root`] | the root of a chain of XDP programs, made without a compiler |
//! | [`read_back`] | checks what was made |
//! | [`error`] | [`LinkError`] |

pub mod chain_root;
pub mod core_reloc;
pub mod error;
pub mod fuse;
pub mod graph;
pub mod image;
pub mod kconfig;
pub mod lay_out;
mod liveness;
mod maps;
mod plan;
mod program;
pub mod read_back;
pub mod resolve;
mod run;
mod share;
mod stack;
mod tail_calls;
pub mod trace;
mod types;
mod verdict;

pub use error::{FunctionRef, LinkError, Site, SourceLine, UnresolvedExtern};
pub use image::*;
pub use resolve::{Entry, ExistingMaps, Instance, Link, LinkOptions, Linked};
pub use run::{RunOptions, XdpContext};
pub use verdict::{Verdict, XDP_VERDICTS};
