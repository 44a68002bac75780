//! Making chains what a [`Plan`] says: what differs, and all interfaces or none.

use bpfweld::link::ExistingMaps;

use crate::chain::{Chain, Change, Options, Prepared, Proposal};
use crate::error::ChainError;
use crate::host::Chains;
use crate::member::{NewMember, hash};
use crate::plan::{Plan, PlannedChain};
use crate::state::Entry;

/// How often a chain is built again that somebody else changed meanwhile.
const TRIES: usize = 5;

/// How one chain differs from what it is to be.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Difference {
    /// The interface.
    pub interface: String,
    /// A line for each thing that differs; none where nothing does.
    pub lines: Vec<String>,
}

/// What is to become of a program that both the chain and the plan have.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Fate {
    /// Nothing.
    Stays,
    /// Another place or other verdicts; its maps stay.
    Moves,
    /// Another program in its place.
    Replaced,
}

impl Chains<'_> {
    /// How the chains differ from the plan. Changes nothing.
    pub fn diff(&self, plan: &Plan) -> Result<Vec<Difference>, ChainError> {
        let names: Vec<_> = plan.interfaces.iter().map(|i| i.interface.as_str()).collect();
        let chains = self.open_all(&names)?;
        let pairs = chains.iter().zip(&plan.interfaces);
        Ok(pairs.map(|(chain, planned)| difference(chain, planned)).collect())
    }

    /// Makes the chains what the plan says: those that differ, all of them or none. Every new chain is
    /// built and verified before the first is put on its interface.
    pub fn apply(
        &self,
        plan: &Plan,
        options: &Options,
    ) -> Result<Vec<(String, Change)>, ChainError> {
        let names: Vec<_> = plan.interfaces.iter().map(|i| i.interface.as_str()).collect();
        let mut chains = self.open_all(&names)?;
        let mut prepared = Vec::new();
        for (at, (chain, planned)) in chains.iter_mut().zip(&plan.interfaces).enumerate() {
            chain.not_foreign()?;
            if !difference(chain, planned).lines.is_empty() {
                prepared.push((at, prepare(chain, planned, options)?));
            }
        }
        let mut done: Vec<(usize, bool)> = Vec::new();
        let mut changes = Vec::new();
        for (at, prepared) in prepared {
            let (Some(chain), Some(planned)) = (chains.get_mut(at), plan.interfaces.get(at)) else {
                continue;
            };
            let was_empty = !chain.is_ours();
            if options.dry_run {
                changes.push((planned.interface.clone(), chain.outcome(&prepared)));
                continue;
            }
            match commit(chain, planned, prepared, options) {
                Ok(change) => {
                    changes.push((planned.interface.clone(), change));
                    done.push((at, was_empty));
                }
                Err(error) => {
                    undo(&mut chains, &done, options);
                    return Err(error);
                }
            }
        }
        Ok(changes)
    }
}

fn prepare(
    chain: &Chain<'_>,
    planned: &PlannedChain,
    options: &Options,
) -> Result<Prepared, ChainError> {
    chain.not_alone()?;
    let options = Options { mode: planned.mode, ..options.clone() };
    chain.prepare(proposal(chain, planned)?, &options)
}

fn commit(
    chain: &mut Chain<'_>,
    planned: &PlannedChain,
    prepared: Prepared,
    options: &Options,
) -> Result<Change, ChainError> {
    let mut prepared = prepared;
    for _ in 0..TRIES {
        if let Some(change) = chain.commit(prepared)? {
            return Ok(change);
        }
        chain.not_foreign()?;
        prepared = prepare(chain, planned, options)?;
    }
    Err(ChainError::Race { interface: planned.interface.clone(), tries: TRIES })
}

/// Takes back what was done. What fails here is told by the next look at that chain; the error that led
/// here counts more.
fn undo(chains: &mut [Chain<'_>], done: &[(usize, bool)], options: &Options) {
    for &(at, was_empty) in done.iter().rev() {
        let Some(chain) = chains.get_mut(at) else { continue };
        let _ = match was_empty {
            true => chain.unload_all(options),
            false => chain.rollback(options),
        };
    }
}

fn difference(chain: &Chain<'_>, planned: &PlannedChain) -> Difference {
    let mut lines = Vec::new();
    let entries = &chain.state().members;
    for new in &planned.members {
        let name = new.name.as_deref().unwrap_or_default();
        let Some(old) = entries.iter().find(|e| e.name == name) else {
            let (priority, path) = (new.config.priority, new.path.display());
            lines.push(format!("+ {name}: {path}, priority {priority}, {}", new.config.goes_on));
            continue;
        };
        match fate(old, new) {
            Fate::Stays => {}
            Fate::Moves => lines.push(format!(
                "~ {name}: priority {} -> {}, {} -> {}",
                old.priority,
                new.config.priority,
                old.verdicts(),
                new.config.goes_on
            )),
            Fate::Replaced => lines.push(format!("~ {name}: {} anew", new.path.display())),
        }
    }
    let wanted = |e: &Entry| planned.members.iter().any(|m| m.name.as_ref() == Some(&e.name));
    lines.extend(entries.iter().filter(|e| !wanted(e)).map(|e| format!("- {}", e.name)));
    if let Some(counters) = planned.counters
        && counters != chain.counts()
        && !planned.members.is_empty()
    {
        lines.push(format!("~ stats: {} -> {counters}", chain.counts()));
    }
    Difference { interface: planned.interface.clone(), lines }
}

fn fate(old: &Entry, new: &NewMember) -> Fate {
    let shared: Vec<_> = new.maps.iter().map(|(m, w)| (m.clone(), w.to_string())).collect();
    let same = old.object == hash(&new.bytes)
        && old.program == new.program()
        && old.sets == new.sets
        && old.shared == shared;
    let place = (old.priority, old.goes_on) == (new.config.priority, new.config.goes_on.bits());
    match (same, place) {
        (true, true) => Fate::Stays,
        (true, false) => Fate::Moves,
        (false, _) => Fate::Replaced,
    }
}

fn proposal(chain: &Chain<'_>, planned: &PlannedChain) -> Result<Proposal, ChainError> {
    let mut old = chain.unchanged()?;
    let mut proposal = Proposal {
        members: Vec::with_capacity(planned.members.len()),
        next_id: old.next_id,
        alone: false,
        counters: planned.counters.unwrap_or(old.counters),
    };
    for new in &planned.members {
        let at = old.members.iter().position(|m| Some(&m.opened.entry.name) == new.name.as_ref());
        let Some(mut kept) = at.map(|at| old.members.swap_remove(at)) else {
            chain.add(&mut proposal, new)?;
            continue;
        };
        if fate(&kept.opened.entry, new) == Fate::Replaced {
            let inherited: ExistingMaps = chain.inherited(&kept.opened.entry, &new.object);
            let slot = kept.opened.entry.slot;
            chain.add(&mut proposal, new)?;
            if let Some(added) = proposal.members.last_mut() {
                added.inherited = inherited;
                added.opened.entry.slot = slot;
            }
        } else {
            kept.opened.entry.priority = new.config.priority;
            kept.opened.entry.goes_on = new.config.goes_on.bits();
            proposal.members.push(kept);
        }
    }
    Ok(proposal)
}
