//! Loading linked images into the running kernel. The only crate that asks the kernel anything.
//!
//! | module | what lives there |
//! |---|---|
//! | [`sys`] | every system call, and all `unsafe` of the project |
//! | [`facts`] | numbers of the kernel's interface |
//! | [`features`] | what the kernel can do, found out by trying |

pub mod facts;
pub mod features;
mod probes;
pub mod sys;
#[cfg(test)]
mod testing;

pub use features::{Feature, Features, Support};
pub use sys::{RealSys, Sys};
