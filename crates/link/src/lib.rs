//! Linking: objects and bindings in, [`ImageSet`] out. Makes no system call.
pub mod image;

pub use image::*;
