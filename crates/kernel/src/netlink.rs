//! Interfaces and their XDP programs over netlink: rtnetlink(7) (`IFLA_XDP`, `linux/if_link.h`) and the
//! generic family `netdev` (`linux/netdev.h`). Written by hand, because what is needed is two requests
//! and ten attributes, the expected program among them, and a library would bring hundreds.
//!
//! What the kernel answers is looked at like any bytes from outside.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

use crate::sys::Sys;

/// `NETLINK_ROUTE`, `NETLINK_GENERIC`.
const ROUTE: i32 = 0;
const GENERIC: i32 = 16;
/// Message types.
const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
const RTM_NEWLINK: u16 = 16;
const RTM_GETLINK: u16 = 18;
const RTM_SETLINK: u16 = 19;
/// Flags of a request.
const NLM_F_REQUEST: u16 = 1;
const NLM_F_MULTI: u16 = 2;
const NLM_F_ACK: u16 = 4;
const NLM_F_DUMP: u16 = 0x300;
const NLM_F_ACK_TLVS: u16 = 0x200;
/// Attributes.
const NLA_F_NESTED: u16 = 0x8000;
const NLA_TYPE: u16 = 0x3fff;
const IFLA_IFNAME: u16 = 3;
const IFLA_MTU: u16 = 4;
const IFLA_EXT_MASK: u16 = 29;
const IFLA_XDP: u16 = 43;
const IFLA_XDP_FD: u16 = 1;
const IFLA_XDP_FLAGS: u16 = 3;
const IFLA_XDP_PROG_ID: u16 = 4;
const IFLA_XDP_DRV_PROG_ID: u16 = 5;
const IFLA_XDP_SKB_PROG_ID: u16 = 6;
const IFLA_XDP_HW_PROG_ID: u16 = 7;
const IFLA_XDP_EXPECTED_FD: u16 = 8;
const IFLA_XDP_ATTACHED: u16 = 2;
const NLMSGERR_ATTR_MSG: u16 = 1;
/// Of `IFLA_EXT_MASK`: an interface's counters are not asked for (Linux 4.4; older ones tell them).
const RTEXT_FILTER_SKIP_STATS: u32 = 8;
/// Flags of `IFLA_XDP_FLAGS` and of XDP links.
const XDP_FLAGS_UPDATE_IF_NOEXIST: u32 = 1;
const XDP_FLAGS_REPLACE: u32 = 16;
/// Bytes of `struct nlmsghdr`, `struct ifinfomsg`, `struct genlmsghdr`.
const HEADER: usize = 16;
const IFINFO: usize = 16;
const GENL: usize = 4;
/// Generic netlink: the controller, and the family `netdev`.
const GENL_ID_CTRL: u16 = 16;
const CTRL_CMD_GETFAMILY: u8 = 3;
const CTRL_ATTR_FAMILY_ID: u16 = 1;
const CTRL_ATTR_FAMILY_NAME: u16 = 2;
const NETDEV_CMD_DEV_GET: u8 = 1;
const NETDEV_A_DEV_IFINDEX: u16 = 1;
const NETDEV_A_DEV_XDP_FEATURES: u16 = 3;

/// Where in the driver a program runs (`XDP_FLAGS_*_MODE`).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum XdpMode {
    /// The driver where it can, else the stack.
    #[default]
    Unspecified,
    /// In the stack, on any interface.
    Skb,
    /// In the driver.
    Native,
    /// In the card.
    Hw,
}

impl XdpMode {
    /// As flags of netlink and of links.
    pub fn flags(self) -> u32 {
        match self {
            Self::Unspecified => 0,
            Self::Skb => 2,
            Self::Native => 4,
            Self::Hw => 8,
        }
    }

    /// `native`, `skb`, `hw`, `unspecified`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Unspecified => "unspecified",
            Self::Skb => "skb",
            Self::Native => "native",
            Self::Hw => "hw",
        }
    }
}

