//! What is remembered of a chain between two commands, as JSON in the state directory:
//!
//! ```text
//! STATE/lock                       held by whoever looks or changes
//! STATE/NETNS-IFINDEX/current      the chain that runs
//! STATE/NETNS-IFINDEX/next.new     what is to become `next`; while it is there, there may be more that no state needs
//! STATE/NETNS-IFINDEX/next         the one that is about to; only while a change is going on
//! STATE/NETNS-IFINDEX/previous     the one before, for a rollback
//! STATE/NETNS-IFINDEX/older        the one before that; only while several interfaces change as one
//! STATE/NETNS-IFINDEX/objects/…    object files, by hash
//! PINS/NETNS-IFINDEX/link          the link, where the kernel has links
//! PINS/NETNS-IFINDEX/maps/ID/…     the maps of each program
//! ```
//!
//! A change writes `next`, with the id of the program that is already loaded, then swaps the program on
//! the interface, sweeps, then renames. So whoever finds a `next` can ask the kernel which of the two runs; and
//! whoever finds none, nor a `next.new`, has nothing to put straight.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bpfweld::kernel::Sys;
use bpfweld::kernel::netlink::XdpMode;
use bpfweld::link::chain_root::{COUNTER_SLOTS, MAX_MEMBERS, Verdicts};
use serde::{Deserialize, Serialize};

use crate::error::ChainError;

/// Version of the format.
const VERSION: u32 = 1;
/// Longest state file that is read: 255 programs take some 200 KiB.
const MAX_STATE: usize = 16 << 20;
/// Bytes that suffice for most programs in a state file.
const USUAL_ENTRY: usize = 400;
/// Most maps of a program: the kernel's limit.
const MAX_MAPS: usize = 64;

/// A chain as it is, was or is about to be.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct State {
    pub(crate) version: u32,
    /// `/proc/sys/kernel/random/boot_id`.
    pub(crate) boot: String,
    /// Device and inode of the network namespace.
    pub(crate) netns: (u64, u64),
    pub(crate) ifindex: u32,
    /// The interface's name at the time.
    pub(crate) interface: String,
    /// Rises with every change.
    pub(crate) generation: u64,
    /// The kernel's id of the program on the interface; 0 when the chain is about to go.
    pub(crate) program: u32,
    pub(crate) mode: Mode,
    /// One program by itself, without a root.
    pub(crate) alone: bool,
    /// Are verdicts counted?
    pub(crate) counters: bool,
    /// The id that the next new program gets.
    pub(crate) next_id: u32,
    /// Map file of the counters, once there is one.
    #[serde(default)]
    pub(crate) counters_pin: Option<String>,
    /// Does it need all that the generation before needed? Then that one need not be read to know.
    #[serde(default)]
    pub(crate) grows: bool,
    /// Has a probe shown that this kernel, since it was started, has [`Features::usual`]?
    ///
    /// [`Features::usual`]: bpfweld::kernel::Features::usual
    #[serde(default)]
    pub(crate) usual: bool,
    /// In the order in which they run.
    pub(crate) members: Vec<Arc<Entry>>,
}

/// Name of the pin of a program that replaces a function, and with a number of the links by which it does.
const REPLACEMENT: &str = "replacement";

/// One program of a chain.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Entry {
    /// Unlike that of any other program that was ever in the chain; rises with the order of loading.
    pub(crate) id: u32,
    pub(crate) name: String,
    /// Where its object was read from.
    pub(crate) path: String,
    /// Hash of the object, and name of its file below `objects`.
    pub(crate) object: String,
    /// Its function.
    pub(crate) program: String,
    pub(crate) tag: String,
    pub(crate) priority: u32,
    /// Bitmap of verdicts.
    pub(crate) goes_on: u32,
    /// Its slot in the map of counters.
    pub(crate) slot: u32,
    /// Variables that were set.
    #[serde(default, skip_serializing_if = "is_default")]
    pub(crate) sets: Vec<(String, String)>,
    /// Maps that it shares: name, and what with.
    #[serde(default, skip_serializing_if = "is_default")]
    pub(crate) shared: Vec<(String, String)>,
    /// Its maps: name, and name of the pin below `maps/ID`.
    pub(crate) maps: BTreeMap<String, String>,
    /// The kernel's ids of these, in their order: it finds a map by its id in a fraction of the time that a path takes.
    #[serde(default)]
    pub(crate) map_ids: Vec<u32>,
    /// Is it bound to the interface?
    #[serde(default, skip_serializing_if = "is_default")]
    pub(crate) dev_bound: bool,
    /// Of one without an object: the program that was taken in.
    #[serde(default, skip_serializing_if = "is_default")]
    pub(crate) adopted: Option<Adopted>,
}

