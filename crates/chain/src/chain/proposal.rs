//! What a chain is to become, before anything is built: the members that stay, and those that come.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;

use bpfweld::link::ExistingMaps;
use bpfweld::link::chain_root::COUNTER_SLOTS;

use super::{Chain, adopt};
use crate::error::ChainError;
use crate::member::{NewMember, Opened, SharedMap, hash, tag};
use crate::state::{Entry, State, file};

/// What a chain is to become.
pub(crate) struct Proposal {
    /// In any order.
    pub(crate) members: Vec<Proposed>,
    pub(crate) next_id: u32,
    pub(crate) alone: bool,
    pub(crate) counters: bool,
}

/// One member of it.
pub(crate) struct Proposed {
    pub(crate) opened: Opened,
    /// A new one, with an object that is to be kept?
    pub(crate) is_new: bool,
    pub(crate) shared: Vec<(String, SharedMap)>,
    /// Maps of the program in whose place it comes.
    pub(crate) inherited: ExistingMaps,
    /// Of a new one: where its maps that ask for it are pinned by name.
    pub(crate) pin_path: Option<PathBuf>,
}

impl Chain<'_> {
    pub(super) fn empty_proposal(&self) -> Proposal {
        Proposal {
            members: Vec::new(),
            next_id: self.state.next_id,
            alone: self.state.alone,
            counters: self.state.counters,
        }
    }

    /// The chain as it is, before these join it.
    pub(crate) fn unchanged(&self, new: &[NewMember]) -> Result<Proposal, ChainError> {
        Ok(Proposal { members: self.stored(&self.state, new)?, ..self.empty_proposal() })
    }

    /// The members of a state, their objects read, unless a new one has the same.
    pub(super) fn stored(
        &self,
        state: &State,
        new: &[NewMember],
    ) -> Result<Vec<Proposed>, ChainError> {
        let mut all: Vec<Proposed> = Vec::with_capacity(state.members.len());
        for entry in &state.members {
            let is_same = |m: &&Proposed| m.opened.entry.has_object_of(entry);
            let opened = match (entry.adopted, all.iter().find(is_same)) {
                (Some(adopted), _) => adopt::adopted_object(entry, adopted)?,
                (None, Some(same)) => {
                    let (object, bytes) = (&same.opened.object, &same.opened.bytes);
                    Opened::with(entry, object.clone(), bytes.clone())?
                }
                (None, None) => {
                    let path = self.files.object(&entry.object);
                    let bytes = self.host.sys().read(&path).map_err(file("read", &path))?;
                    match new.iter().find(|new| new.has_object_of(entry, &bytes)) {
                        Some(new) => Opened::with(entry, new.object.clone(), new.bytes.clone())?,
                        None => Opened::stored(entry, bytes.into())?,
                    }
                }
            };
            all.push(Proposed {
                opened,
                is_new: false,
                shared: Vec::new(),
                inherited: ExistingMaps::new(),
                pin_path: None,
            });
        }
        Ok(all)
    }

    /// Adds a program to what the chain is to become.
    pub(crate) fn add(&self, to: &mut Proposal, new: &NewMember) -> Result<(), ChainError> {
        let taken = |name: &str| to.members.iter().any(|m| m.opened.entry.name == name);
        let name = match &new.name {
            Some(name) if taken(name) => {
                let (interface, name) = (self.interface.name.clone(), name.clone());
                return Err(ChainError::NameTaken { interface, name });
            }
            // What `--map` and lists take apart.
            Some(name)
                if name.is_empty()
                    || name.contains(|c: char| {
                        c.is_control() || c.is_whitespace() || matches!(c, ':' | '/')
                    }) =>
            {
                return Err(ChainError::Name { name: name.clone() });
            }
            Some(name) => name.clone(),
            None => {
                let base = new.program();
                let numbered = (2..).map(|n| format!("{base}-{n}"));
                let mut names = std::iter::once(base.to_owned()).chain(numbered);
                names.find(|name| !taken(name)).unwrap_or_default()
            }
        };
        let before =
            self.found.previous.known().into_iter().flat_map(|s| &s.members).map(|m| m.slot);
        let now = self.state.members.iter().map(|m| m.slot);
        let soon = to.members.iter().map(|m| m.opened.entry.slot);
        let used: BTreeSet<u32> = before.chain(now).chain(soon).collect();
        let soon: BTreeSet<u32> = to.members.iter().map(|m| m.opened.entry.slot).collect();
        let free = (0..COUNTER_SLOTS).find(|s| !used.contains(s));
        let slot = free.or_else(|| (0..COUNTER_SLOTS).find(|s| !soon.contains(s))).unwrap_or(0);
        let path = new.path.display().to_string();
        // Its object may be one that the chain has: then it need not be hashed, nor linked as another.
        let mut same = to.members.iter().map(|m| &m.opened).filter(|m| m.bytes == new.bytes);
        let hashed = same.clone().next().map(|m| m.entry.object.clone());
        let named = same.clone().find(|m| m.entry.program == new.program());
        let named = named.map(|m| m.entry.tag.clone());
        let linked = same.find(|m| m.entry.path == path && m.entry.sets == new.sets);
        let object = linked.map_or(&new.object, |m| &m.object).clone();
        let entry = Entry {
            id: to.next_id,
            name,
            path,
            object: hashed.unwrap_or_else(|| hash(&new.bytes)),
            program: new.program().to_owned(),
            tag: named.unwrap_or_else(|| tag(&new.object, new.function)),
            priority: new.config.priority,
            goes_on: new.config.goes_on.bits(),
            slot,
            sets: new.sets.clone(),
            maps: Default::default(),
            map_ids: Vec::new(),
            shared: new.maps.iter().map(|(m, w)| (m.clone(), w.to_string())).collect(),
            dev_bound: new.dev_bound,
            adopted: None,
        };
        to.next_id = to.next_id.saturating_add(1);
        to.members.push(Proposed {
            opened: Opened {
                entry: Arc::new(entry),
                object,
                function: new.function,
                bytes: new.bytes.clone(),
            },
            is_new: true,
            shared: new.maps.clone(),
            inherited: ExistingMaps::new(),
            pin_path: Some(new.pin_path.clone()),
        });
        Ok(())
    }
}
