//! Chains: many XDP programs on one interface, linked into one and swapped in one step.
//!
//! A [`Chain`] is an ordinary XDP program: the linker generates a root that calls the members one after
//! the other (`bpfweld_link::chain_root`), links them behind it, and the kernel runs the result. A change
//! builds and verifies the whole new chain, then puts it in the place of the old one, provided that this
//! is what the interface still runs. Members that stay keep their maps.
//!
//! ```
//! use bpfweld::Kernel;
//! use bpfweld_chain::{Chain, ChainError, Chains, Dirs, NewMember, Options, Select, Verdicts, XdpMode};
//!
//! # #[path = "../tests/place/mod.rs"]
//! # mod place;
//! # fn main() -> Result<(), ChainError> {
//! # let Some(place) = place::Place::new() else { return Ok(()) }; // As root: for real, in a namespace.
//! # place.ip("link add eth0 type veth peer name eth1");
//! # std::env::set_current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/../../cases/chain")).unwrap();
//! let kernel = Kernel::new();
//! let dirs = Dirs::default(); // /run/bpfweld, /sys/fs/bpf/bpfweld
//! # let dirs = place.dirs();
//! let chains = Chains::new(&kernel, dirs)?; // of this network namespace
//! let mut chain = chains.open("eth0")?; // locked until it is dropped
//! for notice in chain.notices() {
//!     println!("{notice}"); // a change that was broken off, a chain that somebody took away
//! }
//!
//! let filter = NewMember::open("step.o", &Select::Program("step".into()))?
//!     .priority(10)
//!     .named("front")
//!     .set("verdict", "2")?; // a global variable
//! let count = NewMember::open("bare.o", &Select::First)?
//!     .goes_on(Verdicts::PASS.with(3)); // XDP_TX
//! let options = Options { mode: XdpMode::Native, counters: true, ..Options::default() };
//! match chain.load(&[filter, count], &options) {
//!     Ok(change) => assert_eq!((change.generation, change.added), (1, vec![1, 2])),
//!     // The interface runs what it ran before.
//!     Err(ChainError::Foreign { program, .. }) => println!("left alone: {program}"),
//!     Err(error) => return Err(error),
//! }
//! for (member, counters) in chain.counters()?.unwrap_or_default() {
//!     println!("{}: {counters:?}", member.name);
//! }
//! let names = |chain: &Chain<'_>| -> Vec<_> {
//!     chain.members().into_iter().map(|member| member.name).collect()
//! };
//! assert_eq!(names(&chain), ["front", "bare"]);
//! chain.unload_named("front", &options)?;
//! assert_eq!(names(&chain), ["bare"]);
//! chain.rollback(&options)?;
//! assert_eq!(names(&chain), ["front", "bare"]);
//! chain.unload_all(&options)?;
//! # Ok(())
//! # }
//! ```
//!
//! | module | what lives there |
//! |---|---|
//! | `host` | [`Chains`]: where state is kept, the lock; `clean` |
//! | `chain` | [`Chain`]: the programs on one interface; every change |
//! | `member` | [`NewMember`]: which program of which object, and how it is to run |
//! | `run_config`, `variables` | libxdp's metadata; global variables |
//! | `plan`, `apply`, `journal` | what chains are to be, as a file; all interfaces or none |
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
mod journal;
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