/// Is it what a state says by not saying it?
fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// A program that was on the interface before the chain and is called by it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Adopted {
    /// The kernel's id of it.
    pub(crate) program: u32,
    /// Does it take multi-buffer packets?
    pub(crate) frags: bool,
    /// Was it loaded without saying what it is to be attached to? Kernels since 6.18, and older ones with
    /// mends, want all that a prog array holds, and who uses it, to have said the same. libxdp's dispatcher
    /// says nothing.
    #[serde(default)]
    pub(crate) untyped: bool,
    /// Does it replace a function (freplace)? Then the chain has a function for it to stand in for, and it
    /// is not called.
    #[serde(default)]
    pub(crate) replaces: bool,
}

impl Entry {
    pub(crate) fn verdicts(&self) -> Verdicts {
        Verdicts::from_bits(self.goes_on).unwrap_or_default()
    }

    /// Is its object, as it is linked, the same as another member's?
    pub(crate) fn has_object_of(&self, other: &Self) -> bool {
        let same = self.object == other.object && self.path == other.path;
        same && self.sets == other.sets && self.adopted.is_none() && other.adopted.is_none()
    }
}

/// [`XdpMode`] in words.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Mode {
    Unspecified,
    Skb,
    Native,
    Hw,
}

impl From<XdpMode> for Mode {
    fn from(mode: XdpMode) -> Self {
        match mode {
            XdpMode::Unspecified => Self::Unspecified,
            XdpMode::Skb => Self::Skb,
            XdpMode::Native => Self::Native,
            XdpMode::Hw => Self::Hw,
        }
    }
}

impl From<Mode> for XdpMode {
    fn from(mode: Mode) -> Self {
        match mode {
            Mode::Unspecified => Self::Unspecified,
            Mode::Skb => Self::Skb,
            Mode::Native => Self::Native,
            Mode::Hw => Self::Hw,
        }
    }
}

impl State {
    /// Of an interface on which nothing is loaded.
    pub(crate) fn empty(boot: &str, netns: (u64, u64), ifindex: u32, interface: &str) -> Self {
        Self {
            version: VERSION,
            boot: boot.to_owned(),
            netns,
            ifindex,
            interface: interface.to_owned(),
            generation: 0,
            program: 0,
            mode: Mode::Unspecified,
            alone: false,
            counters: false,
            next_id: 1,
            counters_pin: None,
            grows: false,
            usual: false,
            members: Vec::new(),
        }
    }

    /// Does it need all that another one needs, and is nothing to be swept when that goes?
    pub(crate) fn needs_all_of(&self, gone: &Self) -> bool {
        needs_all_of(std::iter::once(self), gone)
    }

    fn parse(bytes: &[u8]) -> Result<Self, String> {
        let text = std::str::from_utf8(bytes).map_err(|e| e.to_string())?;
        let state: Self = serde_json::from_str(text).map_err(|e| e.to_string())?;
        state.check()?;
        Ok(state)
    }

    /// Names become paths, so they have to be plain; numbers become indices, so they have to fit.
    fn check(&self) -> Result<(), String> {
        if self.version != VERSION {
            return Err(format!("version {}, this bpfweld knows {VERSION}", self.version));
        }
        if self.members.len() > MAX_MEMBERS {
            return Err(format!("{} programs", self.members.len()));
        }
        let mut ids = BTreeSet::new();
        for m in &self.members {
            let bad = |what: &str| Err(format!("program {} ({}): {what}", m.id, m.name));
            let hash = m.object.len() == 64 && m.object.bytes().all(|b| b.is_ascii_hexdigit());
            let without = m.adopted.is_some() && m.object.is_empty();
            if !(hash || without) {
                return bad("its object's name is no hash");
            }
            if !ids.insert(m.id) || m.id == 0 || m.id >= self.next_id {
                return bad("its id is used twice or out of range");
            }
            if m.slot >= COUNTER_SLOTS || Verdicts::from_bits(m.goes_on).is_none() {
                return bad("a number is out of range");
            }
            if m.map_ids.len() > m.maps.len() {
                return bad("it has more ids of maps than maps");
            }
            if m.maps.len() > MAX_MAPS || !m.maps.values().all(|pin| is_plain(pin)) {
                return bad("a map's pin has no plain name");
            }
        }
        match self.counters_pin.as_deref() {
            Some(pin) if !is_plain(pin) => Err("the counters' pin has no plain name".into()),
            _ => Ok(()),
        }
    }
}

