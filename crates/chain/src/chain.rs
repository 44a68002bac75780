//! [`Chain`]: the XDP programs on one interface, and how they are changed.

use std::collections::{BTreeMap, BTreeSet};
use std::os::fd::AsFd;
use std::sync::Arc;

use bpfweld::LoadOptions;
use bpfweld::kernel::netlink::{Interface, XdpMode};
use bpfweld::kernel::sys::ObjectKind;
use bpfweld::link::chain_root::{COUNTERS_MAP, Verdicts};
use bpfweld::link::fuse::Policy;

use crate::build::{Built, build};
use crate::error::ChainError;
use crate::host::{Chains, Lock, look};
use crate::member::{NewMember, Opened};
use crate::recover::recover;
use crate::state::{Entry, Files, Found, Previous, State, file, pin_names};
use crate::swap::{Attachment, Swapped};

use dispatcher::Replacement;

mod adopt;
mod device;
pub(crate) mod dispatcher;
mod orphan;
mod proposal;
mod sharing;

pub(crate) use proposal::{Proposal, Proposed};

/// How often a change is built again when somebody else was faster.
const TRIES: usize = 5;
/// Bytes of a packet, link-layer header included, that one page holds beside the headroom that XDP gives
/// a program (`XDP_PACKET_HEADROOM`) and what the kernel keeps behind it (`struct skb_shared_info`): what
/// drivers compare the MTU with.
const ONE_BUFFER: u32 = 4096 - 256 - 320;
/// Bytes of an Ethernet header with two VLAN tags.
const LINK_HEADER: u32 = 22;

/// How to change a chain.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Where the chain is to run. [`XdpMode::Unspecified`] leaves that to the kernel, or to the chain that
    /// is there.
    pub mode: XdpMode,
    /// Count verdicts from now on. A chain that counts goes on counting.
    pub counters: bool,
    /// Build and verify, and change nothing.
    pub dry_run: bool,
    /// Which members become part of the root instead of functions that it calls.
    pub fuse: Policy,
    /// How to load.
    pub load: LoadOptions,
}

/// A program of a chain, as it is told of.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct MemberInfo {
    /// Unlike that of any other program that was ever in this chain.
    pub id: u32,
    /// What the chain calls it.
    pub name: String,
    /// Its function.
    pub program: String,
    /// Where its object was read from.
    pub path: String,
    /// Programs with smaller ones run earlier.
    pub priority: u32,
    /// After which verdicts the chain goes on.
    pub goes_on: Verdicts,
    /// Start of a hash of its instructions.
    pub tag: String,
    /// Names of its maps and where each is pinned.
    pub maps: Vec<(String, std::path::PathBuf)>,
    /// Variables that were set.
    pub sets: Vec<(String, String)>,
    /// Is it bound to the interface?
    pub dev_bound: bool,
    /// Hash (SHA-256) of its object.
    pub object: String,
}

/// What a change did.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Change {
    /// The chain's generation now; 0 when it is gone.
    pub generation: u64,
    /// The kernel's id of the program on the interface; 0 when there is none.
    pub program: u32,
    /// The ids of the programs that came.
    pub added: Vec<u32>,
    /// What was not as one might expect and did not stop the change.
    pub warnings: Vec<String>,
}

/// The XDP programs on one interface. Others wait while this lives.
pub struct Chain<'h> {
    host: &'h Chains<'h>,
    interface: Interface,
    files: Files,
    found: Found,
    state: State,
    notices: Vec<String>,
    lock: Lock,
    /// Was the interface looked at just now?
    fresh: bool,
}

/// A change that is built and verified.
pub(crate) struct Prepared {
    pub(crate) state: State,
    built: Option<Built>,
    members: Vec<Proposed>,
    replacements: Vec<Replacement>,
    mode: XdpMode,
    /// The program of somebody else's in whose place it comes.
    takes_over: Option<u32>,
    pub(crate) warnings: Vec<String>,
}

