//! [`ChainError`]: why a chain could not be changed. Whatever it is, the interface runs what it ran before.

use std::borrow::Borrow;
use std::io;
use std::path::PathBuf;

use bpfweld::kernel::netlink::NetlinkError;
use bpfweld::link::chain_root::RootError;
use bpfweld::{KernelBtfError, LinkError, LoadError, ReadError};

/// Why a chain could not be read or changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ChainError {
    /// No interface of this name in the network namespace.
    #[error("there is no interface `{interface}` in this network namespace")]
    NoInterface {
        /// The name.
        interface: String,
    },
    /// The network namespace cannot be entered.
    #[error("cannot enter the network namespace `{name}`: {source}")]
    NetNs {
        /// What was asked for.
        name: String,
        /// The error number.
        source: io::Error,
    },
    /// Interfaces cannot be asked after.
    #[error("{interface}: {source}")]
    Netlink {
        /// The interface, or what was asked for.
        interface: String,
        /// What the kernel says.
        source: NetlinkError,
    },
    /// Somebody else's program is on the interface. It is left alone.
    #[error("{interface} runs an XDP program of somebody else: {program}")]
    Foreign {
        /// The interface.
        interface: String,
        /// The program: name, id, tag, mode.
        program: String,
    },
    /// A chain is on the interface, and what was remembered of it is gone.
    #[error(
        "{interface} runs a chain ({program}) whose state in {} is gone; `bpfweld xdp adopt {interface}` makes \
         it the first program of a new chain, `bpfweld xdp unload {interface} -a` takes it off",
        state.display()
    )]
    Orphan {
        /// The interface.
        interface: String,
        /// The program: name, id, tag.
        program: String,
        /// Where its state was.
        state: PathBuf,
    },
    /// A program that was loaded alone is on the interface.
    #[error(
        "{interface} runs one program by itself (`{program}`), outside a chain; unload it first"
    )]
    Alone {
        /// The interface.
        interface: String,
        /// Its name.
        program: String,
    },
    /// A program of somebody else's cannot be taken into a chain.
    #[error("{interface}: cannot adopt its program: {problem}")]
    Adopt {
        /// The interface.
        interface: String,
        /// What is in the way.
        problem: String,
    },
    /// An object file cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The objects do not link.
    #[error(transparent)]
    Link(#[from] LinkError),
    /// The kernel refuses the new chain.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// No root can be made of the programs.
    #[error(transparent)]
    Root(#[from] RootError),
    /// The kernel's types, which the objects' CO-RE records need, are not to be had.
    #[error("{object} has CO-RE records, which need the kernel's types: {source}")]
    KernelBtf {
        /// An object with such records.
        object: String,
        /// What is wrong.
        source: KernelBtfError,
    },
    /// The object has no such XDP program.
    #[error("{object} has no XDP program {wanted}; it has: {}", list(.there))]
    NoProgram {
        /// The object.
        object: String,
        /// `called x`, `in section x`, or nothing where any would do.
        wanted: String,
        /// Its XDP programs; of an object without any, its programs.
        there: Vec<String>,
    },
    /// The metadata of a program in `.xdp_run_config` cannot be used.
    #[error("{object}: the run configuration of `{program}` in .xdp_run_config: {problem}")]
    RunConfig {
        /// The object.
        object: String,
        /// The program.
        program: String,
        /// What is wrong.
        problem: String,
    },
    /// A variable cannot be set.
    #[error("{object}: cannot set `{variable}`: {problem}")]
    Variable {
        /// The object.
        object: String,
        /// The variable.
        variable: String,
        /// What is wrong.
        problem: String,
    },
    /// A map cannot be shared.
    #[error("{object}: cannot use {with} as map `{map}`: {problem}")]
    SharedMap {
        /// The object.
        object: String,
        /// The map.
        map: String,
        /// The other map.
        with: String,
        /// What is wrong.
        problem: String,
    },
    /// No such program in the chain.
    #[error("the chain on {interface} has no program {wanted}; it has: {}", list(.there))]
    NoMember {
        /// The interface.
        interface: String,
        /// `with id 3` or `called x`.
        wanted: String,
        /// Its programs.
        there: Vec<String>,
    },
    /// A program cannot be called so.
    #[error(
        "a program cannot be called {name:?} in a chain: names have neither spaces nor `:` nor `/` in them, and \
         are not empty"
    )]
    Name {
        /// The name.
        name: String,
    },
    /// A program of this name is in the chain.
    #[error(
        "the chain on {interface} has a program called `{name}` already; give the new one another name"
    )]
    NameTaken {
        /// The interface.
        interface: String,
        /// The name.
        name: String,
    },
    /// Nothing is loaded.
    #[error("no XDP program loaded on {interface}")]
    Nothing {
        /// The interface.
        interface: String,
    },
    /// No generation to go back to.
    #[error("{interface}: there is no previous generation of the chain to go back to")]
    NoPrevious {
        /// The interface.
        interface: String,
    },
    /// The chain runs in another mode than the one asked for.
    #[error(
        "the chain on {interface} runs in {has} mode; unload it before loading in {wanted} mode"
    )]
    Mode {
        /// The interface.
        interface: String,
        /// Its mode.
        has: &'static str,
        /// The mode asked for.
        wanted: &'static str,
    },
    /// What the card runs is one program.
    #[error("{interface}: in hw mode there can be one program only, not {count}")]
    Hardware {
        /// The interface.
        interface: String,
        /// How many there would be.
        count: usize,
    },
    /// Some programs are bound to the interface and some are not.
    #[error(
        "{interface}: `{bound}` is bound to the interface and `{other}` is not; in one chain all programs \
         are, or none"
    )]
    Mixed {
        /// The interface.
        interface: String,
        /// A program that is.
        bound: String,
        /// One that is not.
        other: String,
    },
    /// What is bound to an interface runs in its driver.
    #[error(
        "{interface}: `{program}` is bound to the interface, and such programs run in native mode only, not in skb mode"
    )]
    BoundMode {
        /// The interface.
        interface: String,
        /// The program.
        program: String,
    },
    /// The driver takes no programs that are loaded for it.
    #[error("{interface}: the driver takes no programs that are {what}: {problem}")]
    Device {
        /// The interface.
        interface: String,
        /// `bound to the interface`, or `for the card (hw mode)`.
        what: &'static str,
        /// What the kernel says.
        problem: String,
    },
    /// The new program would take multi-buffer packets away from an interface that has them.
    #[error(
        "{interface} has an MTU of {mtu}, whose packets take several buffers, and `{program}` does not \
         take those (its section is not `xdp.frags`): with it the whole chain would not"
    )]
    Frags {
        /// The interface.
        interface: String,
        /// Its MTU in bytes.
        mtu: u32,
        /// The program.
        program: String,
    },
    /// The kernel refuses to attach.
    #[error("cannot attach to {interface} in {mode} mode: {problem}")]
    Attach {
        /// The interface.
        interface: String,
        /// The mode.
        mode: &'static str,
        /// What the kernel says.
        problem: String,
        /// The driver has no such mode?
        unsupported: bool,
    },
    /// Others changed the interface's program at the same time, again and again.
    #[error(
        "{interface}: its XDP program was changed by somebody else {tries} times while the new chain was built"
    )]
    Race {
        /// The interface.
        interface: String,
        /// How often it was tried.
        tries: usize,
    },
    /// Somebody else holds the lock.
    #[error("{} is locked by another process; it did not let go in time", path.display())]
    Locked {
        /// The lock.
        path: PathBuf,
    },
    /// A file of the state cannot be read or written.
    #[error("cannot {step} {}: {source}", path.display())]
    File {
        /// What was tried.
        step: &'static str,
        /// On what.
        path: PathBuf,
        /// The error number.
        source: io::Error,
    },
    /// A file of the state says what it cannot mean.
    #[error("{}: {problem}; `bpfweld xdp clean` removes it", path.display())]
    State {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        problem: String,
    },
    /// A plan cannot be read.
    #[error("{}: {problem}", path.display())]
    Plan {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        problem: String,
    },
    /// The directory for pins is not on a BPF file system.
    #[error("{} is not on a BPF file system; mount one: mount -t bpf bpf /sys/fs/bpf", path.display())]
    NoBpfFs {
        /// The directory.
        path: PathBuf,
    },
    /// A call on a program, map or link failed.
    #[error("{interface}: cannot {step}: {source}")]
    Call {
        /// The interface.
        interface: String,
        /// What was tried.
        step: &'static str,
        /// The error number.
        source: io::Error,
    },
}

