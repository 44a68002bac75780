//! libxdp's dispatcher: which programs are in it, and how they become members of a chain without their
//! objects. They replace functions of the dispatcher (freplace), and nothing may tail-call a program of
//! which functions are replaced (Linux 6.13, and older ones with mends); so the chain has a function for
//! each, which they replace as well.
//!
//! Facts on libxdp are from its protocol document (`lib/libxdp/protocol.org` of xdp-tools).

use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;
use std::sync::Arc;

use bpfweld::kernel::sys::{LinkInfo, ObjectKind, ProgInfo};
use bpfweld::link::ExistingMaps;
use bpfweld::link::chain_root::{Verdicts, XDP_PASS, replaceable};

use super::{Chain, Change, Options, Prepared, Proposal, Proposed};
use crate::build::Built;
use crate::error::ChainError;
use crate::member::Opened;
use crate::run_config::DEFAULT_PRIORITY;
use crate::state::{Adopted, Entry, State, file};

/// Name of the dispatcher that libxdp puts on an interface.
pub(crate) const LIBXDP_DISPATCHER: &str = "xdp_dispatcher";
/// The environment variable that names libxdp's BPF file system, and the one it takes without.
const LIBXDP_BPFFS: (&str, &str) = ("LIBXDP_BPFFS", "/sys/fs/bpf");
/// Its dispatcher has so many slots.
const SLOTS: usize = 10;
/// Begins its configuration from version 2 on.
const MAGIC: u8 = 236;

/// A program that stands in for a function of a chain.
#[derive(Debug)]
pub(crate) struct Replacement {
    /// The member's id.
    member: u32,
    program: OwnedFd,
    link: OwnedFd,
}

/// How the dispatcher runs its programs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Config {
    frags: bool,
    /// Priority, and the verdicts after which it goes on.
    programs: [(u32, Verdicts); SLOTS],
}

impl Config {
    /// Of the value of its map; `None` where that is of no version that is known.
    fn parse(bytes: &[u8]) -> Option<Self> {
        // Magic number, version, number of programs, whether all take multi-buffer packets; before version
        // 2 the number of programs alone, and what aligns.
        let &[first, version, _, frags, ref numbers @ ..] = bytes else { return None };
        let frags = match (first, version) {
            (MAGIC, 2) => frags != 0,
            (0..=10, 0) => false,
            _ => return None,
        };
        let number = |at: usize| numbers.as_chunks::<4>().0.get(at).map(|n| u32::from_ne_bytes(*n));
        let mut programs = [(DEFAULT_PRIORITY, Verdicts::PASS); SLOTS];
        for (slot, program) in programs.iter_mut().enumerate() {
            // A sixth bit is for verdicts that nobody knows, which here are XDP_ABORTED.
            let actions = number(slot)? & Verdicts::ALL.bits();
            *program = (number(SLOTS + slot)?, Verdicts::from_bits(actions)?);
        }
        Some(Self { frags, programs })
    }
}

