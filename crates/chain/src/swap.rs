//! The one step of a change that traffic sees: another program on the interface, provided that it still
//! runs what the change started from.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use bpfweld::kernel::netlink::{self, Expected, Interface, NetlinkError, XdpMode};
use bpfweld::kernel::sys::{LinkInfo, ObjectKind};
use bpfweld::kernel::{Feature, Sys};

use crate::error::ChainError;
use crate::host::{Chains, look, netlink_error};
use crate::state::{Files, file};

/// `BPF_XDP` of `enum bpf_attach_type`.
const ATTACH_XDP: u32 = 37;

/// How a swap ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Swapped {
    /// The interface runs the new program.
    Done,
    /// Somebody else changed the interface's program first; nothing was done.
    Lost,
}

/// The interface and its files.
pub(crate) struct Attachment<'a> {
    pub(crate) host: &'a Chains<'a>,
    pub(crate) files: &'a Files,
    pub(crate) interface: &'a Interface,
}

impl Attachment<'_> {
    fn sys(&self) -> &dyn Sys {
        self.host.sys()
    }

    /// The link through which this program is on the interface, pinned or not, as the kernel knows it.
    fn any_link(&self, program: u32) -> Option<OwnedFd> {
        let sys = self.sys();
        let ours = |info| self.is_of(info, program);
        let mut id = 0;
        while let Ok(Some(next)) = sys.next_id(ObjectKind::Link, id) {
            id = next;
            let Ok(link) = sys.fd_by_id(ObjectKind::Link, id) else { continue };
            if sys.link_info(link.as_fd()).is_ok_and(ours) {
                return Some(link);
            }
        }
        None
    }

    /// The pinned link, if this program is on the interface through it.
    fn pinned(&self, program: u32) -> Option<OwnedFd> {
        let link = self.sys().pinned(&self.files.link()).ok()?;
        let info = self.sys().link_info(link.as_fd()).ok()?;
        self.is_of(info, program).then_some(link)
    }

    fn is_of(&self, info: LinkInfo, program: u32) -> bool {
        info.link_type == LinkInfo::XDP
            && info.ifindex == self.interface.index
            && info.prog_id == program
    }

    /// Is this program on the interface through the pinned link?
    pub(crate) fn holds(&self, program: u32) -> bool {
        self.pinned(program).is_some()
    }

    /// Takes this program off, if it is on the interface through the pinned link. Without its pin, the
    /// kernel does so too, but some time after it: whoever comes next might still meet the program.
    pub(crate) fn let_go(&self, program: u32) {
        if let Some(link) = self.pinned(program) {
            // What cannot be detached is left to the kernel.
            let _ = self.sys().detach_link(link.as_fd());
        }
    }

    /// Puts the first program on an interface that has none. The mode that it runs in.
    pub(crate) fn attach(
        &self,
        program: BorrowedFd<'_>,
        mode: XdpMode,
    ) -> Result<Swapped, ChainError> {
        let sys = self.sys();
        if self.host.kernel.features().get(Feature::BpfLink) {
            match sys.create_link(Some(program), self.interface.index, ATTACH_XDP, mode.flags()) {
                Ok(link) => {
                    let path = self.files.link();
                    sys.pin(link.as_fd(), &path).map_err(file("pin the link as", &path))?;
                    return Ok(Swapped::Done);
                }
                // Links that do not know XDP (5.7 and 5.8): netlink says what else may be wrong.
                Err(e) if e.raw_os_error() == Some(libc_errno::EINVAL) => {}
                Err(e) => return self.refused(mode, 0, e.raw_os_error(), e.to_string()),
            }
        }
        let index = self.interface.index;
        match netlink::set_xdp(sys, index, mode, Some(program), Expected::Nothing) {
            Ok(()) => Ok(Swapped::Done),
            Err(e) => self.refused(mode, 0, e.errno(), e.to_string()),
        }
    }

    /// Puts a program in the place of another one, or none.
    pub(crate) fn replace(
        &self,
        old: u32,
        program: Option<BorrowedFd<'_>>,
        mode: XdpMode,
    ) -> Result<Swapped, ChainError> {
        let sys = self.sys();
        let old_fd = match sys.fd_by_id(ObjectKind::Prog, old) {
            Ok(fd) => fd,
            Err(e) => {
                let hint = match e.kind() {
                    io::ErrorKind::PermissionDenied => "; it takes CAP_SYS_ADMIN",
                    _ => "",
                };
                let problem = format!("cannot open program {old}, which runs there: {e}{hint}");
                return self.refused(mode, old, e.raw_os_error(), problem);
            }
        };
        let (index, expected) = (self.interface.index, Expected::Program(old_fd.as_fd()));
        let link = match self.pinned(old) {
            Some(link) => link,
            None => match netlink::set_xdp(sys, index, mode, program, expected) {
                Ok(()) => return Ok(Swapped::Done),
                // So it is where there is a link; its pin may be in another mount namespace. To look for
                // one first would mean to look at all links of the machine.
                Err(e) => match self.any_link(old) {
                    Some(link) => link,
                    None => return self.refused(mode, old, e.errno(), e.to_string()),
                },
            },
        };
        let done = match program {
            Some(program) => sys.update_link(link.as_fd(), program, old_fd.as_fd()),
            None => sys.detach_link(link.as_fd()),
        };
        match done {
            Ok(()) => Ok(Swapped::Done),
            Err(e) => self.refused(mode, old, e.raw_os_error(), e.to_string()),
        }
    }

    /// Pins the link of a program that came in the place of somebody else's, so that it stays when they let
    /// go of it. Where that fails, it stays theirs, and the program on the interface.
    pub(crate) fn hold(&self, program: u32) {
        let path = self.files.link();
        if !path.exists()
            && let Some(link) = self.any_link(program)
        {
            let _ = self.sys().pin(link.as_fd(), &path);
        }
    }

    /// The kernel said no: because of a race, if the interface does not run what it should.
    fn refused(
        &self,
        mode: XdpMode,
        expected: u32,
        errno: Option<i32>,
        problem: String,
    ) -> Result<Swapped, ChainError> {
        let (_, now) = look(self.sys(), self.interface)?.program();
        if now != expected {
            return Ok(Swapped::Lost);
        }
        let unsupported = errno == Some(libc_errno::EOPNOTSUPP);
        let problem = match unsupported {
            true => format!("the driver has no such mode ({problem})"),
            false => problem,
        };
        let (interface, mode) = (self.interface.name.clone(), mode.name());
        Err(ChainError::Attach { interface, mode, problem, unsupported })
    }
}

/// What an interface says that it can do with XDP; `None` on kernels that do not tell.
pub fn features(host: &Chains<'_>, interface: &str) -> Result<Option<u64>, ChainError> {
    let found = netlink::by_name(host.sys(), interface).map_err(netlink_error(interface))?;
    let found = found.ok_or_else(|| ChainError::NoInterface { interface: interface.into() })?;
    match netlink::xdp_features(host.sys(), found.index) {
        Ok(features) => Ok(features),
        Err(NetlinkError::Socket(e)) if e.kind() == io::ErrorKind::Unsupported => Ok(None),
        Err(error) => Err(netlink_error(interface)(error)),
    }
}

/// Error numbers (`asm-generic/errno.h`), the same on all machines but Alpha, MIPS, PA-RISC and SPARC,
/// which none of this runs on.
mod libc_errno {
    pub(super) const EINVAL: i32 = 22;
    pub(super) const EOPNOTSUPP: i32 = 95;
}