/// A file name that stays in its directory and that a BPF file system takes.
fn is_plain(name: &str) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-');
    !name.is_empty() && name.len() <= 255 && name.bytes().all(plain)
}

/// Names for pins: a map's own with what no BPF file system takes replaced, each unlike the others.
pub(crate) fn pin_names<'n>(names: impl Iterator<Item = &'n str>) -> BTreeMap<String, String> {
    let mut taken = BTreeSet::new();
    let mut pins = BTreeMap::new();
    for name in names {
        let plain = |c: char| if c.is_ascii_alphanumeric() || c == '_' { c } else { '_' };
        let base: String = name.chars().map(plain).take(200).collect();
        let mut pin = format!("{base}{}", if base.is_empty() { "_" } else { "" });
        let mut n = 2;
        while !taken.insert(pin.clone()) {
            pin = format!("{base}-{n}");
            n += 1;
        }
        pins.insert(name.to_owned(), pin);
    }
    pins
}

/// The files of one interface.
#[derive(Clone, Debug)]
pub(crate) struct Files {
    pub(crate) state: PathBuf,
    pub(crate) pins: PathBuf,
}

/// Is everything that one generation needs needed by some of these, and nothing to be swept when it goes?
fn needs_all_of<'s>(states: impl Iterator<Item = &'s State> + Clone, gone: &State) -> bool {
    let members = || states.clone().flat_map(|s| &s.members);
    let needed = |old: &Arc<Entry>| members().any(|m| (m.id, &m.object) == (old.id, &old.object));
    let counters = gone.counters_pin.is_none() || states.clone().any(|s| s.counters_pin.is_some());
    // Links of those that replace functions go with the generation.
    let links = members().any(|m| m.adopted.is_some_and(|a| a.replaces));
    counters && !links && gone.members.iter().all(needed)
}

/// What each state file holds, if it is there.
#[derive(Debug, Default)]
pub(crate) struct Found {
    pub(crate) current: Option<State>,
    pub(crate) next: Option<State>,
    pub(crate) previous: Previous,
    pub(crate) older: Option<State>,
    /// The program on the interface, where it is a chain whose state is lost.
    pub(crate) orphan: Option<u32>,
}

/// The generation before the one that runs.
#[derive(Debug)]
pub(crate) enum Previous {
    /// As its file says; `None` without one.
    Read(Option<State>),
    /// Not read: all that it needs is needed by the one that runs ([`State::grows`]).
    Covered,
}

impl Default for Previous {
    fn default() -> Self {
        Self::Read(None)
    }
}

impl Previous {
    /// As far as it was read.
    pub(crate) fn known(&self) -> Option<&State> {
        match self {
            Self::Read(state) => state.as_ref(),
            Self::Covered => None,
        }
    }
}

impl Found {
    /// The states there are, but for one that is covered by another.
    pub(crate) fn all(&self) -> impl Iterator<Item = &State> + Clone {
        let found =
            [self.current.as_ref(), self.next.as_ref(), self.previous.known(), self.older.as_ref()];
        found.into_iter().flatten()
    }

    /// Is everything that a generation needed needed by those there are, and nothing to be swept when it goes?
    pub(crate) fn needs_all_of(&self, gone: &State) -> bool {
        needs_all_of(self.all(), gone)
    }
}

impl Files {
    pub(crate) fn current(&self) -> PathBuf {
        self.state.join("current")
    }

    pub(crate) fn next(&self) -> PathBuf {
        self.state.join("next")
    }

