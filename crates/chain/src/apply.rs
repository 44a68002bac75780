//! Making chains what a [`Plan`] says: what differs, and all interfaces or none.

use std::sync::Arc;

use bpfweld::kernel::netlink::XdpMode;
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
    // Taken off, a chain is in whatever mode.
    let mode = if planned.members.is_empty() { XdpMode::Unspecified } else { planned.mode };
    let options = Options { mode, ..options.clone() };
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
        let (anew, moves) = (anew(old, new), moves(old, new));
        let kind = if anew.is_empty() { "" } else { "anew, " };
        let all: Vec<String> = anew.into_iter().chain(moves).collect();
        if !all.is_empty() {
            lines.push(format!("~ {name}: {kind}{}", all.join(", ")));
        }
    }
    let wanted = |e: &Entry| planned.members.iter().any(|m| m.name.as_ref() == Some(&e.name));
    lines.extend(entries.iter().filter(|e| !wanted(e)).map(|e| format!("- {}", e.name)));
    let (mode, _) = chain.interface().program();
    let has_other = chain.is_ours() && ![mode, XdpMode::Unspecified].contains(&planned.mode);
    if has_other && !planned.members.is_empty() {
        lines.push(format!("~ mode: {} -> {}", mode.name(), planned.mode.name()));
    }
    if let Some(counters) = planned.counters
        && counters != chain.counts()
        && !planned.members.is_empty()
    {
        lines.push(format!("~ stats: {} -> {counters}", chain.counts()));
    }
    Difference { interface: planned.interface.clone(), lines }
}

/// Why a program has to be made anew; nothing where it stays.
fn anew(old: &Entry, new: &NewMember) -> Vec<String> {
    let mut told = Vec::new();
    if old.object != hash(&new.bytes) {
        told.push(format!("{} is another object", new.path.display()));
    }
    if old.program != new.program() {
        told.push(format!("program {} -> {}", old.program, new.program()));
    }
    let shared: Vec<_> = new.maps.iter().map(|(m, w)| (m.clone(), w.to_string())).collect();
    for (what, old, new) in [("set", &old.sets, &new.sets), ("map", &old.shared, &shared)] {
        if old != new {
            told.push(format!("{what} {} -> {}", pairs(old), pairs(new)));
        }
    }
    if old.dev_bound != new.dev_bound {
        told.push(format!("dev_bound {} -> {}", old.dev_bound, new.dev_bound));
    }
    told
}

/// What is to be another of a program that otherwise may stay, its maps too.
fn moves(old: &Entry, new: &NewMember) -> Vec<String> {
    let (before, after) = (old.verdicts(), new.config.goes_on);
    let priority = format!("priority {} -> {}", old.priority, new.config.priority);
    let actions = format!("{before} -> {after}");
    let differs = [old.priority != new.config.priority, before != after];
    let told = differs.into_iter().zip([priority, actions]);
    told.filter_map(|(differs, told)| differs.then_some(told)).collect()
}

fn pairs(all: &[(String, String)]) -> String {
    let pairs: Vec<_> = all.iter().map(|(name, value)| format!("{name} = {value}")).collect();
    format!("{{ {} }}", pairs.join(", "))
}

fn proposal(chain: &Chain<'_>, planned: &PlannedChain) -> Result<Proposal, ChainError> {
    let mut old = chain.unchanged(&planned.members)?;
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
        if !anew(&kept.opened.entry, new).is_empty() {
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