impl<'h> Chain<'h> {
    pub(crate) fn open(
        host: &'h Chains<'h>,
        interface: Interface,
        lock: Lock,
    ) -> Result<Self, ChainError> {
        let files = host.files_of(interface.index);
        let (found, notices) = recover(host, &files, &interface)?;
        let state = current(host, &interface, &found);
        if state.usual {
            host.kernel.features().take_for_usual();
        }
        // Where something was put straight, it may run another program by now.
        let fresh = notices.is_empty();
        Ok(Self { host, interface, files, found, state, notices, lock, fresh })
    }

    /// The interface, as it was when the chain was opened or last changed.
    pub fn interface(&self) -> &Interface {
        &self.interface
    }

    /// What was found when the chain was opened and is worth telling: a change that was broken off, a chain
    /// that somebody took away, …
    pub fn notices(&self) -> &[String] {
        &self.notices
    }

    pub(crate) fn notice(&mut self, told: Vec<String>) {
        self.notices.splice(0..0, told);
    }

    pub(crate) fn lock(&self) -> &Lock {
        &self.lock
    }

    /// The programs, in the order in which they run.
    pub fn members(&self) -> Vec<MemberInfo> {
        self.state.members.iter().map(|m| self.info(m)).collect()
    }

    fn info(&self, m: &Entry) -> MemberInfo {
        let dir = self.files.maps_of(m.id);
        MemberInfo {
            id: m.id,
            name: m.name.clone(),
            program: m.program.clone(),
            path: m.path.clone(),
            priority: m.priority,
            goes_on: m.verdicts(),
            tag: m.tag.clone(),
            maps: m.maps.iter().map(|(name, pin)| (name.clone(), dir.join(pin))).collect(),
            sets: m.sets.clone(),
            dev_bound: m.dev_bound,
            object: m.object.clone(),
        }
    }

    /// Is it this chain that the interface runs? Not where nothing is loaded, or somebody else's program.
    pub fn is_ours(&self) -> bool {
        self.state.program != 0
    }

    /// Is it one program by itself, without a root?
    pub fn is_alone(&self) -> bool {
        self.state.alone
    }

    /// Its generation: rises with every change, 0 where nothing is loaded.
    pub fn generation(&self) -> u64 {
        self.state.generation
    }

    /// Are verdicts counted?
    pub fn counts(&self) -> bool {
        self.state.counters
    }

    pub(crate) fn state(&self) -> &State {
        &self.state
    }

    /// What there is to go back to stays, should the next change be taken back for the sake of others.
    pub(crate) fn keep_previous(&mut self) -> Result<(), ChainError> {
        let previous = self.previous()?;
        self.files.keep_previous(self.host.sys())?;
        self.found.older = previous.or(self.found.older.take());
        self.found.previous = Previous::default();
        Ok(())
    }

    /// Is there a generation before?
    pub(crate) fn has_previous(&self) -> bool {
        let there = match &self.found.previous {
            Previous::Read(state) => state.is_some(),
            Previous::Covered => self.files.previous().exists(),
        };
        there || self.found.older.is_some()
    }

    /// The generation before.
    fn previous(&self) -> Result<Option<State>, ChainError> {
        match &self.found.previous {
            Previous::Read(state) => Ok(state.clone()),
            Previous::Covered => self.files.read_previous(self.host.sys()),
        }
    }

    pub(crate) fn files(&self) -> &Files {
        &self.files
    }

    pub(crate) fn host(&self) -> &'h Chains<'h> {
        self.host
    }

    /// Adds programs, all of them or none.
    pub fn load(&mut self, new: &[NewMember], options: &Options) -> Result<Change, ChainError> {
        self.change(options, |chain| {
            chain.not_alone()?;
            let mut proposal = chain.unchanged(new)?;
            proposal.counters |= options.counters;
            for member in new {
                chain.add(&mut proposal, member)?;
            }
            Ok(proposal)
        })
    }

