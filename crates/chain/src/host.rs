//! [`Chains`]: the chains of a network namespace, and where their state is.

use std::fs;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bpfweld::Kernel;
use bpfweld::kernel::Sys;
use bpfweld::kernel::netlink::{self, Interface};

use crate::chain::{Chain, Options};
use crate::error::ChainError;
use crate::journal::{self, Rest};
use crate::state::{Files, State, file, names};

/// How long to wait for another process that changes a chain.
const LOCK_WAIT: Duration = Duration::from_secs(120);
/// `BPF_FS_MAGIC` (`linux/magic.h`).
const BPF_FS_MAGIC: u64 = 0xcafe_4a11;
/// Where `ip netns` keeps namespaces by name.
const NET_NS: &str = "/run/netns";

/// Where the state of chains is kept.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Dirs {
    /// Objects, order, options: on any file system, best one that a restart empties.
    pub state: PathBuf,
    /// Links and maps: on a BPF file system.
    pub pins: PathBuf,
}

impl Default for Dirs {
    fn default() -> Self {
        Self { state: "/run/bpfweld".into(), pins: "/sys/fs/bpf/bpfweld".into() }
    }
}

/// The chains of this process's network namespace.
pub struct Chains<'k> {
    pub(crate) kernel: &'k Kernel,
    dirs: Dirs,
    pub(crate) netns: (u64, u64),
    pub(crate) boot: String,
}

/// Goes over to another network namespace: a name that `ip netns` knows, or a path. Of this thread only,
/// and for [`Chains`] made afterwards.
pub fn enter_net_ns(kernel: &Kernel, name: &str) -> Result<(), ChainError> {
    let path = match name.contains('/') {
        true => PathBuf::from(name),
        false => Path::new(NET_NS).join(name),
    };
    let failed = |source| ChainError::NetNs { name: name.to_owned(), source };
    let file = fs::File::open(path).map_err(failed)?;
    let sys = &**kernel.features().sys();
    sys.enter_net_ns(file.as_fd()).map_err(failed)
}

impl<'k> Chains<'k> {
    /// Of the namespace that this thread is in.
    pub fn new(kernel: &'k Kernel, dirs: Dirs) -> Result<Self, ChainError> {
        let path = Path::new("/proc/thread-self/ns/net");
        let namespace = fs::metadata(path).map_err(file("look at", path))?;
        let path = Path::new("/proc/sys/kernel/random/boot_id");
        let boot = kernel.features().sys().read(path).map_err(file("read", path))?;
        Ok(Self {
            kernel,
            dirs,
            netns: (namespace.dev(), namespace.ino()),
            boot: String::from_utf8_lossy(&boot).trim().to_owned(),
        })
    }

