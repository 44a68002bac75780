//! Making chains what a [`Plan`] says: what differs, and all interfaces or none.

use std::sync::Arc;

use bpfweld::link::ExistingMaps;

use crate::chain::{Chain, Change, Options, Prepared, Proposal};
use crate::error::ChainError;
use crate::host::Chains;
use crate::journal::{self, Journal, Rest, Step};
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

impl Chain<'_> {
    /// What the journal says of a change.
    fn step(&self, prepared: &Prepared) -> Step {
        let interface = self.interface();
        Step {
            interface: interface.name.clone(),
            ifindex: interface.index,
            was: self.state().program,
            becomes: prepared.state.program,
            previous: self.has_previous(),
        }
    }
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
        if options.dry_run {
            let outcome = |(at, prepared): &(usize, Prepared)| {
                let (planned, chain) = (plan.interfaces.get(*at)?, chains.get(*at)?);
                Some((planned.interface.clone(), chain.outcome(prepared)))
            };
            return Ok(prepared.iter().filter_map(outcome).collect());
        }
        // What takes programs off comes last, see `journal`.
        prepared.sort_by_key(|(_, p)| p.state.program == 0);
        let mut journal = Journal::new(self);
        if prepared.len() > 1 {
            let step = |(at, p): &(usize, Prepared)| Some(chains.get(*at)?.step(p));
            journal.steps = prepared.iter().filter_map(step).collect();
            journal.write(self)?;
        }
        let mut changes = Vec::with_capacity(prepared.len());
        for (i, (at, prepared)) in prepared.into_iter().enumerate() {
            let (Some(chain), Some(planned)) = (chains.get_mut(at), plan.interfaces.get(at)) else {
                continue;
            };
            match commit(chain, planned, prepared, options, (&mut journal, i)) {
                Ok(change) => changes.push((at, planned.interface.clone(), change)),
                Err(error) => {
                    // What cannot be put straight is told by the next look at it; the error that led
                    // here counts more.
                    let lock = chain.lock().clone();
                    let _ = journal::settle(self, &lock, Rest::TakeBack, options);
                    return Err(error);
                }
            }
        }
        if !journal.steps.is_empty() {
            journal.end(self)?;
        }
        // As the plan has them.
        changes.sort_by_key(|(at, ..)| *at);
        Ok(changes.into_iter().map(|(_, interface, change)| (interface, change)).collect())
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
    (journal, i): (&mut Journal, usize),
) -> Result<Change, ChainError> {
    let mut prepared = prepared;
    if !journal.steps.is_empty() {
        chain.keep_previous()?;
    }
    for _ in 0..TRIES {
        if let Some(change) = chain.commit(prepared)? {
            return Ok(change);
        }
        chain.not_foreign()?;
        prepared = prepare(chain, planned, options)?;
        if let Some(step) = journal.steps.get_mut(i) {
            *step = chain.step(&prepared);
            journal.write(chain.host())?;
        }
    }
    Err(ChainError::Race { interface: planned.interface.clone(), tries: TRIES })
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
        && old.dev_bound == new.dev_bound
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
                Arc::make_mut(&mut added.opened.entry).slot = slot;
            }
        } else {
            let entry = Arc::make_mut(&mut kept.opened.entry);
            entry.priority = new.config.priority;
            entry.goes_on = new.config.goes_on.bits();
            proposal.members.push(kept);
        }
    }
    Ok(proposal)
}