    /// Puts one program on the interface by itself, without a root: no other can join it. What
    /// `LIBXDP_SKIP_DISPATCHER=1` asks libxdp for.
    pub fn load_alone(&mut self, new: &NewMember, options: &Options) -> Result<Change, ChainError> {
        self.change(options, |chain| {
            if let Some(first) = chain.state.members.first() {
                let (interface, program) = (chain.interface.name.clone(), first.name.clone());
                return Err(ChainError::Alone { interface, program });
            }
            let mut proposal = chain.unchanged(&[])?;
            proposal.alone = true;
            chain.add(&mut proposal, new)?;
            Ok(proposal)
        })
    }

    /// Takes programs out by their ids, all of them or none.
    pub fn unload(&mut self, ids: &[u32], options: &Options) -> Result<Change, ChainError> {
        self.change(options, |chain| {
            let known: BTreeSet<u32> = chain.state.members.iter().map(|m| m.id).collect();
            // One that runs alone is known by the kernel's id of it as well.
            let alone = chain.state.alone.then_some(chain.state.program);
            if let Some(id) = ids.iter().find(|id| !known.contains(id) && Some(**id) != alone) {
                return Err(chain.no_member(format!("with id {id}")));
            }
            chain.without(ids)
        })
    }

    fn without(&self, ids: &[u32]) -> Result<Proposal, ChainError> {
        let mut proposal = self.unchanged(&[])?;
        let stays = |m: &Proposed| !ids.contains(&m.opened.entry.id) && !self.state.alone;
        proposal.members.retain(stays);
        Ok(proposal)
    }

    /// Takes a program out by its name.
    pub fn unload_named(&mut self, name: &str, options: &Options) -> Result<Change, ChainError> {
        self.change(options, |chain| chain.without(&[chain.named(name)?.id]))
    }

    /// Takes everything off the interface and forgets the chain.
    pub fn unload_all(&mut self, options: &Options) -> Result<Change, ChainError> {
        if let Some(change) = self.unload_orphan(options)? {
            return Ok(change);
        }
        self.change(options, |chain| match chain.state.program {
            0 => Err(ChainError::Nothing { interface: chain.interface.name.clone() }),
            _ => Ok(Proposal { members: Vec::new(), ..chain.empty_proposal() }),
        })
    }

    /// Puts a program in the place of another one: its name, its priority and its verdicts stay. Maps that
    /// both have, of one name and one shape, are carried over; global variables start anew.
    pub fn replace(
        &mut self,
        name: &str,
        new: &NewMember,
        options: &Options,
    ) -> Result<Change, ChainError> {
        self.change(options, |chain| {
            chain.not_alone()?;
            let old = chain.named(name)?.clone();
            let mut proposal = chain.unchanged(&[])?;
            proposal.members.retain(|m| m.opened.entry.id != old.id);
            let new = NewMember { name: Some(old.name.clone()), ..new.clone() };
            chain.add(&mut proposal, &new)?;
            if let Some(added) = proposal.members.last_mut() {
                let entry = Arc::make_mut(&mut added.opened.entry);
                entry.priority = old.priority;
                entry.goes_on = old.goes_on;
                entry.slot = old.slot;
                added.inherited = chain.inherited(&old, &added.opened.object);
            }
            Ok(proposal)
        })
    }

    /// Goes back to the generation before, which thereby becomes a new one.
    pub fn rollback(&mut self, options: &Options) -> Result<Change, ChainError> {
        self.change(options, |chain| {
            let none = || ChainError::NoPrevious { interface: chain.interface.name.clone() };
            let previous = chain.previous()?.ok_or_else(none)?;
            Ok(Proposal {
                members: chain.stored(&previous, &[])?,
                next_id: chain.state.next_id.max(previous.next_id),
                alone: previous.alone,
                counters: previous.counters,
            })
        })
    }

