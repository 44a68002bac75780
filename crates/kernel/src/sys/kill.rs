//! A test switch: end this process, as `kill -9` would, at the n-th system call.

#![allow(unsafe_code)] // kill(2) of this process itself.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::{Command, Reply, Sys};

/// On which side of the call the process ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum When {
    /// It was not made.
    Before,
    /// It was made, and nobody learns of it.
    After,
}

/// A [`Sys`] that passes every call on, and ends the process at one of them.
pub struct Killed {
    behind: Arc<dyn Sys>,
    at: u64,
    when: When,
    calls: AtomicU64,
}

impl Killed {
    /// Ends the process before or after call number `at`, counted from 1.
    pub fn new(behind: Arc<dyn Sys>, at: u64, when: When) -> Self {
        Self { behind, at, when, calls: AtomicU64::new(0) }
    }
}

impl Sys for Killed {
    fn call(&self, command: Command<'_>) -> io::Result<Reply> {
        let here = self.calls.fetch_add(1, Ordering::Relaxed) + 1 == self.at;
        if here && self.when == When::Before {
            die();
        }
        let reply = self.behind.call(command);
        if here {
            die();
        }
        reply
    }

    fn read(&self, path: &std::path::Path) -> io::Result<Vec<u8>> {
        self.behind.read(path)
    }
}

fn die() {
    // SAFETY: takes integers.
    unsafe { libc::kill(libc::getpid(), libc::SIGKILL) };
}
