//! Calls on the network: netlink, network namespaces; and links, which attach XDP programs.

use std::io;
use std::os::fd::BorrowedFd;

use super::{Command, Reply, Sys, unexpected};

/// A call on the network.
#[derive(Debug)]
pub enum NetCall<'a> {
    /// One request on a netlink(7) socket of its own. Replies with [`Reply::Bytes`]: all messages up to
    /// and including the one that ends the answer (`NLMSG_ERROR`, `NLMSG_DONE`, or one without
    /// `NLM_F_MULTI`).
    Netlink {
        /// `NETLINK_ROUTE`, `NETLINK_GENERIC`.
        protocol: i32,
        /// The request, with its `struct nlmsghdr`; asks for something, or for an acknowledgement.
        request: &'a [u8],
    },
    /// setns(2) with `CLONE_NEWNET`: this thread goes over to another network namespace.
    EnterNetNs {
        /// The namespace's file.
        namespace: BorrowedFd<'a>,
    },
}

/// Facts on a link (`struct bpf_link_info`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LinkInfo {
    /// `enum bpf_link_type`.
    pub link_type: u32,
    /// The kernel's id of it.
    pub id: u32,
    /// Id of its program.
    pub prog_id: u32,
    /// Of an XDP link: index of its interface; 0 when it is detached or the interface is gone.
    pub ifindex: u32,
    /// Of a tracing link (freplace included): id of the program or BTF object that it attaches to.
    pub target: u32,
}

impl LinkInfo {
    /// `BPF_LINK_TYPE_TRACING`: fentry and its like, and programs that replace functions.
    pub const TRACING: u32 = 2;
    /// `BPF_LINK_TYPE_XDP`.
    pub const XDP: u32 = 6;
}

impl dyn Sys + '_ {
    /// [`NetCall::Netlink`].
    pub fn netlink(&self, protocol: i32, request: &[u8]) -> io::Result<Vec<u8>> {
        match self.call(Command::Net(NetCall::Netlink { protocol, request }))? {
            Reply::Bytes(bytes) => Ok(bytes),
            reply => unexpected(reply),
        }
    }

    /// [`NetCall::EnterNetNs`].
    pub fn enter_net_ns(&self, namespace: BorrowedFd<'_>) -> io::Result<()> {
        match self.call(Command::Net(NetCall::EnterNetNs { namespace }))? {
            Reply::Done => Ok(()),
            reply => unexpected(reply),
        }
    }

    /// [`Command::LinkUpdate`].
    pub fn update_link(
        &self,
        link: BorrowedFd<'_>,
        program: BorrowedFd<'_>,
        old: BorrowedFd<'_>,
    ) -> io::Result<()> {
        match self.call(Command::LinkUpdate { link, program, old })? {
            Reply::Done => Ok(()),
            reply => unexpected(reply),
        }
    }

    /// [`Command::LinkDetach`].
    pub fn detach_link(&self, link: BorrowedFd<'_>) -> io::Result<()> {
        match self.call(Command::LinkDetach { link })? {
            Reply::Done => Ok(()),
            reply => unexpected(reply),
        }
    }

    /// [`Command::LinkInfo`].
    pub fn link_info(&self, fd: BorrowedFd<'_>) -> io::Result<LinkInfo> {
        match self.call(Command::LinkInfo { fd })? {
            Reply::Link(info) => Ok(info),
            reply => unexpected(reply),
        }
    }
}