    fn named(&self, name: &str) -> Result<&Entry, ChainError> {
        let found = self.state.members.iter().find(|m| m.name == name);
        found.map(|m| &**m).ok_or_else(|| match self.state.program {
            0 => ChainError::Nothing { interface: self.interface.name.clone() },
            _ => self.no_member(format!("called `{name}`")),
        })
    }

    fn no_member(&self, wanted: String) -> ChainError {
        let interface = self.interface.name.clone();
        match self.state.program {
            0 => ChainError::Nothing { interface },
            _ => {
                let told = |m: &Arc<Entry>| format!("{} (id {})", m.name, m.id);
                let there = self.state.members.iter().map(told).collect();
                ChainError::NoMember { interface, wanted, there }
            }
        }
    }

    pub(crate) fn not_alone(&self) -> Result<(), ChainError> {
        if self.state.alone && XdpMode::from(self.state.mode) == XdpMode::Hw {
            return Err(ChainError::Hardware { interface: self.interface.name.clone(), count: 2 });
        }
        let program = self.state.members.first().map(|m| m.name.clone()).unwrap_or_default();
        match self.state.alone {
            true => Err(ChainError::Alone { interface: self.interface.name.clone(), program }),
            false => Ok(()),
        }
    }

    /// Builds on what is there, and again when somebody else was faster.
    fn change(
        &mut self,
        options: &Options,
        propose: impl Fn(&Self) -> Result<Proposal, ChainError>,
    ) -> Result<Change, ChainError> {
        for _ in 0..TRIES {
            self.not_foreign()?;
            let prepared = self.prepare(propose(self)?, options)?;
            if options.dry_run {
                return Ok(self.outcome(&prepared));
            }
            if let Some(change) = self.commit(prepared)? {
                return Ok(change);
            }
        }
        Err(ChainError::Race { interface: self.interface.name.clone(), tries: TRIES })
    }

    /// Nobody else's program is on the interface.
    pub(crate) fn not_foreign(&mut self) -> Result<(), ChainError> {
        self.refresh()?;
        self.is_own()
    }

    /// Nobody else's program was on the interface when it was looked at last.
    pub(crate) fn is_own(&self) -> Result<(), ChainError> {
        let (mode, id) = self.interface.program();
        if id == self.state.program {
            return Ok(());
        }
        let described = describe(self.host, id);
        if self.found.orphan == Some(id) {
            return Err(ChainError::Orphan {
                interface: self.interface.name.clone(),
                program: described,
                state: self.files.state.clone(),
            });
        }
        let program = format!("{described}, {} mode", mode.name());
        Err(ChainError::Foreign { interface: self.interface.name.clone(), program })
    }

    /// Looks again at what is there, but for the first time: whoever came in between makes the swap be lost. The
    /// state is as it was found, under the lock, as long as the interface runs the same.
    fn refresh(&mut self) -> Result<(), ChainError> {
        if std::mem::take(&mut self.fresh) {
            return Ok(());
        }
        let now = look(self.host.sys(), &self.interface)?;
        let before = std::mem::replace(&mut self.interface, now);
        let now = &self.interface;
        if before.program() == now.program() && before.name == now.name {
            return Ok(());
        }
        let (found, notices) = recover(self.host, &self.files, &self.interface)?;
        self.state = current(self.host, &self.interface, &found);
        self.found = found;
        self.notices.extend(notices);
        Ok(())
    }