impl ChainError {
    /// The stable code, a section of `docs/errors.md`.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Read(error) => error.problem.code(),
            Self::Link(error) => error.code(),
            Self::Load(error) => error.code(),
            Self::KernelBtf { .. } => "E0226",
            Self::NoInterface { .. } | Self::NetNs { .. } | Self::Netlink { .. } => "E0701",
            Self::Foreign { .. }
            | Self::Orphan { .. }
            | Self::Alone { .. }
            | Self::Adopt { .. } => "E0702",
            Self::NoProgram { .. }
            | Self::NoMember { .. }
            | Self::Name { .. }
            | Self::NameTaken { .. }
            | Self::Nothing { .. }
            | Self::NoPrevious { .. } => "E0703",
            Self::RunConfig { .. } | Self::Variable { .. } | Self::SharedMap { .. } => "E0704",
            Self::Mode { .. }
            | Self::Hardware { .. }
            | Self::Frags { .. }
            | Self::Mixed { .. }
            | Self::BoundMode { .. }
            | Self::Root(_) => "E0705",
            Self::Attach { .. } | Self::Device { .. } => "E0706",
            Self::Race { .. } | Self::Locked { .. } => "E0707",
            Self::Plan { .. } => "E0709",
            Self::File { .. } | Self::State { .. } | Self::NoBpfFs { .. } | Self::Call { .. } => {
                "E0708"
            }
        }
    }
}

/// Names in a row, of which there may be none.
pub(crate) fn list<T: Borrow<str>>(names: &[T]) -> String {
    match names {
        [] => "none".into(),
        names => names.join(", "),
    }
}
