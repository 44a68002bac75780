//! One module a command. A new command is a variant of [`crate::args::Command`] and a module here.

pub(crate) mod check;
pub(crate) mod disasm;
pub(crate) mod explain;
pub(crate) mod features;
pub(crate) mod graph;
pub(crate) mod inspect;
pub(crate) mod link;
pub(crate) mod load;
pub(crate) mod manual;
pub(crate) mod run;
pub(crate) mod xdp;

use crate::error::Failure;

/// Runs a command. Its code lies by itself, not in one piece with that of all the others, of which a process runs none.
#[inline(never)]
pub(crate) fn apart(command: impl FnOnce() -> Result<(), Failure>) -> Result<(), Failure> {
    command()
}