    /// Builds and verifies. Nothing is pinned or written.
    pub(crate) fn prepare(
        &self,
        proposal: Proposal,
        options: &Options,
    ) -> Result<Prepared, ChainError> {
        let Proposal { mut members, next_id, alone, counters } = proposal;
        fn order(m: &Proposed) -> (u32, &str, u32) {
            let entry = &m.opened.entry;
            (entry.priority, &entry.name, entry.id)
        }
        members.sort_by(|a, b| order(a).cmp(&order(b)));
        let mode = self.mode(options.mode)?;
        // What goes into a card is one program, without a root.
        let alone = alone || mode == XdpMode::Hw;
        let mut state = State {
            generation: self.state.generation.saturating_add(1),
            interface: self.interface.name.clone(),
            program: 0,
            mode: mode.into(),
            alone,
            counters: counters && !alone,
            next_id,
            members: members.iter().map(|m| m.opened.entry.clone()).collect(),
            ..self.state.clone()
        };
        if members.is_empty() {
            return Ok(Prepared {
                state,
                built: None,
                members,
                replacements: Vec::new(),
                mode,
                takes_over: None,
                warnings: Vec::new(),
            });
        }
        self.host.check_pins()?;
        let device = self.device(&members, mode)?;
        let mut warnings = self.frags(&members, mode)?;
        warnings.extend(redirects(&members));
        let shared = self.shared_maps(&members)?;
        let pin_roots = members.iter().filter(|_| !options.dry_run).filter_map(|m| {
            // Of new ones.
            Some((m.opened.entry.name.clone(), m.pin_path.clone()?))
        });
        let pin_roots = pin_roots.collect();
        let load = LoadOptions { pin_roots, device, ..options.load.clone() };
        let opened: Vec<Opened> = members.iter().map(|m| m.opened.clone()).collect();
        let built = build(self.host, &self.files, &state, &opened, &shared, &load, options.fuse)
            .map_err(|error| self.device_refused(device, error))?;
        warnings.extend(built.warnings.iter().cloned());
        state.program = built.program_id(&self.interface.name)?;
        for (entry, instance) in state.members.iter_mut().zip(&built.instances) {
            if entry.maps.is_empty() {
                let maps: BTreeMap<&str, u32> =
                    built.maps_of(*instance).map(|(name, map)| (name, map.info().id)).collect();
                let entry = Arc::make_mut(entry);
                entry.maps = pin_names(maps.keys().copied());
                entry.map_ids = maps.into_values().collect();
            }
        }
        if state.counters {
            state.counters_pin = Some(COUNTERS_MAP.to_owned());
        }
        state.grows = state.needs_all_of(&self.state);
        state.usual = self.host.kernel.features().usual();
        let replacements = self.replace_functions(&built, &state)?;
        let built = Some(built);
        Ok(Prepared { state, built, members, replacements, mode, takes_over: None, warnings })
    }

    /// The mode of the chain that is there, or the one asked for.
    fn mode(&self, wanted: XdpMode) -> Result<XdpMode, ChainError> {
        let (has, _) = self.interface.program();
        match self.state.program {
            0 => Ok(wanted),
            _ if wanted == XdpMode::Unspecified || wanted == has => Ok(self.state.mode.into()),
            _ => Err(ChainError::Mode {
                interface: self.interface.name.clone(),
                has: has.name(),
                wanted: wanted.name(),
            }),
        }
    }

    /// Multi-buffer packets: the chain takes them where all members do. In skb mode the stack puts the
    /// buffers of a packet together for a chain that does not.
    fn frags(&self, members: &[Proposed], mode: XdpMode) -> Result<Vec<String>, ChainError> {
        let with = |wanted: bool| members.iter().find(move |m| m.opened.frags() == wanted);
        let (Some(takes), Some(not)) = (with(true), with(false)) else { return Ok(Vec::new()) };
        let program = not.opened.entry.name.clone();
        if mode != XdpMode::Skb && self.interface.mtu.saturating_add(LINK_HEADER) > ONE_BUFFER {
            let (interface, mtu) = (self.interface.name.clone(), self.interface.mtu);
            return Err(ChainError::Frags { interface, mtu, program });
        }
        let takes = &takes.opened.entry.name;
        Ok(vec![format!(
            "`{takes}` takes multi-buffer packets (xdp.frags) and `{program}` does not: the chain does not"
        )])
    }

