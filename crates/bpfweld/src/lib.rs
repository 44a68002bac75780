//! bpfweld links BPF programs at load time: a call of a function of *another* object file, resolved
//! by an explicit mapping, type-checked through BTF, copied, relocated, and handed to the kernel as
//! one ordinary program.
//!
//! Each phase is a type and takes only the one before it:
//!
//! | phase | type | what holds |
//! |---|---|---|
//! | read | [`Object`] | the file is well-formed; the same on every machine |
//! | bind | [`Link`] | instances have labels of their own; bindings name what exists |
//! | link | [`Linked`] | externs are resolved, bindings agree in type |
//! | lay out | [`ImageSet`] | instructions are final but for maps and kernel addresses |
//! | load | [`Loaded`] | the kernel's verifier took every program |
//!
//! What is not linked cannot be loaded:
//!
//! ```compile_fail,E0308
//! # use bpfweld::{Kernel, LoadOptions, Object};
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let object = Object::open("root.o")?;
//! let loaded = Kernel::new().load(object, &LoadOptions::default())?;
//! # Ok(())
//! # }
//! ```
//!
//! [`weld`] runs all phases at once. A program that is loaded can be the target of a later link: its
//! maps are shared, see [`add_loaded`].

#[doc = include_str!("../../../README.md")]
#[cfg(doctest)]
struct Readme;

mod backend;
mod fused;
mod kernel_side;
mod tracing;
mod weld;

pub use bpfweld_btf as btf;
pub use bpfweld_engine as engine;
pub use bpfweld_insn as insn;
pub use bpfweld_kernel as kernel;
pub use bpfweld_link as link;
pub use bpfweld_object as object;
pub use bpfweld_static_link as static_link;

pub use bpfweld_kernel::{
    Feature, Features, KernelBtfError, LoadError, LoadOptions, Loaded, Prepared,
};
pub use bpfweld_link::{
    Entry, Image, ImageSet, InstanceId, Link, LinkError, LinkOptions, Linked, core_reloc::Targets,
};
pub use bpfweld_object::{Object, ReadError};

pub use backend::{Backend, BackendChoice, BackendError, MapRef, Outcome, RunError, Runner};
pub use fused::Fused;
pub use kernel_side::{Kernel, add_loaded, kernel_btf};
pub use tracing::Traced;
pub use weld::{Error, Request, Switch, Wire, weld};
