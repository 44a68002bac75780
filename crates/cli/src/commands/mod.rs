//! One module a command. A new command is a variant of [`crate::args::Command`] and a module here.

pub(crate) mod manual;