    /// Carries a change out; `None` when somebody else was faster.
    pub(crate) fn commit(&mut self, prepared: Prepared) -> Result<Option<Change>, ChainError> {
        let sys = self.host.sys();
        self.fresh = false;
        let swapped = match &prepared.built {
            None => self.take_off(&prepared)?,
            Some(built) => {
                let swapped = self.put_on(&prepared, built);
                if !matches!(swapped, Ok(Swapped::Done)) {
                    let path = self.files.next();
                    sys.remove_file(&path).map_err(file("remove", &path))?;
                    let found = self.files.read(sys)?;
                    match found.all().next() {
                        Some(_) => self.files.sweep(sys, &found)?,
                        None => self.host.forget(&self.files)?,
                    }
                }
                swapped?
            }
        };
        if swapped == Swapped::Lost {
            return Ok(None);
        }
        match &prepared.built {
            Some(built) => {
                // From here on, `next` is what runs: should this fail, whoever comes next finds it.
                built.new_pins.keep();
                self.files.step_back(sys)?;
                self.moved_on(&prepared.state)?;
                self.files.step_up(sys)?;
            }
            None => self.refresh()?,
        }
        Ok(Some(self.outcome(&prepared)))
    }

    /// The state that runs from now on is the chain's. Nobody else writes state files meanwhile, so they
    /// are not read again.
    fn moved_on(&mut self, state: &State) -> Result<(), ChainError> {
        let found = &mut self.found;
        let current = found.current.replace(state.clone());
        let gone = current
            .map(|current| std::mem::replace(&mut found.previous, Previous::Read(Some(current))));
        (found.next, found.orphan) = (None, None);
        self.state = state.clone();
        match self.interface.program() {
            // That of the first program is the kernel's choice.
            (XdpMode::Unspecified, _) => self.interface = look(self.host.sys(), &self.interface)?,
            (mode, _) => self.interface.set_program(mode, state.program),
        }
        match gone {
            Some(Previous::Read(Some(gone))) if !self.found.needs_all_of(&gone) => {
                self.files.sweep(self.host.sys(), &self.found)
            }
            _ => Ok(()),
        }
    }

    fn put_on(&self, prepared: &Prepared, built: &Built) -> Result<Swapped, ChainError> {
        let sys = self.host.sys();
        let (files, state) = (&self.files, &prepared.state);
        if prepared.takes_over.is_some() && self.found.orphan == prepared.takes_over {
            // Its maps' pins go by ids that begin anew; the program keeps the maps.
            files.sweep(sys, &Found::default())?;
        }
        if self.state.program == 0 {
            files.make(sys)?;
        }
        files.begin(sys, state)?;
        let (new, old): (Vec<_>, Vec<_>) = prepared.members.iter().partition(|m| m.is_new);
        let is_kept = |hash: &str| old.iter().any(|m| m.opened.entry.object == hash);
        for Opened { entry, bytes, .. } in new.iter().map(|m| &m.opened) {
            if !is_kept(&entry.object) {
                files.store(sys, &entry.object, bytes)?;
            }
        }
        let new = state.members.iter().zip(&built.instances);
        for ((entry, instance), old) in new.zip(&prepared.members) {
            let there = &old.opened.entry.maps;
            built.pin(self.host, files, entry.id, *instance, &entry.maps, there)?;
        }
        if let (Some(root), Some(pin)) = (built.root, &state.counters_pin) {
            let pins = [(COUNTERS_MAP.to_owned(), pin.clone())].into();
            let there = match self.state.counters_pin {
                Some(_) => [(COUNTERS_MAP.to_owned(), pin.clone())].into(),
                None => Default::default(),
            };
            built.pin(self.host, files, 0, root, &pins, &there)?;
            self.clear_slots(prepared, built, root)?;
        }
        self.pin_replacements(prepared)?;
        files.ready(sys)?;
        let attachment = self.attachment();
        let program = built.program(&self.interface.name)?;
        let new = program.fd().as_fd();
        match (prepared.takes_over, self.state.program) {
            (Some(old), _) => {
                let swapped = attachment.replace(old, Some(new), prepared.mode)?;
                if swapped == Swapped::Done {
                    attachment.hold(state.program);
                }
                Ok(swapped)
            }
            (None, 0) => attachment.attach(new, prepared.mode),
            (None, old) => attachment.replace(old, Some(new), prepared.mode),
        }
    }