    /// The chain on an interface, empty where nothing is loaded. Others wait until it is dropped. What a
    /// change that was broken off has left is put straight first.
    pub fn open(&self, interface: &str) -> Result<Chain<'_>, ChainError> {
        // Locked first: what the interface runs has to be that of the state.
        let mut chains = self.open_all(&[interface])?;
        chains.pop().ok_or_else(|| ChainError::NoInterface { interface: interface.into() })
    }

    /// The chains on several interfaces, opened at once.
    pub fn open_all(&self, interfaces: &[&str]) -> Result<Vec<Chain<'_>>, ChainError> {
        let (lock, told) = self.lock_settled()?;
        let open = |name: &&str| {
            let found = netlink::by_name(self.sys(), name).map_err(netlink_error(name))?;
            let found =
                found.ok_or_else(|| ChainError::NoInterface { interface: (*name).into() })?;
            Chain::open(self, found, lock.clone())
        };
        let mut chains: Vec<Chain<'_>> = interfaces.iter().map(open).collect::<Result<_, _>>()?;
        if let Some(first) = chains.first_mut() {
            first.notice(told);
        }
        Ok(chains)
    }

    /// The chains on all interfaces, by index; also those of interfaces with nothing on them.
    pub fn every(&self) -> Result<Vec<Chain<'_>>, ChainError> {
        let (lock, told) = self.lock_settled()?;
        let all = netlink::interfaces(self.sys()).map_err(netlink_error("interfaces"))?;
        let gone = self.left_over(&all)?;
        let open = |interface| Chain::open(self, interface, lock.clone());
        let mut chains: Vec<Chain<'_>> = all.into_iter().map(open).collect::<Result<_, _>>()?;
        if let Some(first) = chains.first_mut() {
            first.notice(told.into_iter().chain(gone).collect());
        }
        Ok(chains)
    }

    /// Removes what is left of chains whose interface or namespace is gone, or that somebody else took
    /// off. Says of each what it was. With a name: only of the interface that was called so.
    pub fn clean(&self, interface: Option<&str>) -> Result<Vec<String>, ChainError> {
        let (lock, mut cleaned) = self.lock_settled()?;
        for key in &self.keys()? {
            let files = self.files(key);
            let read = files.read(self.sys());
            let broken = match &read {
                Err(ChainError::State { path, problem }) => {
                    Some(format!("{}: {problem}; it is removed", path.display()))
                }
                _ => None,
            };
            let state = read.as_ref().ok().and_then(|found| found.all().next().cloned());
            let here = state.as_ref().is_some_and(|s| s.netns == self.netns && s.boot == self.boot);
            let index = match (&state, here) {
                (Some(state), true) => Some(state.ifindex),
                // Its state may be lost, and the chain still run.
                (None, _) if read.is_ok() || broken.is_some() => self.index_of(key),
                _ => None,
            };
            let name = state.as_ref().map(|s| s.interface.clone());
            let there = match index {
                Some(index) => {
                    let named = name.as_deref().unwrap_or(key);
                    netlink::by_index(self.sys(), index).map_err(netlink_error(named))?
                }
                None => None,
            };
            let name = name.or_else(|| there.as_ref().map(|there| there.name.clone()));
            if interface.is_some() && name.as_deref() != interface {
                continue;
            }
            if broken.is_some() {
                // Then it is as if it were lost.
                self.forget_states(&files)?;
                cleaned.extend(broken);
            }
            let gone = match there {
                // Opening puts it straight.
                Some(there) => {
                    let chain = Chain::open(self, there, lock.clone())?;
                    chain.notices().first().cloned()
                }
                None if self.runs(&files, state.as_ref()) => None,
                None => {
                    self.forget(&files)?;
                    let what = name.as_deref().unwrap_or("an interface that is not known");
                    Some(format!("{what}: interface, namespace or state is gone"))
                }
            };
            cleaned.extend(gone);
        }
        self.clean_journals()?;
        Ok(cleaned)
    }

    /// The directories of chains, of whatever namespace.
    fn keys(&self) -> Result<Vec<String>, ChainError> {
        let mut keys = names(&self.dirs.state)?;
        keys.extend(names(&self.dirs.pins)?);
        keys.retain(|key| is_key(key));
        keys.sort();
        keys.dedup();
        Ok(keys)
    }

    /// What is left of chains whose interface this namespace has no longer, in words.
    fn left_over(&self, interfaces: &[Interface]) -> Result<Vec<String>, ChainError> {
        let mut told = Vec::new();
        for key in self.keys()? {
            let index =
                self.index_of(&key).filter(|index| interfaces.iter().all(|i| i.index != *index));
            let Some(index) = index else { continue };
            let files = self.files(&key);
            let found = files.read(self.sys()).unwrap_or_default();
            let state = found.all().next();
            if !self.runs(&files, state) {
                let name = state.map_or("an interface", |s| &s.interface);
                told.push(format!(
                    "{name} (index {index}) is gone; `bpfweld xdp clean` removes what is left of its chain"
                ));
            }
        }
        Ok(told)
    }

    /// Removes the journals of namespaces of which no chain is left.
    fn clean_journals(&self) -> Result<(), ChainError> {
        let all = names(&self.dirs.state)?;
        for name in &all {
            let Some(namespace) = journal::namespace_of(name) else { continue };
            let of = |key: &String| key.split_once('-').is_some_and(|(ns, _)| ns == namespace);
            if !all.iter().any(|key| is_key(key) && of(key)) {
                let path = self.dirs.state.join(name);
                self.sys().remove_file(&path).map_err(file("remove", &path))?;
            }
        }
        Ok(())
    }

    /// Does the link that is pinned attach to an interface, of whatever namespace? Of chains without
    /// a link in another namespace nothing is known: they stay.
    fn runs(&self, files: &Files, state: Option<&State>) -> bool {
        let sys = self.sys();
        match sys.pinned(&files.link()) {
            Ok(link) => sys.link_info(link.as_fd()).is_ok_and(|info| info.ifindex != 0),
            Err(_) => {
                let elsewhere = state.filter(|s| s.netns != self.netns && s.boot == self.boot);
                // A program without an owner is gone with its namespace.
                elsewhere.is_some_and(|s| {
                    sys.fd_by_id(bpfweld::kernel::sys::ObjectKind::Prog, s.program).is_ok()
                })
            }
        }
    }

    /// Removes all files of a chain.
    pub(crate) fn forget(&self, files: &Files) -> Result<(), ChainError> {
        let (sys, link) = (self.sys(), files.link());
        sys.remove_file(&link).map_err(file("remove", &link))?;
        self.forget_states(files)?;
        files.sweep(sys, &crate::state::Found::default())?;
        self.forget_pins();
        Ok(())
    }

    /// Removes what is remembered of a chain.
    fn forget_states(&self, files: &Files) -> Result<(), ChainError> {
        // `next` last: while it is there, so is what it says about the rest.
        for path in [files.older(), files.previous(), files.current(), files.next()] {
            self.sys().remove_file(&path).map_err(file("remove", &path))?;
        }
        Ok(())
    }

    /// The directory for pins goes with the last chain; others may have theirs in it.
    pub(crate) fn forget_pins(&self) {
        if self.dirs.pins.exists() {
            let _ = self.sys().remove_dir(&self.dirs.pins);
        }
    }

    pub(crate) fn sys(&self) -> &'k dyn Sys {
        &**self.kernel.features().sys()
    }

    /// The interface's index in the name of a directory, if it is of this namespace.
    fn index_of(&self, key: &str) -> Option<u32> {
        let (namespace, index) = key.split_once('-')?;
        (namespace == self.netns.1.to_string()).then(|| index.parse().ok())?
    }

    /// The files of an interface of this namespace.
    pub(crate) fn files_of(&self, ifindex: u32) -> Files {
        self.files(&format!("{}-{ifindex}", self.netns.1))
    }

    fn files(&self, key: &str) -> Files {
        Files { state: self.dirs.state.join(key), pins: self.dirs.pins.join(key) }
    }

    /// The directory for pins is on a BPF file system, as far as it is there.
    pub(crate) fn check_pins(&self) -> Result<(), ChainError> {
        let mut at = self.dirs.pins.as_path();
        loop {
            match (self.sys().fs_magic(at), at.parent()) {
                (Ok(BPF_FS_MAGIC), _) => return Ok(()),
                (Ok(_), _) => return Err(ChainError::NoBpfFs { path: self.dirs.pins.clone() }),
                (Err(e), Some(parent)) if e.kind() == io::ErrorKind::NotFound => at = parent,
                (Err(e), _) => return Err(file("look at", at)(e)),
            }
        }
    }

    pub(crate) fn state_dir(&self) -> &Path {
        &self.dirs.state
    }

    /// The lock; with it, a change of several interfaces that was broken off is put straight.
    fn lock_settled(&self) -> Result<(Lock, Vec<String>), ChainError> {
        let lock = self.lock()?;
        let told = journal::settle(self, &lock, Rest::Make, &Options::default())?;
        Ok((lock, told))
    }

    fn lock(&self) -> Result<Lock, ChainError> {
        let (sys, dir) = (self.sys(), &self.dirs.state);
        let path = dir.join("lock");
        let mut locked = sys.lock_file(&path, LOCK_WAIT);
        if locked.as_ref().is_err_and(|e| e.kind() == io::ErrorKind::NotFound) {
            sys.make_dir(dir).map_err(file("make directory", dir))?;
            locked = sys.lock_file(&path, LOCK_WAIT);
        }
        match locked {
            Ok(fd) => Ok(Lock(std::rc::Rc::new(fd))),
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => Err(ChainError::Locked { path }),
            Err(e) => Err(file("lock", &path)(e)),
        }
    }
}

/// The right to look at chains and to change them.
#[derive(Clone, Debug)]
pub(crate) struct Lock(#[allow(dead_code)] std::rc::Rc<std::os::fd::OwnedFd>); // held, not read

/// `INODE-IFINDEX`?
fn is_key(name: &str) -> bool {
    let number = |s: &str| !s.is_empty() && s.bytes().all(|b| b.is_ascii_digit());
    name.split_once('-').is_some_and(|(ns, index)| number(ns) && number(index))
}

/// Turns the kernel's words into an error on an interface.
pub(crate) fn netlink_error(interface: &str) -> impl Fn(netlink::NetlinkError) -> ChainError + '_ {
    move |source| ChainError::Netlink { interface: interface.to_owned(), source }
}

/// A fresh look at an interface.
pub(crate) fn look(sys: &dyn Sys, interface: &Interface) -> Result<Interface, ChainError> {
    let found = netlink::by_index(sys, interface.index).map_err(netlink_error(&interface.name))?;
    found.ok_or_else(|| ChainError::NoInterface { interface: interface.name.clone() })
}
