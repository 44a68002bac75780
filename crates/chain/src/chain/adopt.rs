//! Taking a program of somebody else's into a chain, without its object: a function of the chain
//! tail-calls it through a prog array, and the chain goes on with its verdict.

use std::os::fd::{AsFd, AsRawFd};
use std::sync::Arc;

use bpfweld::kernel::netlink::XdpMode;
use bpfweld::kernel::sys::ObjectKind;
use bpfweld::link::ExistingMaps;
use bpfweld::link::chain_root::{TAIL_CALL_MAP, Verdicts, XDP_PASS, tail_caller};

use super::dispatcher::{LIBXDP_DISPATCHER, stand_in};
use super::{Chain, Change, Options, Proposal, Proposed, describe};
use crate::error::ChainError;
use crate::member::{Opened, tag};
use crate::run_config::DEFAULT_PRIORITY;
use crate::state::{Adopted, Entry};

impl Chain<'_> {
    /// Makes somebody else's program on the interface the first of a chain: under its own name, with
    /// priority 50, going on after `XDP_PASS`. It stays the very program, with its maps. Needs a kernel that
    /// tail-calls from functions (5.10).
    ///
    /// Of libxdp's dispatcher all programs come, each a member with its priority and verdicts.
    ///
    /// Where its owner holds it by a link, the link becomes the chain's as well, and unloading the chain
    /// detaches it.
    pub fn adopt(&mut self, options: &Options) -> Result<Change, ChainError> {
        self.refresh()?;
        let (mode, id) = self.interface.program();
        let interface = self.interface.name.clone();
        let failed = |problem: String| ChainError::Adopt { interface: interface.clone(), problem };
        match id {
            0 => return Err(ChainError::Nothing { interface }),
            id if id == self.state.program => {
                return Err(failed("it is a chain of bpfweld's already".into()));
            }
            _ if mode == XdpMode::Hw => {
                return Err(failed("a program in the card cannot be called by another one".into()));
            }
            _ => {}
        }
        let sys = self.host.sys();
        let named = describe(self.host, id);
        let gone = |e: std::io::Error| failed(format!("{named}: {e}"));
        let program = sys.fd_by_id(ObjectKind::Prog, id).map_err(gone)?;
        let info = sys.prog_info(program.as_fd()).map_err(gone)?;
        let options = Options { mode, ..options.clone() };
        let mut refused = None;
        if info.name == LIBXDP_DISPATCHER {
            let components = self.replacements(id);
            // They go into a program only that said what theirs did, and nothing tells that of it.
            for untyped in [false, true].into_iter().filter(|_| !components.is_empty()) {
                match self.adopt_components(&info, &components, &options, untyped) {
                    Err(error @ ChainError::Adopt { .. }) => drop(refused.get_or_insert(error)),
                    done => return done,
                }
            }
        }
        let name = info.name;
        // A prog array takes programs that agree on multi-buffer packets and on what they said that they
        // are attached to, and nothing tells that of a program: all is tried.
        let mut why = None;
        let kinds = [(false, false), (false, true), (true, false), (true, true)];
        for (frags, untyped) in kinds {
            let member = self
                .adopted_member(&name, Adopted { program: id, frags, untyped, replaces: false })?;
            let proposal = Proposal {
                members: vec![member],
                next_id: self.state.next_id.saturating_add(1),
                alone: false,
                counters: options.counters,
            };
            let mut prepared = self.prepare(proposal, &options)?;
            prepared.takes_over = Some(id);
            let slot = prepared.built.as_ref().and_then(|b| {
                let at = *b.instances.first()?;
                b.maps_of(at).find(|(name, _)| *name == TAIL_CALL_MAP).map(|(_, map)| map)
            });
            let slot = slot.ok_or_else(|| failed("it has no prog array".into()))?;
            let value = program.as_raw_fd().to_ne_bytes();
            if let Err(e) = slot.update(&0u32.to_ne_bytes(), &value) {
                let mismatch = e.kind() == std::io::ErrorKind::InvalidInput;
                why = Some(e);
                match mismatch {
                    true => continue,
                    false => break,
                }
            }
            if options.dry_run {
                return Ok(self.outcome(&prepared));
            }
            return self.commit(prepared)?.ok_or(ChainError::Race { interface, tries: 1 });
        }
        // Of a dispatcher, what stands in the way of its programs is what helps.
        let why = why.map(|e| e.to_string()).unwrap_or_default();
        let tail_call = failed(format!("{named} cannot be tail-called by a chain: {why}"));
        Err(refused.unwrap_or(tail_call))
    }

    fn adopted_member(&self, name: &str, adopted: Adopted) -> Result<Proposed, ChainError> {
        let entry = Entry {
            id: self.state.next_id,
            name: name.to_owned(),
            path: String::new(),
            object: String::new(),
            program: name.to_owned(),
            tag: String::new(),
            priority: DEFAULT_PRIORITY,
            goes_on: Verdicts::PASS.bits(),
            slot: 0,
            sets: Vec::new(),
            shared: Vec::new(),
            maps: Default::default(),
            map_ids: Vec::new(),
            dev_bound: false,
            adopted: Some(adopted),
        };
        let mut opened = adopted_object(&Arc::new(entry), adopted)?;
        Arc::make_mut(&mut opened.entry).tag = tag(&opened.object, opened.function);
        Ok(Proposed {
            opened,
            // New, and without an object to keep.
            is_new: false,
            shared: Vec::new(),
            inherited: ExistingMaps::new(),
            pin_path: None,
        })
    }
}

/// The function that stands for an adopted program.
pub(super) fn adopted_object(entry: &Arc<Entry>, adopted: Adopted) -> Result<Opened, ChainError> {
    if adopted.replaces {
        return stand_in(entry);
    }
    let object = tail_caller(&entry.program, XDP_PASS, adopted.frags)?;
    Ok(Opened::made(entry, object))
}