    /// `next` while it is being written.
    fn unfinished(&self) -> PathBuf {
        self.state.join("next.new")
    }

    pub(crate) fn previous(&self) -> PathBuf {
        self.state.join("previous")
    }

    pub(crate) fn older(&self) -> PathBuf {
        self.state.join("older")
    }

    fn objects(&self) -> PathBuf {
        self.state.join("objects")
    }

    pub(crate) fn object(&self, hash: &str) -> PathBuf {
        self.objects().join(hash)
    }

    pub(crate) fn link(&self) -> PathBuf {
        self.pins.join("link")
    }

    fn maps(&self) -> PathBuf {
        self.pins.join("maps")
    }

    /// Where an adopted program is pinned that replaces a function of the chain.
    pub(crate) fn replacement(&self, id: u32) -> PathBuf {
        self.maps_of(id).join(REPLACEMENT)
    }

    /// Where the link is pinned by which it does so in the chain of that program id.
    pub(crate) fn replacement_link(&self, id: u32, program: u32) -> PathBuf {
        self.maps_of(id).join(format!("{REPLACEMENT}-{program}"))
    }

    /// Directory of the maps of a program; those of the root are under id 0.
    pub(crate) fn maps_of(&self, id: u32) -> PathBuf {
        self.maps().join(id.to_string())
    }

    /// All state files, but for `previous` where `current` covers it.
    pub(crate) fn read(&self, sys: &dyn Sys) -> Result<Found, ChainError> {
        let current: Option<State> = read(sys, &self.current())?;
        let next = read(sys, &self.next())?;
        let previous = match &current {
            Some(current) if current.grows && next.is_none() => Previous::Covered,
            _ => Previous::Read(self.read_previous(sys)?),
        };
        Ok(Found { current, next, previous, older: read(sys, &self.older())?, orphan: None })
    }

    /// The generation before the one that runs.
    pub(crate) fn read_previous(&self, sys: &dyn Sys) -> Result<Option<State>, ChainError> {
        read(sys, &self.previous())
    }

    /// Writes what is to become `next` under another name: while that is there, there may be more that only
    /// the change needs.
    pub(crate) fn begin(&self, sys: &dyn Sys, state: &State) -> Result<(), ChainError> {
        let mut text = Vec::with_capacity(USUAL_ENTRY * (1 + state.members.len()));
        serde_json::to_writer(&mut text, state)
            .map_err(|e| ChainError::State { path: self.next(), problem: e.to_string() })?;
        text.push(b'\n');
        let work = self.unfinished();
        sys.write_file(&work, &text).map_err(file("write", &work))
    }

    /// What was begun becomes `next`, which so is whole or not there.
    pub(crate) fn ready(&self, sys: &dyn Sys) -> Result<(), ChainError> {
        let work = self.unfinished();
        sys.rename(&work, &self.next()).map_err(file("rename", &work))
    }

    /// Was a change begun and not made ready?
    pub(crate) fn is_begun(&self) -> bool {
        self.unfinished().exists()
    }

    /// `current` becomes `previous`.
    pub(crate) fn step_back(&self, sys: &dyn Sys) -> Result<(), ChainError> {
        rename_if_there(sys, &self.current(), &self.previous()).map(drop)
    }

    /// `next` becomes `current`: from then on, nothing needs to be put straight.
    pub(crate) fn step_up(&self, sys: &dyn Sys) -> Result<(), ChainError> {
        let next = self.next();
        sys.rename(&next, &self.current()).map_err(file("rename", &next))
    }

    /// Keeps `previous` as `older`.
    pub(crate) fn keep_previous(&self, sys: &dyn Sys) -> Result<(), ChainError> {
        rename_if_there(sys, &self.previous(), &self.older()).map(drop)
    }

    /// It `stands`, and `older` is no longer needed; or it was taken back, and `older` is `previous` again, if
    /// there `was` one.
    pub(crate) fn end_older(
        &self,
        sys: &dyn Sys,
        stands: bool,
        was: bool,
    ) -> Result<(), ChainError> {
        let (older, previous) = (self.older(), self.previous());
        let goes = match stands {
            true => older,
            // Without one, what is there now is the change that was taken back.
            false if !rename_if_there(sys, &older, &previous)? && !was => previous,
            false => return Ok(()),
        };
        sys.remove_file(&goes).map_err(file("remove", &goes))
    }

