//! What the tests of this crate share.

#![allow(clippy::print_stderr)] // A skipped test says so.

use std::sync::Arc;

use crate::features::{Feature, Features, Support};
use crate::sys::RealSys;

/// Says that a test could not run here.
pub(crate) fn skip(why: &str) {
    let name = std::thread::current().name().unwrap_or("?").to_owned();
    eprintln!("SKIPPED {name}: {why}");
}

/// The real kernel's features; `None`, with a message, where bpf(2) is not permitted.
pub(crate) fn real_kernel() -> Option<Features> {
    let features = Features::new(Arc::new(RealSys));
    match features.support(Feature::Bpf) {
        Support::Present => Some(features),
        support => {
            skip(&format!("needs bpf(2): {support:?}"));
            None
        }
    }
}
