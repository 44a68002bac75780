//! Several interfaces changed as one: what the change started from and leads to is written down before its
//! first step, in `STATE/apply-NETNS`, and removed behind its last. So whoever comes after a `kill -9` asks
//! the kernel which steps were made, and makes the rest or takes those back.
//!
//! Programs are put on first and taken off last: until all are on, everything can be taken back; from then
//! on, what is left is detaching.
//!
//! What is taken back was never there for `rollback`: until the journal goes, each chain keeps the generation
//! before as `older`.

use std::io;
use std::path::PathBuf;

use bpfweld::kernel::netlink::{self, Interface, XdpMode};
use serde::{Deserialize, Serialize};

use crate::chain::{Chain, Options};
use crate::error::ChainError;
use crate::host::{Chains, Lock, netlink_error};
use crate::state::file;

/// Version of the format.
const VERSION: u32 = 1;
/// Longest journal that is read: a step takes some hundred bytes.
const MAX_JOURNAL: usize = 4 << 20;
/// How the files' names begin.
const NAME: &str = "apply-";

/// What a change of several interfaces consists of.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Journal {
    version: u32,
    /// As in the state of a chain.
    boot: String,
    netns: (u64, u64),
    pub(crate) steps: Vec<Step>,
}

/// What becomes of one interface.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Step {
    pub(crate) interface: String,
    pub(crate) ifindex: u32,
    /// The kernel's id of the program before; 0 for none.
    pub(crate) was: u32,
    /// That of the program behind it, which is loaded already; 0 for none.
    pub(crate) becomes: u32,
    /// Was there a generation before, to go back to?
    pub(crate) previous: bool,
}

/// Which way to go when all programs are on and some are yet to be taken off.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Rest {
    /// The change was broken off: on to its end.
    Make,
    /// It met an error: back, unless one was taken off already, which cannot be put on again.
    TakeBack,
}

impl Journal {
    pub(crate) fn new(host: &Chains<'_>) -> Self {
        Self { version: VERSION, boot: host.boot.clone(), netns: host.netns, steps: Vec::new() }
    }

    /// Written whole or not at all.
    pub(crate) fn write(&self, host: &Chains<'_>) -> Result<(), ChainError> {
        let (sys, path) = (host.sys(), path(host));
        let mut text = serde_json::to_vec_pretty(self)
            .map_err(|e| ChainError::State { path: path.clone(), problem: e.to_string() })?;
        text.push(b'\n');
        let work = path.with_extension("new");
        sys.write_file(&work, &text).map_err(file("write", &work))?;
        sys.rename(&work, &path).map_err(file("rename", &work))
    }

    /// The interfaces that are still there. One that is gone took its chain with it.
    fn there<'j>(&'j self, host: &Chains<'_>) -> Result<Vec<(&'j Step, Interface)>, ChainError> {
        let mut there = Vec::with_capacity(self.steps.len());
        for step in &self.steps {
            let found = netlink::by_index(host.sys(), step.ifindex);
            if let Some(interface) = found.map_err(netlink_error(&step.interface))? {
                there.push((step, interface));
            }
        }
        Ok(there)
    }

    /// The change has come to its end: what was kept to take it back goes, then the journal.
    pub(crate) fn end(&self, host: &Chains<'_>) -> Result<(), ChainError> {
        let sys = host.sys();
        for (step, interface) in self.there(host)? {
            let files = host.files_of(interface.index);
            let stands = interface.program().1 == step.becomes;
            files.end_older(sys, stands, step.previous)?;
            // What cannot be read is told by whoever opens that chain.
            if let Ok(found) = files.read(sys)
                && found.all().next().is_some()
            {
                files.sweep(sys, &found)?;
            }
        }
        remove(host)
    }

    fn read(host: &Chains<'_>) -> Result<Option<Self>, ChainError> {
        let path = path(host);
        let bytes = match host.sys().read(&path) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            other => other.map_err(file("read", &path))?,
        };
        let parsed = match bytes.len() > MAX_JOURNAL {
            true => Err(format!("{} bytes", bytes.len())),
            false => serde_json::from_slice::<Self>(&bytes).map_err(|e| e.to_string()),
        };
        match parsed {
            Ok(journal) if journal.version == VERSION => Ok(Some(journal)),
            Ok(journal) => {
                let problem = format!("version {}, this bpfweld knows {VERSION}", journal.version);
                Err(ChainError::State { path, problem })
            }
            Err(problem) => Err(ChainError::State { path, problem }),
        }
    }
}

/// Removes the journal.
fn remove(host: &Chains<'_>) -> Result<(), ChainError> {
    let path = path(host);
    for path in [path.with_extension("new"), path] {
        host.sys().remove_file(&path).map_err(file("remove", &path))?;
    }
    Ok(())
}

/// Is this the name of a journal, and of which namespace?
pub(crate) fn namespace_of(name: &str) -> Option<&str> {
    name.strip_prefix(NAME).map(|rest| rest.strip_suffix(".new").unwrap_or(rest))
}

fn path(host: &Chains<'_>) -> PathBuf {
    host.state_dir().join(format!("{NAME}{}", host.netns.1))
}

/// Makes whole, or takes back, a change of several interfaces that did not come to its end. What there is
/// to tell of it.
pub(crate) fn settle(
    host: &Chains<'_>,
    lock: &Lock,
    rest: Rest,
    options: &Options,
) -> Result<Vec<String>, ChainError> {
    let Some(journal) = Journal::read(host)? else {
        // It may have been about to be written.
        if path(host).with_extension("new").exists() {
            remove(host)?;
        }
        return Ok(Vec::new());
    };
    if journal.boot != host.boot || journal.netns != host.netns {
        remove(host)?;
        return Ok(Vec::new());
    }
    let there = journal.there(host)?;
    let runs = |interface: &Interface| interface.program().1;
    let made = |(step, interface): &&(&Step, Interface)| runs(interface) == step.becomes;
    let puts = || there.iter().filter(|(step, _)| step.becomes != 0);
    let offs = || there.iter().filter(|(step, _)| step.becomes == 0);
    let all_on = puts().all(|pair| made(&pair));
    let onward = all_on && (rest == Rest::Make || offs().any(|pair| made(&pair)));
    let names: Vec<_> = journal.steps.iter().map(|s| s.interface.as_str()).collect();
    let names = names.join(", ");
    let mut told = Vec::new();
    let mut changed = |pair: &(&Step, Interface)| {
        let (step, interface) = pair;
        let mut chain = Chain::open(host, interface.clone(), lock.clone())?;
        // The chain keeps its mode.
        let mode = XdpMode::Unspecified;
        let options = Options { mode, dry_run: false, ..options.clone() };
        let done = match (onward, step.was) {
            (true, _) | (false, 0) => chain.unload_all(&options),
            (false, _) => chain.rollback(&options),
        };
        // The others are put straight all the same.
        if let Err(error) = done {
            told.push(format!("{}: it could not be put straight: {error}", step.interface));
        }
        Ok::<(), ChainError>(())
    };
    let what = if onward {
        offs().filter(|(step, i)| runs(i) == step.was).try_for_each(&mut changed)?;
        "had been made; it stands"
    } else {
        puts().filter(made).try_for_each(&mut changed)?;
        "was taken back"
    };
    journal.end(host)?;
    told.insert(0, format!("{names}: a change of all of them that was broken off {what}"));
    Ok(told)
}
