//! Tracing: which functions of an image ran, what they returned, what they did to the packet.
//!
//! | module | what lives there |
//! |---|---|
//! | [`plan`] | [`TracePlan`]: what is watched in each function of a set |
//! | `instrument` | [`instrument`]: a copy of the set whose code tells what happens to it |
//! | `code` | the instructions that do so |
//! | `rewrite` | inserting instructions into a function |
//! | [`event`] | [`Event`]s, and how they lie in the trace map |
//! | [`story`] | events → [`Visit`]s: a tree of calls with what changed in each |
//!
//! A backend that can watch itself run (the engine) follows the plan and makes the events as it goes.
//! One that cannot (the kernel) is given the copy: its functions write the same events into a map of
//! their own. Either way the events are the same, so one [`story`] serves both.
//!
//! The packet is looked at where a function that has the context begins and ends. What happened between
//! two looks is put down to the innermost such function that was running.

mod code;
pub mod event;
mod instrument;
pub mod plan;
mod rewrite;
pub mod story;

pub use event::{Event, Events, Recorder, SNAPSHOT, Snapshot};
pub use instrument::{TRACE_MAP, TraceError, instrument};
pub use plan::{Detail, RedirectSite, TracePlan, TracedFunction, TracedImage, ValueKind};
pub use story::{ByteChange, Change, Happening, Redirected, Story, Visit};