impl Chain<'_> {
    /// The programs that stand in for functions of a program (freplace), with their ids, by the order of
    /// their links.
    pub(crate) fn replacements(&self, of: u32) -> Vec<(u32, OwnedFd)> {
        let sys = self.host.sys();
        let mut found = Vec::new();
        let mut id = 0;
        while let Ok(Some(next)) = sys.next_id(ObjectKind::Link, id) {
            id = next;
            let Ok(link) = sys.fd_by_id(ObjectKind::Link, id) else { continue };
            let Ok(info) = sys.link_info(link.as_fd()) else { continue };
            if info.link_type == LinkInfo::TRACING
                && info.target == of
                && let Ok(program) = sys.fd_by_id(ObjectKind::Prog, info.prog_id)
            {
                found.push((info.prog_id, program));
            }
        }
        match found.is_empty() {
            true => self.pinned_by_libxdp(of),
            false => found,
        }
    }

    /// The same from where libxdp pins them: kernels before 5.13 do not say what a link attaches to.
    fn pinned_by_libxdp(&self, dispatcher: u32) -> Vec<(u32, OwnedFd)> {
        let (variable, default) = LIBXDP_BPFFS;
        let root = std::env::var_os(variable).map_or_else(|| default.into(), PathBuf::from);
        let dir = format!("dispatch-{}-{dispatcher}", self.interface.index);
        let dir = root.join("xdp").join(dir);
        let sys = self.host.sys();
        let open = |slot| {
            let program = sys.pinned(&dir.join(format!("prog{slot}-prog"))).ok()?;
            Some((sys.prog_info(program.as_fd()).ok()?.id, program))
        };
        (0..SLOTS).map_while(open).collect()
    }

    /// How a dispatcher runs its programs: its one map says it.
    fn config(&self, dispatcher: &ProgInfo) -> Option<Config> {
        let sys = self.host.sys();
        let [map] = dispatcher.map_ids[..] else { return None };
        let map = sys.fd_by_id(ObjectKind::Map, map).ok()?;
        let size = sys.map_info(map.as_fd()).ok()?.value_size;
        let mut value = vec![0; usize::try_from(size).ok().filter(|s| *s <= 4096)?];
        sys.lookup(map.as_fd(), &0u32.to_ne_bytes(), &mut value).ok()?;
        Config::parse(&value)
    }

    /// Makes the programs of libxdp's dispatcher, which is on the interface, those of a chain, with their
    /// priorities and verdicts.
    pub(super) fn adopt_components(
        &mut self,
        dispatcher: &ProgInfo,
        components: &[(u32, OwnedFd)],
        options: &Options,
        untyped: bool,
    ) -> Result<Change, ChainError> {
        let sys = self.host.sys();
        let interface = self.interface.name.clone();
        let problem = |problem: String| ChainError::Adopt { interface: interface.clone(), problem };
        let config = self.config(dispatcher).ok_or_else(|| {
            problem("libxdp's dispatcher is of a version that is not known".to_owned())
        })?;
        let mut members: Vec<Proposed> = Vec::new();
        for ((id, program), (priority, goes_on)) in components.iter().zip(config.programs) {
            let info = sys.prog_info(program.as_fd()).map_err(|e| problem(e.to_string()))?;
            let number = self.state.next_id.saturating_add(members.len() as u32);
            let named = |name: &str| members.iter().any(|m| m.opened.entry.name == name);
            let numbered = (2..).map(|n| format!("{}-{n}", info.name));
            let mut names = std::iter::once(info.name.clone()).chain(numbered);
            let entry = Entry {
                id: number,
                name: names.find(|name| !named(name)).unwrap_or_default(),
                path: String::new(),
                object: String::new(),
                // Unlike that of any other function of the chain.
                program: format!("{}_{number}", info.name),
                tag: info.tag.iter().map(|b| format!("{b:02x}")).collect(),
                priority,
                goes_on: goes_on.bits(),
                slot: members.len() as u32,
                sets: Vec::new(),
                shared: Vec::new(),
                maps: Default::default(),
                map_ids: Vec::new(),
                dev_bound: false,
                adopted: Some(Adopted {
                    program: *id,
                    frags: config.frags,
                    untyped,
                    replaces: true,
                }),
            };
            members.push(Proposed {
                opened: stand_in(&Arc::new(entry))?,
                is_new: false,
                shared: Vec::new(),
                inherited: ExistingMaps::new(),
                pin_path: None,
            });
        }
        let order: Vec<String> = members.iter().map(|m| m.opened.entry.name.clone()).collect();
        let proposal = Proposal {
            next_id: self.state.next_id.saturating_add(members.len() as u32),
            members,
            alone: false,
            counters: options.counters,
        };
        let mut prepared = self.prepare(proposal, options)?;
        prepared.takes_over = Some(dispatcher.id);
        if !prepared.state.members.iter().map(|m| &m.name).eq(&order) {
            prepared.warnings.push(format!(
                "programs of one priority run by name now; libxdp ran {}",
                order.join(", ")
            ));
        }
        if options.dry_run {
            return Ok(self.outcome(&prepared));
        }
        self.commit(prepared)?.ok_or(ChainError::Race { interface, tries: 1 })
    }

    /// Has adopted programs stand in for their functions of a chain that was built.
    pub(super) fn replace_functions(
        &self,
        built: &Built,
        state: &State,
    ) -> Result<Vec<Replacement>, ChainError> {
        let sys = self.host.sys();
        let mut made = Vec::new();
        for entry in &state.members {
            let Some(adopted) = entry.adopted.filter(|a| a.replaces) else { continue };
            let failed = |e: std::io::Error| ChainError::Adopt {
                interface: self.interface.name.clone(),
                problem: format!(
                    "`{}`, id {}, cannot become a part of the chain: {e}",
                    entry.name, adopted.program
                ),
            };
            let chain = built.program(&self.interface.name)?;
            let none = || std::io::Error::other("the kernel took the chain without types");
            let btf_id = chain.function_type(&entry.program).ok_or_else(none).map_err(failed)?;
            let program = sys
                .pinned(&self.files.replacement(entry.id))
                .or_else(|_| sys.fd_by_id(ObjectKind::Prog, adopted.program))
                .map_err(failed)?;
            let link = sys.replace_function(program.as_fd(), chain.fd().as_fd(), btf_id);
            made.push(Replacement { member: entry.id, program, link: link.map_err(failed)? });
        }
        Ok(made)
    }

    /// Pins them: libxdp takes its own pins for left over from now on, and removes them.
    pub(super) fn pin_replacements(&self, prepared: &Prepared) -> Result<(), ChainError> {
        let sys = self.host.sys();
        for Replacement { member, program, link } in &prepared.replacements {
            let dir = self.files.maps_of(*member);
            sys.make_dir(&dir).map_err(file("make directory", &dir))?;
            let path = self.files.replacement(*member);
            if !path.exists() {
                sys.pin(program.as_fd(), &path).map_err(file("pin the program as", &path))?;
            }
            let path = self.files.replacement_link(*member, prepared.state.program);
            sys.pin(link.as_fd(), &path).map_err(file("pin the link as", &path))?;
        }
        Ok(())
    }
}