    /// Keeps an object file.
    pub(crate) fn store(&self, sys: &dyn Sys, hash: &str, bytes: &[u8]) -> Result<(), ChainError> {
        let path = self.object(hash);
        if path.exists() {
            return Ok(());
        }
        let work = self.objects().join("new");
        sys.write_file(&work, bytes).map_err(file("write", &work))?;
        sys.rename(&work, &path).map_err(file("rename", &work))
    }

    /// Makes the directories.
    pub(crate) fn make(&self, sys: &dyn Sys) -> Result<(), ChainError> {
        let (objects, maps) = (self.objects(), self.maps());
        sys.make_dir(&objects).map_err(file("make directory", &objects))?;
        sys.make_dir(&maps).map_err(file("make directory", &maps))
    }

    /// Removes what none of the states needs: what a change that was broken off has left, or what was
    /// only in a generation that is gone. Nothing but directories without a state: all of it.
    pub(crate) fn sweep(&self, sys: &dyn Sys, found: &Found) -> Result<(), ChainError> {
        let work = self.unfinished();
        if self.is_begun() {
            sys.remove_file(&work).map_err(file("remove", &work))?;
        }
        let members = || found.all().flat_map(|s| &s.members);
        let objects: BTreeSet<&str> = members().map(|m| m.object.as_str()).collect();
        for name in names(&self.objects())? {
            if !objects.contains(name.as_str()) {
                let path = self.object(&name);
                sys.remove_file(&path).map_err(file("remove", &path))?;
            }
        }
        let mut ids: BTreeSet<String> = members().map(|m| m.id.to_string()).collect();
        if found.all().any(|s| s.counters_pin.is_some()) {
            ids.insert("0".into());
        }
        for name in names(&self.maps())? {
            if !ids.contains(&name) {
                remove_dir(sys, &self.maps().join(&name))?;
            }
        }
        // Links into chains that do not run, and are not about to.
        let run: BTreeSet<u32> =
            [&found.current, &found.next].into_iter().flatten().map(|s| s.program).collect();
        for m in members().filter(|m| m.adopted.is_some_and(|a| a.replaces)) {
            let dir = self.maps_of(m.id);
            let links: BTreeSet<PathBuf> =
                run.iter().map(|program| self.replacement_link(m.id, *program)).collect();
            let keep = |path: &PathBuf| links.contains(path) || *path == self.replacement(m.id);
            for path in names(&dir)?.iter().map(|name| dir.join(name)).filter(|p| !keep(p)) {
                sys.remove_file(&path).map_err(file("remove", &path))?;
            }
        }
        if found.all().next().is_none() {
            // The link's pin is not touched here: what it holds may be attached.
            for dir in [self.maps(), self.pins.clone()] {
                match sys.remove_dir(&dir) {
                    Err(e) if e.kind() != io::ErrorKind::DirectoryNotEmpty => {
                        return Err(file("remove", &dir)(e));
                    }
                    _ => {}
                }
            }
            remove_dir(sys, &self.objects())?;
            remove_dir(sys, &self.state)?;
        }
        Ok(())
    }
}

/// Was there something to rename?
fn rename_if_there(sys: &dyn Sys, from: &Path, to: &Path) -> Result<bool, ChainError> {
    match sys.rename(from, to) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(false),
        other => other.map(|()| true).map_err(file("rename", from)),
    }
}

/// Removes a directory and the files in it.
fn remove_dir(sys: &dyn Sys, dir: &Path) -> Result<(), ChainError> {
    for name in names(dir)? {
        let path = dir.join(name);
        sys.remove_file(&path).map_err(file("remove", &path))?;
    }
    sys.remove_dir(dir).map_err(file("remove", dir))
}

/// Names in a directory; none when it is not there.
pub(crate) fn names(dir: &Path) -> Result<Vec<String>, ChainError> {
    let entries = match std::fs::read_dir(dir) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        other => other.map_err(file("read", dir))?,
    };
    let mut names = Vec::new();
    for entry in entries {
        names.push(entry.map_err(file("read", dir))?.file_name().to_string_lossy().into_owned());
    }
    names.sort();
    Ok(names)
}

