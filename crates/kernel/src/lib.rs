//! Loading linked images into the running kernel. The only crate that asks the kernel anything.
//!
//! | module | what lives there |
//! |---|---|
//! | [`sys`] | every system call, and all `unsafe` of the project |
//! | [`facts`] | numbers of the kernel's interface |
//! | [`features`] | what the kernel can do, found out by trying |
//! | [`loader`] | the pipeline: BTF, maps, programs |
//! | [`maps`] | maps: made, filled, frozen; their values |
//! | [`programs`] | programs: patched, loaded; the log of one that is refused |
//! | `arg_ctx` | tagged context arguments, for kernels that do not know the tag |
//! | `attach` | what a program attaches to |
//! | `target` | what the user says that a program attaches to |
//! | `upload` | the BTF as the kernel takes it |
//! | [`modules`] | the types of the kernel's modules |
//! | `running`, `kallsyms` | the running kernel's configuration, version, BTF and symbols |
//! | `wanted` | what a set wants of those, told beforehand |
//! | [`netlink`] | interfaces and their XDP programs |
//! | [`log`] | [`VerifierLog`] |
//! | `struct_ops` | tables of functions that the kernel calls |
//! | [`run`] | test runs on packets |
//! | [`pin`] | pinning, all or nothing |
//! | [`privilege`] | what EPERM means |
//! | [`error`] | [`LoadError`] |

mod arg_ctx;
mod attach;
pub mod error;
pub mod facts;
pub mod features;
mod jump_table;
mod kallsyms;
pub mod loader;
pub mod log;
mod map_options;
pub mod maps;
pub mod modules;
pub mod netlink;
pub mod pin;
mod poison;
pub mod privilege;
mod probes;
pub mod programs;
mod resize;
pub mod run;
mod running;
mod struct_ops;
pub mod sys;
mod target;
#[cfg(test)]
mod testing;
mod upload;
mod wanted;

pub use bpfweld_link::{RunOptions, Verdict, XdpContext};
pub use error::{LoadError, MapProblem, Rejected, SymbolProblem};
pub use features::{Feature, Features, Support};
pub use loader::{Device, LoadOptions, Loaded, Prepared, load_all};
pub use log::{ReportPlace, VerifierLog, VerifierReport};
pub use map_options::{MapChange, MapOption};
pub use maps::{Map, MapKind};
pub use pin::{Pin, PinError, PinKind};
pub use privilege::{Capability, Privilege};
pub use programs::Program;
pub use run::{Outcome, RunError, Runner};
pub use running::{KERNEL_BTF, KernelBtfError};
pub use sys::{RealSys, Sys};
pub use target::{AttachOption, AttachTarget};