/// A network interface.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Interface {
    /// Its index in its namespace.
    pub index: u32,
    /// Its name.
    pub name: String,
    /// Bytes of the largest packet, link-layer header not counted.
    pub mtu: u32,
    /// Id of the XDP program in the stack, 0 for none.
    pub skb_program: u32,
    /// Id of the XDP program in the driver, 0 for none.
    pub native_program: u32,
    /// Id of the XDP program in the card, 0 for none.
    pub hw_program: u32,
}

impl Interface {
    /// The program and where it runs, with one in the card last; id 0 is none.
    pub fn program(&self) -> (XdpMode, u32) {
        match (self.native_program, self.skb_program, self.hw_program) {
            (0, 0, 0) => (XdpMode::Unspecified, 0),
            (0, 0, id) => (XdpMode::Hw, id),
            (0, id, _) => (XdpMode::Skb, id),
            (id, _, _) => (XdpMode::Native, id),
        }
    }

    /// Another program runs there now; [`XdpMode::Unspecified`] is nowhere.
    pub fn set_program(&mut self, mode: XdpMode, id: u32) {
        match mode {
            XdpMode::Unspecified => {}
            XdpMode::Skb => self.skb_program = id,
            XdpMode::Native => self.native_program = id,
            XdpMode::Hw => self.hw_program = id,
        }
    }
}