fn read(sys: &dyn Sys, path: &Path) -> Result<Option<State>, ChainError> {
    let bytes = match sys.read(path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        other => other.map_err(file("read", path))?,
    };
    let parsed = match bytes.len() > MAX_STATE {
        true => Err(format!("{} bytes", bytes.len())),
        false => State::parse(&bytes),
    };
    parsed.map(Some).map_err(|problem| ChainError::State { path: path.into(), problem })
}

/// Turns an error number into an error on a file.
pub(crate) fn file<'p>(
    step: &'static str,
    path: &'p Path,
) -> impl Fn(io::Error) -> ChainError + 'p {
    move |source| ChainError::File { step, path: path.into(), source }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn state() -> State {
        let entry = Entry {
            id: 1,
            name: "filter".into(),
            path: "filter.o".into(),
            object: "0".repeat(64),
            program: "xdp_filter".into(),
            tag: "0123".into(),
            priority: 50,
            goes_on: 4,
            slot: 0,
            sets: vec![("port".into(), "80".into())],
            shared: Vec::new(),
            maps: pin_names([".bss", "_bss", "seen"].into_iter()),
            map_ids: vec![7, 9, 8],
            dev_bound: false,
            adopted: None,
        };
        let empty = State::empty("boot", (4, 4026531840), 2, "eth0");
        State { next_id: 2, members: vec![Arc::new(entry)], ..empty }
    }

    #[test]
    fn written_and_read() {
        let dir = tempfile::tempdir().unwrap();
        let files = Files { state: dir.path().into(), pins: dir.path().join("pins") };
        let sys = &bpfweld::kernel::RealSys as &dyn Sys;
        let write = |state: &State| {
            files.begin(sys, state).unwrap();
            files.ready(sys).unwrap();
            files.step_back(sys).unwrap();
            files.step_up(sys).unwrap();
        };
        write(&state());
        write(&State { generation: 2, ..state() });
        let found = files.read(sys).unwrap();
        assert_eq!((found.previous.known(), found.next), (Some(&state()), None));
        assert_eq!(found.current.unwrap().generation, 2);
        write(&State { grows: true, ..state() });
        let found = files.read(sys).unwrap();
        assert!(found.current.is_some() && found.previous.known().is_none());
        assert_eq!(files.read_previous(sys).unwrap().unwrap().generation, 2);
    }

    #[test]
    fn names_of_pins_are_plain_and_apart() {
        let pins = pin_names([".bss", "_bss", "a/b", ""].into_iter());
        let mut values: Vec<_> = pins.values().map(String::as_str).collect();
        assert!(values.iter().all(|v| is_plain(v)));
        values.sort_unstable();
        assert_eq!(values, ["_", "_bss", "_bss-2", "a_b"]);
    }

    #[test]
    fn what_cannot_be_is_refused() {
        let refused = |change: fn(&mut State, &mut Entry)| {
            let mut state = state();
            let mut entry = Entry::clone(&state.members[0]);
            change(&mut state, &mut entry);
            state.members = vec![Arc::new(entry)];
            State::parse(&serde_json::to_vec(&state).unwrap()).unwrap_err()
        };
        assert!(refused(|s, _| s.version = 2).contains("version"));
        assert!(refused(|_, m| m.object = "../../etc/passwd".into()).contains("hash"));
        assert!(refused(|_, m| m.slot = 256).contains("range"));
        assert!(refused(|_, m| m.goes_on = 1 << 5).contains("range"));
        assert!(refused(|_, m| m.id = 2).contains("id"));
        assert!(refused(|s, _| s.counters_pin = Some("../x".into())).contains("plain"));
        let slash = |_: &mut State, m: &mut Entry| {
            m.maps.insert("m".into(), "../../x".into());
        };
        assert!(refused(slash).contains("plain"));
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(at in 0usize..2000, with in any::<u8>()) {
            let mut text = serde_json::to_vec_pretty(&state()).unwrap();
            let len = text.len();
            text[at % len] = with;
            if let Ok(state) = State::parse(&text) {
                prop_assert!(state.members.iter().all(|m| m.maps.values().all(|p| is_plain(p))));
            }
        }
    }
}