    /// New programs start counting at 0, whoever had their slot before.
    fn clear_slots(
        &self,
        prepared: &Prepared,
        built: &Built,
        root: bpfweld::InstanceId,
    ) -> Result<(), ChainError> {
        let Some((_, map)) = built.maps_of(root).find(|(name, _)| *name == COUNTERS_MAP) else {
            return Ok(());
        };
        let zeros = vec![0; map.value_len()];
        for member in prepared.members.iter().filter(|m| m.is_new) {
            let slot = member.opened.entry.slot.to_ne_bytes();
            map.update(&slot, &zeros).map_err(|source| ChainError::Call {
                interface: self.interface.name.clone(),
                step: "clear a counter",
                source,
            })?;
        }
        Ok(())
    }

    fn take_off(&self, prepared: &Prepared) -> Result<Swapped, ChainError> {
        let sys = self.host.sys();
        self.files.begin(sys, &prepared.state)?;
        self.files.ready(sys)?;
        let swapped = match self.state.program {
            0 => Ok(Swapped::Done),
            old => self.attachment().replace(old, None, self.state.mode.into()),
        };
        match swapped {
            Ok(Swapped::Done) => self.host.forget(&self.files)?,
            _ => {
                let path = self.files.next();
                sys.remove_file(&path).map_err(file("remove", &path))?;
            }
        }
        swapped
    }

    fn attachment(&self) -> Attachment<'_> {
        Attachment { host: self.host, files: &self.files, interface: &self.interface }
    }

    pub(crate) fn outcome(&self, prepared: &Prepared) -> Change {
        let new = prepared.members.iter().filter(|m| m.is_new);
        let mut added: Vec<u32> = new.map(|m| m.opened.entry.id).collect();
        added.sort_unstable();
        let gone = prepared.members.is_empty();
        Change {
            generation: if gone { 0 } else { prepared.state.generation },
            program: prepared.state.program,
            added,
            warnings: prepared.warnings.clone(),
        }
    }
}

/// The state that runs, or that of an interface with nothing on it.
fn current(host: &Chains<'_>, interface: &Interface, found: &Found) -> State {
    found
        .current
        .clone()
        .unwrap_or_else(|| State::empty(&host.boot, host.netns, interface.index, &interface.name))
}

/// A program of the kernel's in words: name, id, tag.
pub(crate) fn describe(host: &Chains<'_>, id: u32) -> String {
    let sys = host.sys();
    let info = sys.fd_by_id(ObjectKind::Prog, id).and_then(|fd| sys.prog_info(fd.as_fd()));
    match info {
        Ok(info) => {
            let tag: String = info.tag.iter().map(|b| format!("{b:02x}")).collect();
            format!("`{}`, id {id}, tag {tag}", info.name)
        }
        Err(_) => format!("id {id}"),
    }
}

/// Going on after a redirect is rarely what is meant.
fn redirects(members: &[Proposed]) -> Vec<String> {
    const XDP_REDIRECT: u32 = 4;
    let goes_on = members.iter().filter(|m| m.opened.entry.verdicts().contains(XDP_REDIRECT));
    let warn = |m: &Proposed| {
        let name = &m.opened.entry.name;
        format!(
            "the chain goes on after `{name}` has redirected a packet: a later program that redirects \
             decides where it goes, and the verdict of the last one whether it goes at all"
        )
    };
    goes_on.map(warn).collect()
}