/// The function that an adopted program stands in for.
pub(super) fn stand_in(entry: &Arc<Entry>) -> Result<Opened, ChainError> {
    let frags = entry.adopted.is_some_and(|a| a.frags);
    let object = replaceable(&entry.program, XDP_PASS, frags)?;
    Ok(Opened::made(entry, object))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(head: [u8; 4]) -> Vec<u8> {
        let mut bytes = head.to_vec();
        let actions = [1 << 5 | 1 << 2, 1 << 1].into_iter().chain([0; 8]);
        let priorities = [10u32, 50].into_iter().chain([0; 8]);
        bytes.extend(actions.chain(priorities).chain([0; 10]).flat_map(u32::to_ne_bytes));
        bytes
    }

    #[test]
    fn both_versions_of_the_configuration() {
        for (head, frags) in [([MAGIC, 2, 2, 1], true), ([2, 0, 0, 0], false)] {
            let found = Config::parse(&config(head)).unwrap();
            assert_eq!(found.frags, frags);
            assert_eq!(found.programs[0], (10, Verdicts::PASS));
            assert_eq!(found.programs[1], (50, Verdicts::NONE.with(1)));
        }
    }

    #[test]
    fn what_is_not_known_is_not_guessed() {
        assert_eq!(Config::parse(&config([MAGIC, 3, 2, 0])), None);
        assert_eq!(Config::parse(&config([11, 0, 0, 0])), None);
        assert_eq!(Config::parse(&config([MAGIC, 2, 2, 0])[..60]), None);
        assert_eq!(Config::parse(&[]), None);
    }
}
