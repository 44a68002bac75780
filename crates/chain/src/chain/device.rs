//! Programs that are loaded for one device: bound to the interface, all or none; or one for its card.

use bpfweld::kernel::netlink::{self, XdpMode};
use bpfweld::kernel::{Device, LoadError};

use super::{Chain, Proposed};
use crate::error::ChainError;

/// `NETDEV_XDP_ACT_HW_OFFLOAD` (`linux/netdev.h`).
const HW_OFFLOAD: u64 = 1 << 4;
/// Error numbers (`asm-generic/errno.h`).
const EINVAL: i32 = 22;
const EOPNOTSUPP: i32 = 95;

impl Chain<'_> {
    /// The device that the programs are to be loaded for, if it is one.
    pub(super) fn device(
        &self,
        members: &[Proposed],
        mode: XdpMode,
    ) -> Result<Option<Device>, ChainError> {
        let (interface, index) = (self.interface.name.clone(), self.interface.index);
        if mode == XdpMode::Hw {
            if members.len() > 1 {
                return Err(ChainError::Hardware { interface, count: members.len() });
            }
            // Where the kernel does not tell (before 6.3), it refuses in its own words.
            let told = netlink::xdp_features(self.host.sys(), index);
            if told.is_ok_and(|f| f.is_some_and(|features| features & HW_OFFLOAD == 0)) {
                let problem = "the kernel says so (NETDEV_XDP_ACT_HW_OFFLOAD: no)".to_owned();
                return Err(ChainError::Device { interface, what: FOR_THE_CARD, problem });
            }
            return Ok(Some(Device::Offload(index)));
        }
        let with = |bound: bool| {
            let found = members.iter().find(|m| m.opened.entry.dev_bound == bound);
            found.map(|m| m.opened.entry.name.clone())
        };
        match (with(true), with(false)) {
            (Some(bound), Some(other)) => Err(ChainError::Mixed { interface, bound, other }),
            (Some(program), None) if mode == XdpMode::Skb => {
                Err(ChainError::BoundMode { interface, program })
            }
            (Some(_), None) => Ok(Some(Device::Bound(index))),
            (None, _) => Ok(None),
        }
    }

    /// What the kernel says about a device that it does not load for is an error number.
    pub(super) fn device_refused(&self, device: Option<Device>, error: ChainError) -> ChainError {
        let Some(device) = device else { return error };
        let what = match device {
            Device::Bound(_) => "bound to the interface",
            Device::Offload(_) => FOR_THE_CARD,
        };
        let problem = match (&error, device) {
            // Before the verifier had a word in it.
            (ChainError::Load(LoadError::Program { source, .. }), _)
                if matches!(source.raw_os_error(), Some(EINVAL | EOPNOTSUPP)) =>
            {
                source.to_string()
            }
            (ChainError::Load(LoadError::Map { .. }), Device::Offload(_)) => error.to_string(),
            _ => return error,
        };
        ChainError::Device { interface: self.interface.name.clone(), what, problem }
    }
}

const FOR_THE_CARD: &str = "for the card (hw mode)";
