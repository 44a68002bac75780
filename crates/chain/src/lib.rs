//! Chains: many XDP programs on one interface, linked into one and swapped in one step.
//!
//! A [`Chain`] is an ordinary XDP program: the linker generates a root that calls the members one after
//! the other (`bpfweld_link::chain_root`), links them behind it, and the kernel runs the result. A change
//! builds and verifies the whole new chain, then puts it in the place of the old one, provided that this
//! is what the interface still runs. Members that stay keep their maps.
//!
//! | module | what lives there |
//! |---|---|
//! | `host` | [`Chains`]: where state is kept, the lock; `clean` |
//! | `chain` | [`Chain`]: the programs on one interface; every change |
//! | `member` | [`NewMember`]: which program of which object, and how it is to run |
//! | `run_config`, `variables` | libxdp's metadata; global variables |
//! | `plan`, `apply` | what chains are to be, as a file; all interfaces or none |
//! | `build` | members → linked and loaded chain |
//! | `swap` | the one step that traffic sees |
//! | `state`, `recover` | what is remembered; which of it the kernel runs |
//! | `status` | what an interface runs; counters |
//! | `error` | [`ChainError`] |
//!
//! Values of global variables ([`NewMember::set`]) are numbers (decimal, or hexadecimal behind `0x`),
//! `true` and `false`, names of enumerators, strings for arrays of characters, `[a, b, …]` for other
//! arrays.

mod apply;
mod build;
mod chain;
mod error;
mod host;
mod member;
mod plan;
mod recover;
mod run_config;
mod state;
mod status;
mod swap;
mod variables;

pub use apply::Difference;
pub use bpfweld::kernel::netlink::{Interface, XdpMode};
pub use bpfweld::link::chain_root::Verdicts;
pub use chain::{Chain, Change, MemberInfo, Options};
pub use error::ChainError;
pub use host::{Chains, Dirs, enter_net_ns};
pub use member::{NewMember, Select, SharedMap};
pub use plan::{Plan, PlannedChain};
pub use run_config::{DEFAULT_PRIORITY, RunConfig};
pub use status::{KernelProgram, Status};
pub use swap::features;
