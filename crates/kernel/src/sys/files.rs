//! Files that have to last, and locks: calls that change what the next process finds. They go through
//! [`Sys`](super::Sys) so that a test can end a process between any two of them.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;
use std::time::{Duration, Instant};

use super::{Command, Reply, Sys, unexpected};

/// How long to sleep between two looks at a lock that somebody else holds.
const LOCK_PAUSE: Duration = Duration::from_millis(5);

/// A call on files.
#[derive(Debug)]
pub enum FileCall<'a> {
    /// mkdir(2), parents included, mode 0700; one that is there is left as it is.
    MakeDir {
        /// The directory.
        path: &'a Path,
    },
    /// Makes or overwrites a file, mode 0600, and has it reach the disk (fsync(2)).
    Write {
        /// The file.
        path: &'a Path,
        /// All of it.
        contents: &'a [u8],
    },
    /// rename(2).
    Rename {
        /// From.
        from: &'a Path,
        /// To; what is there is replaced.
        to: &'a Path,
    },
    /// unlink(2); a file that is not there is no error.
    Remove {
        /// The file or pin.
        path: &'a Path,
    },
    /// rmdir(2); a directory that is not there is no error.
    RemoveDir {
        /// An empty directory.
        path: &'a Path,
    },
    /// flock(2), exclusive, of a file that is made if it is not there. Replies with the fd; closing it
    /// lets go of the lock.
    Lock {
        /// The file.
        path: &'a Path,
        /// How long to wait for whoever has it.
        wait: Duration,
    },
}

pub(super) fn call(call: FileCall<'_>) -> io::Result<Reply> {
    let done = |result: io::Result<()>| result.map(|()| Reply::Done);
    let or_gone = |result: io::Result<()>| match result {
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    };
    match call {
        FileCall::MakeDir { path } => {
            done(fs::DirBuilder::new().recursive(true).mode(0o700).create(path))
        }
        FileCall::Write { path, contents } => {
            let mut options = OpenOptions::new();
            let file = options.write(true).create(true).truncate(true).mode(0o600).open(path);
            done(file.and_then(|mut file| {
                file.write_all(contents)?;
                file.sync_all()
            }))
        }
        FileCall::Rename { from, to } => done(fs::rename(from, to)),
        FileCall::Remove { path } => done(or_gone(fs::remove_file(path))),
        FileCall::RemoveDir { path } => done(or_gone(fs::remove_dir(path))),
        FileCall::Lock { path, wait } => lock(path, wait).map(|file| Reply::Fd(file.into())),
    }
}

fn lock(path: &Path, wait: Duration) -> io::Result<File> {
    let mut options = OpenOptions::new();
    let file = options.write(true).create(true).truncate(false).mode(0o600).open(path)?;
    let start = Instant::now();
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::WouldBlock) if start.elapsed() < wait => {
                std::thread::sleep(LOCK_PAUSE);
            }
            Err(TryLockError::WouldBlock) => return Err(io::ErrorKind::WouldBlock.into()),
            Err(TryLockError::Error(e)) => return Err(e),
        }
    }
}

impl dyn Sys + '_ {
    fn file(&self, call: FileCall<'_>) -> io::Result<()> {
        match self.call(Command::File(call))? {
            Reply::Done => Ok(()),
            reply => unexpected(reply),
        }
    }

    /// [`FileCall::MakeDir`].
    pub fn make_dir(&self, path: &Path) -> io::Result<()> {
        self.file(FileCall::MakeDir { path })
    }

    /// [`FileCall::Write`].
    pub fn write_file(&self, path: &Path, contents: &[u8]) -> io::Result<()> {
        self.file(FileCall::Write { path, contents })
    }

    /// [`FileCall::Rename`].
    pub fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.file(FileCall::Rename { from, to })
    }

    /// [`FileCall::Remove`].
    pub fn remove_file(&self, path: &Path) -> io::Result<()> {
        self.file(FileCall::Remove { path })
    }

    /// [`FileCall::RemoveDir`].
    pub fn remove_dir(&self, path: &Path) -> io::Result<()> {
        self.file(FileCall::RemoveDir { path })
    }

    /// [`FileCall::Lock`]; `WouldBlock` when the time is over.
    pub fn lock_file(&self, path: &Path, wait: Duration) -> io::Result<std::os::fd::OwnedFd> {
        match self.call(Command::File(FileCall::Lock { path, wait }))? {
            Reply::Fd(fd) => Ok(fd),
            reply => unexpected(reply),
        }
    }
}
