//! Netlink and network namespaces of the running kernel.

// Sockets and setns(2) have no safe interface in std.
#![allow(unsafe_code)]

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use super::{NetCall, Reply};

/// Bytes taken from a socket at once, at least: the kernel fills at most so many of a dump.
const RECEIVE: usize = 32 << 10;
/// Most bytes of an answer: some 10,000 interfaces with all that is told of them.
const MAX_ANSWER: usize = 64 << 20;
/// Seconds to wait for the next part of an answer.
const TIMEOUT: libc::time_t = 10;
/// Bytes of a `struct nlmsghdr`.
const HEADER: usize = 16;
/// Message types that end an answer (`linux/netlink.h`).
const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
/// Flag of all messages of an answer that has several.
const NLM_F_MULTI: u16 = 2;

pub(super) fn call(call: NetCall<'_>) -> io::Result<Reply> {
    match call {
        NetCall::Netlink { protocol, request } => netlink(protocol, request).map(Reply::Bytes),
        NetCall::EnterNetNs { namespace } => {
            // SAFETY: takes integers; the fd is open.
            match unsafe { libc::setns(namespace.as_raw_fd(), libc::CLONE_NEWNET) } {
                0 => Ok(Reply::Done),
                _ => Err(io::Error::last_os_error()),
            }
        }
    }
}

fn netlink(protocol: i32, request: &[u8]) -> io::Result<Vec<u8>> {
    let socket = open(protocol)?;
    // SAFETY: the kernel reads `request.len()` bytes, which live through the call. Without an address
    // they go to the kernel.
    let sent = unsafe {
        libc::send(socket.as_raw_fd(), request.as_ptr().cast::<libc::c_void>(), request.len(), 0)
    };
    if sent < 0 {
        return Err(io::Error::last_os_error());
    }
    let mut answer: Vec<u8> = Vec::new();
    while answer.len() < MAX_ANSWER {
        let before = answer.len();
        answer.reserve(RECEIVE);
        let room = answer.spare_capacity_mut();
        // SAFETY: the kernel writes at most `room.len()` bytes to `room`.
        let got = unsafe {
            libc::recv(
                socket.as_raw_fd(),
                room.as_mut_ptr().cast::<libc::c_void>(),
                room.len(),
                libc::MSG_TRUNC,
            )
        };
        let Ok(got) = usize::try_from(got) else { return Err(io::Error::last_os_error()) };
        if got > room.len() {
            return Err(io::Error::other("a netlink message is longer than 32 KiB"));
        }
        // SAFETY: the kernel wrote `got` bytes behind those that were there.
        unsafe { answer.set_len(before + got) };
        if got == 0 || answer.get(before..).is_some_and(ends) {
            return Ok(answer);
        }
    }
    Err(io::Error::other("a netlink answer does not end"))
}

/// Is the end of an answer among these messages?
fn ends(mut bytes: &[u8]) -> bool {
    while let Some(head) = bytes.first_chunk::<HEADER>() {
        let [a, b, c, d, e, f, g, h, ..] = *head;
        let alone = u16::from_ne_bytes([g, h]) & NLM_F_MULTI == 0;
        if alone || matches!(u16::from_ne_bytes([e, f]), NLMSG_ERROR | NLMSG_DONE) {
            return true;
        }
        let len = (u32::from_ne_bytes([a, b, c, d]) as usize).next_multiple_of(4);
        match bytes.get(len..) {
            Some(rest) if len >= HEADER => bytes = rest,
            _ => return false,
        }
    }
    false
}

fn open(protocol: i32) -> io::Result<OwnedFd> {
    // SAFETY: takes integers.
    let fd =
        unsafe { libc::socket(libc::AF_NETLINK, libc::SOCK_RAW | libc::SOCK_CLOEXEC, protocol) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel just made this fd for us; nobody else owns it.
    let socket = unsafe { OwnedFd::from_raw_fd(fd) };
    // Older kernels have no words for their errors (4.12), which is no reason to fail.
    let _ = set_option(&socket, libc::SOL_NETLINK, libc::NETLINK_EXT_ACK, &1i32);
    let timeout = libc::timeval { tv_sec: TIMEOUT, tv_usec: 0 };
    set_option(&socket, libc::SOL_SOCKET, libc::SO_RCVTIMEO, &timeout)?;
    Ok(socket)
}

fn set_option<T>(socket: &OwnedFd, level: i32, option: i32, value: &T) -> io::Result<()> {
    // A few bytes.
    let len = size_of::<T>() as libc::socklen_t;
    // SAFETY: the kernel reads `len` bytes of `value`, which is that long.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            level,
            option,
            std::ptr::from_ref(value).cast::<libc::c_void>(),
            len,
        )
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
