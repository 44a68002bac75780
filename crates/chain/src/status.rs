//! What an interface runs, ours or not; and the counters of a chain.

use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;

use bpfweld::kernel::netlink::XdpMode;
use bpfweld::kernel::sys::{LinkInfo, ObjectKind};
use bpfweld::link::chain_root::{COUNTERS, Counter};

use crate::chain::{Chain, MemberInfo};
use crate::error::ChainError;
use crate::state::file;

/// Name of the dispatcher that libxdp puts on an interface.
const LIBXDP_DISPATCHER: &str = "xdp_dispatcher";
/// The environment variable that names libxdp's BPF file system, and the one it takes without.
const LIBXDP_BPFFS: (&str, &str) = ("LIBXDP_BPFFS", "/sys/fs/bpf");
/// Its dispatcher has so many slots.
const LIBXDP_SLOTS: u32 = 10;

/// A program as the kernel knows it.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct KernelProgram {
    /// Its id.
    pub id: u32,
    /// Its name, cut to 15 bytes.
    pub name: String,
    /// The kernel's hash of its instructions, in hexadecimal digits.
    pub tag: String,
}

/// What an interface runs.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Status {
    /// The program; `None` when there is none.
    pub program: Option<KernelProgram>,
    /// Where it runs.
    pub mode: XdpMode,
    /// Is it a chain, or a single program, of bpfweld's?
    pub ours: bool,
    /// The members of the chain; none of a program that runs alone.
    pub members: Vec<MemberInfo>,
    /// If it is libxdp's dispatcher: the programs in it.
    pub components: Vec<KernelProgram>,
}

impl Chain<'_> {
    /// What the interface runs.
    pub fn status(&self) -> Status {
        let (mode, id) = self.interface().program();
        let program = (id != 0).then(|| self.kernel_program(id));
        let ours = id != 0 && self.state().program == id;
        let members = match ours && !self.is_alone() {
            true => self.members(),
            false => Vec::new(),
        };
        let dispatcher = program.as_ref().is_some_and(|p| !ours && p.name == LIBXDP_DISPATCHER);
        let components = if dispatcher { self.replacements(id) } else { Vec::new() };
        let components = components.iter().map(|(id, _)| self.kernel_program(*id)).collect();
        Status { program, mode, ours, members, components }
    }

    fn kernel_program(&self, id: u32) -> KernelProgram {
        let sys = self.host().sys();
        let info = sys.fd_by_id(ObjectKind::Prog, id).and_then(|fd| sys.prog_info(fd.as_fd()));
        match info {
            Ok(info) => KernelProgram {
                id,
                name: info.name,
                tag: info.tag.iter().map(|b| format!("{b:02x}")).collect(),
            },
            // It has gone meanwhile, or this process may not look.
            Err(_) => KernelProgram { id, ..KernelProgram::default() },
        }
    }

    /// The programs that stand in for functions of a program (freplace), with their ids, by the order of
    /// their links.
    fn replacements(&self, of: u32) -> Vec<(u32, OwnedFd)> {
        let sys = self.host().sys();
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
        let dir = format!("dispatch-{}-{dispatcher}", self.interface().index);
        let dir = root.join("xdp").join(dir);
        let sys = self.host().sys();
        let open = |slot| {
            let program = sys.pinned(&dir.join(format!("prog{slot}-prog"))).ok()?;
            Some((sys.prog_info(program.as_fd()).ok()?.id, program))
        };
        (0..LIBXDP_SLOTS).map_while(open).collect()
    }

    /// How often each member returned each verdict, see
    /// [`COUNTERS`](bpfweld::link::chain_root::COUNTERS), over all CPUs; `None` when the chain does not
    /// count.
    pub fn counters(&self) -> Result<Option<Vec<(MemberInfo, Counter)>>, ChainError> {
        let state = self.state();
        let Some(pin) = state.counters_pin.as_ref().filter(|_| state.counters) else {
            return Ok(None);
        };
        let sys = self.host().sys();
        let path = self.files().maps_of(0).join(pin);
        let map = sys.pinned(&path).map_err(file("open the counters", &path))?;
        let cpus =
            bpfweld::kernel::maps::possible_cpus(sys).map_err(file("count CPUs for", &path))?;
        let mut all = Vec::new();
        for (entry, info) in state.members.iter().zip(self.members()) {
            let mut value = vec![0; size_of::<Counter>() * cpus as usize];
            sys.lookup(map.as_fd(), &entry.slot.to_ne_bytes(), &mut value)
                .map_err(file("read the counters", &path))?;
            let mut sums: Counter = [0; COUNTERS.len()];
            for (i, word) in value.as_chunks::<8>().0.iter().enumerate() {
                if let Some(sum) = sums.get_mut(i % COUNTERS.len()) {
                    *sum = sum.wrapping_add(u64::from_ne_bytes(*word));
                }
            }
            all.push((info, sums));
        }
        Ok(Some(all))
    }
}
