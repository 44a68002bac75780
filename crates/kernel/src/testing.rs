//! What the tests of this crate share.

use std::io::Write as _;

/// Says that a test could not run here, past the test runner, which hides what passing tests print.
pub(crate) fn skip(why: &str) {
    let thread = std::thread::current();
    let name = thread.name().unwrap_or("?");
    let _ = writeln!(std::io::stderr(), "SKIPPED {name}: {why}");
}