/// The kernel's answer was an error, or none that can be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NetlinkError {
    /// No socket, or nothing came.
    #[error("netlink: {0}")]
    Socket(#[from] io::Error),
    /// The kernel refused.
    #[error("{}{}", io::Error::from_raw_os_error(*.errno), words(.message))]
    Refused {
        /// The error number.
        errno: i32,
        /// What the kernel or the driver says beside it.
        message: Option<String>,
    },
    /// The answer is cut off or has not what was asked for.
    #[error("netlink: the kernel's answer cannot be read ({0})")]
    Answer(&'static str),
}

fn words(message: &Option<String>) -> String {
    message.as_ref().map(|m| format!(" (the kernel says: {m})")).unwrap_or_default()
}

impl NetlinkError {
    /// The error number, where the kernel gave one.
    pub fn errno(&self) -> Option<i32> {
        match self {
            Self::Refused { errno, .. } => Some(*errno),
            Self::Socket(e) => e.raw_os_error(),
            Self::Answer(_) => None,
        }
    }
}

/// All interfaces of the network namespace.
pub fn interfaces(sys: &dyn Sys) -> Result<Vec<Interface>, NetlinkError> {
    let request = link_question(NLM_F_DUMP, 0, &[]);
    let mut found = Vec::new();
    messages(&sys.netlink(ROUTE, &request)?, |kind, body| {
        if kind == RTM_NEWLINK {
            found.push(interface(body)?);
        }
        Ok(())
    })?;
    Ok(found)
}

/// The interface of this index; `None` when there is none.
pub fn by_index(sys: &dyn Sys, index: u32) -> Result<Option<Interface>, NetlinkError> {
    one(sys, &link_question(0, index, &[]))
}

/// The interface of this name; `None` when there is none.
pub fn by_name(sys: &dyn Sys, name: &str) -> Result<Option<Interface>, NetlinkError> {
    // IFNAMSIZ: 16 bytes with the zero byte.
    if name.is_empty() || name.len() > 15 || name.contains('\0') {
        return Ok(None);
    }
    let mut value = name.as_bytes().to_vec();
    value.push(0);
    one(sys, &link_question(0, 0, &attribute(IFLA_IFNAME, &value)))
}

fn one(sys: &dyn Sys, request: &[u8]) -> Result<Option<Interface>, NetlinkError> {
    let mut found = None;
    let result = messages(&sys.netlink(ROUTE, request)?, |kind, body| {
        if kind == RTM_NEWLINK {
            found = Some(interface(body)?);
        }
        Ok(())
    });
    match result {
        Err(NetlinkError::Refused { errno: libc::ENODEV, .. }) => Ok(None),
        Err(error) => Err(error),
        Ok(()) => found.map(Some).ok_or(NetlinkError::Answer("no interface in it")),
    }
}

/// What is expected to be attached when a program is set by [`set_xdp`].
#[derive(Clone, Copy, Debug)]
pub enum Expected<'a> {
    /// Nothing.
    Nothing,
    /// This program.
    Program(BorrowedFd<'a>),
}

/// Attaches a program, or with `None` detaches, provided that what is there is as expected; `EBUSY`
/// or `EEXIST` otherwise.
pub fn set_xdp(
    sys: &dyn Sys,
    index: u32,
    mode: XdpMode,
    program: Option<BorrowedFd<'_>>,
    expected: Expected<'_>,
) -> Result<(), NetlinkError> {
    let fd = program.map_or(-1, |p| p.as_raw_fd());
    let mut xdp = attribute(IFLA_XDP_FD, &fd.to_ne_bytes());
    let mut flags = mode.flags();
    match expected {
        Expected::Nothing => flags |= XDP_FLAGS_UPDATE_IF_NOEXIST,
        Expected::Program(old) => {
            flags |= XDP_FLAGS_REPLACE;
            xdp.extend(attribute(IFLA_XDP_EXPECTED_FD, &old.as_raw_fd().to_ne_bytes()));
        }
    }
    xdp.extend(attribute(IFLA_XDP_FLAGS, &flags.to_ne_bytes()));
    let attributes = attribute(IFLA_XDP | NLA_F_NESTED, &xdp);
    let request = link_request(RTM_SETLINK, NLM_F_ACK, index, &attributes);
    messages(&sys.netlink(ROUTE, &request)?, |_, _| Ok(()))
}

/// What an interface can do with XDP (`enum netdev_xdp_act`, a bitmap); `None` where the kernel does not
/// tell (before 6.3).
pub fn xdp_features(sys: &dyn Sys, index: u32) -> Result<Option<u64>, NetlinkError> {
    let name = attribute(CTRL_ATTR_FAMILY_NAME, b"netdev\0");
    let request = generic_request(GENL_ID_CTRL, CTRL_CMD_GETFAMILY, &name);
    let mut family = None;
    let asked = messages(&sys.netlink(GENERIC, &request)?, |_, body| {
        for (kind, value) in attributes(body.get(GENL..).unwrap_or_default()) {
            if kind == CTRL_ATTR_FAMILY_ID {
                family = value.first_chunk().map(|b| u16::from_ne_bytes(*b));
            }
        }
        Ok(())
    });
    let family = match (asked, family) {
        (Ok(()), Some(family)) => family,
        (Err(NetlinkError::Refused { errno: libc::ENOENT, .. }), _) => return Ok(None),
        (Err(error), _) => return Err(error),
        (Ok(()), None) => return Err(NetlinkError::Answer("no number of the family netdev")),
    };
    let index = attribute(NETDEV_A_DEV_IFINDEX, &index.to_ne_bytes());
    let request = generic_request(family, NETDEV_CMD_DEV_GET, &index);
    let mut features = None;
    messages(&sys.netlink(GENERIC, &request)?, |_, body| {
        for (kind, value) in attributes(body.get(GENL..).unwrap_or_default()) {
            if kind == NETDEV_A_DEV_XDP_FEATURES {
                features = value.first_chunk().map(|b| u64::from_ne_bytes(*b));
            }
        }
        Ok(())
    })?;
    Ok(features)
}

fn interface(body: &[u8]) -> Result<Interface, NetlinkError> {
    let short = NetlinkError::Answer("an interface is cut off");
    let index = body.get(4..8).and_then(<[u8]>::first_chunk);
    let mut found = Interface {
        index: index.map(|b| u32::from_ne_bytes(*b)).ok_or(short)?,
        ..Interface::default()
    };
    for (kind, value) in attributes(body.get(IFINFO..).unwrap_or_default()) {
        match kind {
            IFLA_IFNAME => found.name = text(value),
            IFLA_MTU => found.mtu = word(value),
            IFLA_XDP => xdp(value, &mut found),
            _ => {}
        }
    }
    Ok(found)
}

fn xdp(nested: &[u8], found: &mut Interface) {
    let mut attached = 0;
    let mut single = 0;
    for (kind, value) in attributes(nested) {
        match kind {
            IFLA_XDP_ATTACHED => attached = value.first().copied().unwrap_or(0),
            IFLA_XDP_PROG_ID => single = word(value),
            IFLA_XDP_DRV_PROG_ID => found.native_program = word(value),
            IFLA_XDP_SKB_PROG_ID => found.skb_program = word(value),
            IFLA_XDP_HW_PROG_ID => found.hw_program = word(value),
            _ => {}
        }
    }
    // Kernels before 4.19 give one id and say where it is (`XDP_ATTACHED_*`).
    match attached {
        1 if found.native_program == 0 => found.native_program = single,
        2 if found.skb_program == 0 => found.skb_program = single,
        3 if found.hw_program == 0 => found.hw_program = single,
        _ => {}
    }
}

fn word(value: &[u8]) -> u32 {
    value.first_chunk().map_or(0, |b| u32::from_ne_bytes(*b))
}

fn text(value: &[u8]) -> String {
    let end = value.iter().position(|&b| b == 0).unwrap_or(value.len());
    String::from_utf8_lossy(value.get(..end).unwrap_or_default()).into_owned()
}

/// Attributes by type; ends at the first that is cut off.
fn attributes(mut bytes: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    std::iter::from_fn(move || {
        let [a, b, c, d] = *bytes.first_chunk()?;
        let len = usize::from(u16::from_ne_bytes([a, b]));
        let value = bytes.get(4..len)?;
        bytes = bytes.get(len.next_multiple_of(4)..).unwrap_or_default();
        Some((u16::from_ne_bytes([c, d]) & NLA_TYPE, value))
    })
}

/// Looks at every message of an answer; an error in it is the result.
fn messages(
    mut bytes: &[u8],
    mut each: impl FnMut(u16, &[u8]) -> Result<(), NetlinkError>,
) -> Result<(), NetlinkError> {
    let short = || NetlinkError::Answer("a message is cut off");
    while let Some(&[a, b, c, d, e, f, g, h, ..]) = bytes.first_chunk::<HEADER>() {
        let len = u32::from_ne_bytes([a, b, c, d]) as usize;
        let kind = u16::from_ne_bytes([e, f]);
        let flags = u16::from_ne_bytes([g, h]);
        let body = bytes.get(HEADER..len).ok_or_else(short)?;
        match kind {
            NLMSG_DONE => return Ok(()),
            NLMSG_ERROR => return acknowledged(body, flags),
            _ => each(kind, body)?,
        }
        if flags & NLM_F_MULTI == 0 {
            return Ok(());
        }
        bytes = bytes.get(len.next_multiple_of(4)..).unwrap_or_default();
    }
    Err(NetlinkError::Answer("it has no end"))
}

/// `struct nlmsgerr`: the error number negated, the request's header, attributes.
fn acknowledged(body: &[u8], flags: u16) -> Result<(), NetlinkError> {
    let code = body.first_chunk().ok_or(NetlinkError::Answer("an error is cut off"))?;
    let errno = i32::from_ne_bytes(*code).saturating_neg();
    if errno == 0 {
        return Ok(());
    }
    // The request comes back whole before the attributes, unless it is capped.
    let request = body.get(4..8).map_or(0, word) as usize;
    let capped = flags & 0x100 != 0;
    let skip = 4 + if capped { HEADER } else { request.max(HEADER).next_multiple_of(4) };
    let message = match flags & NLM_F_ACK_TLVS {
        0 => None,
        _ => attributes(body.get(skip..).unwrap_or_default())
            .find(|(kind, _)| *kind == NLMSGERR_ATTR_MSG)
            .map(|(_, value)| text(value)),
    };
    Err(NetlinkError::Refused { errno, message })
}

/// Asks for an interface, or all of them.
fn link_question(flags: u16, index: u32, attributes: &[u8]) -> Vec<u8> {
    let mut all = attribute(IFLA_EXT_MASK, &RTEXT_FILTER_SKIP_STATS.to_ne_bytes());
    all.extend(attributes);
    link_request(RTM_GETLINK, flags, index, &all)
}

fn link_request(kind: u16, flags: u16, index: u32, attributes: &[u8]) -> Vec<u8> {
    let mut body = vec![0; 4];
    body.extend(index.to_ne_bytes());
    body.extend([0; 8]);
    body.extend(attributes);
    message(kind, flags, &body)
}

fn generic_request(family: u16, command: u8, attributes: &[u8]) -> Vec<u8> {
    let mut body = vec![command, 1, 0, 0];
    body.extend(attributes);
    message(family, 0, &body)
}

fn message(kind: u16, flags: u16, body: &[u8]) -> Vec<u8> {
    // Requests have a few dozen bytes.
    let mut out = ((HEADER + body.len()) as u32).to_ne_bytes().to_vec();
    out.extend(kind.to_ne_bytes());
    out.extend((NLM_F_REQUEST | flags).to_ne_bytes());
    out.extend(1u32.to_ne_bytes());
    out.extend(0u32.to_ne_bytes());
    out.extend(body);
    out
}

fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
    // A few dozen bytes.
    let mut out = ((4 + value.len()) as u16).to_ne_bytes().to_vec();
    out.extend(kind.to_ne_bytes());
    out.extend(value);
    out.resize(out.len().next_multiple_of(4), 0);
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::{Command, NetCall, Reply};
    use crate::sys::{RealSys, Scripted};

    fn answering(answer: Vec<u8>) -> Scripted {
        Scripted::new(move |command| match command {
            Command::Net(NetCall::Netlink { .. }) => Some(Ok(Reply::Bytes(answer.clone()))),
            _ => None,
        })
    }

    #[test]
    fn the_loopback_interface() {
        let lo = by_name(&RealSys as &dyn Sys, "lo").unwrap().unwrap();
        assert_eq!((lo.index, lo.name.as_str()), (1, "lo"));
        assert_eq!(by_index(&RealSys, 1).unwrap().unwrap().name, "lo");
        assert!(interfaces(&RealSys).unwrap().iter().any(|i| i.name == "lo"));
        assert_eq!(by_name(&RealSys, "nosuchinterface").unwrap(), None);
        assert_eq!(by_name(&RealSys, "a name that is too long").unwrap(), None);
        assert_eq!(by_index(&RealSys, u32::MAX >> 1).unwrap(), None);
    }

    #[test]
    fn errors_have_the_kernels_words() {
        let mut body = (-libc::EBUSY).to_ne_bytes().to_vec();
        body.extend(message(RTM_SETLINK, NLM_F_ACK, &[0; 16]));
        body.extend(attribute(NLMSGERR_ATTR_MSG, b"XDP program already attached\0"));
        let sys = answering(message(NLMSG_ERROR, NLM_F_ACK_TLVS, &body));
        let error = set_xdp(&sys, 1, XdpMode::Skb, None, Expected::Nothing).unwrap_err();
        assert_eq!(error.errno(), Some(libc::EBUSY));
        assert!(error.to_string().contains("already attached"), "{error}");
    }

    #[test]
    fn programs_by_mode() {
        let mut xdp = attribute(IFLA_XDP_ATTACHED, &[4]);
        xdp.extend(attribute(IFLA_XDP_SKB_PROG_ID, &7u32.to_ne_bytes()));
        xdp.extend(attribute(IFLA_XDP_HW_PROG_ID, &9u32.to_ne_bytes()));
        let mut body = link_request(0, 0, 3, &attribute(IFLA_XDP | NLA_F_NESTED, &xdp));
        let answer = message(RTM_NEWLINK, 0, &body.split_off(HEADER));
        let found = by_index(&answering(answer), 3).unwrap().unwrap();
        assert_eq!(found.program(), (XdpMode::Skb, 7));
        assert_eq!(found.hw_program, 9);
    }

    #[test]
    fn cut_answers_are_errors() {
        let one = message(RTM_NEWLINK, 0, &[0; 32]);
        for len in 0..one.len() {
            let _ = by_index(&answering(one[..len].to_vec()), 1).unwrap_err();
        }
        assert!(by_index(&answering(one), 1).is_ok());
        let mut all = message(RTM_NEWLINK, NLM_F_MULTI, &[0; 32]).repeat(2);
        all.extend(message(NLMSG_DONE, NLM_F_MULTI, &[0; 4]));
        for len in 0..all.len() {
            let _ = interfaces(&answering(all[..len].to_vec())).unwrap_err();
        }
        assert_eq!(interfaces(&answering(all)).unwrap().len(), 2);
    }
}
