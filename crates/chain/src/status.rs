//! What an interface runs, ours or not; and the counters of a chain.

use std::os::fd::AsFd;

use bpfweld::kernel::netlink::XdpMode;
use bpfweld::kernel::sys::ObjectKind;
use bpfweld::link::chain_root::{COUNTERS, Counter};

use crate::chain::dispatcher::LIBXDP_DISPATCHER;
use crate::chain::{Chain, MemberInfo};
use crate::error::ChainError;
use crate::state::file;

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

    /// How often each member returned each verdict, see
    /// [`COUNTERS`](bpfweld::link::chain_root::COUNTERS), over all CPUs; `None` when the chain does not
    /// count.
    pub fn counters(&self) -> Result<Option<Vec<(MemberInfo, Counter)>>, ChainError> {
        self.is_own()?;
        let state = self.state();
        if state.program == 0 {
            return Err(ChainError::Nothing { interface: self.interface().name.clone() });
        }
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
