//! A stand-in for the kernel, for tests: a script sees every call first and may answer it.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use super::{Command, FileCall, NetCall, Reply, Sys};

type Script = dyn Fn(&mut Command<'_>) -> Option<io::Result<Reply>> + Send + Sync;

/// A [`Sys`] that asks a script first and passes on to another one what the script leaves alone.
/// What is asked for is recorded.
pub struct Scripted {
    script: Box<Script>,
    files: BTreeMap<PathBuf, Vec<u8>>,
    behind: Option<Box<dyn Sys>>,
    calls: Mutex<Vec<&'static str>>,
}

impl std::fmt::Debug for Scripted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Scripted").finish_non_exhaustive()
    }
}

impl Scripted {
    /// With nothing behind it: what the script leaves alone fails with `ENOSYS`, files that are not
    /// given do not exist.
    pub fn new(
        script: impl Fn(&mut Command<'_>) -> Option<io::Result<Reply>> + Send + Sync + 'static,
    ) -> Self {
        Self {
            script: Box::new(script),
            files: BTreeMap::new(),
            behind: None,
            calls: Mutex::new(Vec::new()),
        }
    }

    /// Passes on to `behind` what the script leaves alone.
    pub fn before(mut self, behind: impl Sys + 'static) -> Self {
        self.behind = Some(Box::new(behind));
        self
    }

    /// Adds a file.
    pub fn with_file(mut self, path: &str, contents: impl Into<Vec<u8>>) -> Self {
        self.files.insert(path.into(), contents.into());
        self
    }

    /// Names of the calls so far, as the variants of [`Command`] are called.
    pub fn calls(&self) -> Vec<&'static str> {
        self.calls.lock().map(|c| c.clone()).unwrap_or_default()
    }

    /// How many calls of this name there were.
    pub fn count(&self, name: &str) -> usize {
        self.calls().iter().filter(|&&c| c == name).count()
    }
}

impl Sys for Scripted {
    fn call(&self, mut command: Command<'_>) -> io::Result<Reply> {
        if let Ok(mut calls) = self.calls.lock() {
            calls.push(command.name());
        }
        match ((self.script)(&mut command), &self.behind) {
            (Some(answer), _) => answer,
            (None, Some(behind)) => behind.call(command),
            (None, None) => Err(io::Error::from_raw_os_error(libc::ENOSYS)),
        }
    }

    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        match (self.files.get(path), &self.behind) {
            (Some(contents), _) => Ok(contents.clone()),
            (None, Some(behind)) => behind.read(path),
            (None, None) => Err(io::Error::from_raw_os_error(libc::ENOENT)),
        }
    }

    fn lines(&self, path: &Path, see: &mut dyn FnMut(&[u8]) -> bool) -> io::Result<()> {
        match (self.files.get(path), &self.behind) {
            (None, Some(behind)) => behind.lines(path, see),
            _ => {
                let contents = self.read(path)?;
                let _ = contents.split(|&b| b == b'\n').all(see);
                Ok(())
            }
        }
    }

    fn read_lasting(&self, path: &Path) -> io::Result<Cow<'static, [u8]>> {
        match (self.files.get(path), &self.behind) {
            (None, Some(behind)) => behind.read_lasting(path),
            _ => self.read(path).map(Cow::Owned),
        }
    }
}

impl Command<'_> {
    /// Name of the variant.
    pub fn name(&self) -> &'static str {
        match self {
            Self::MapCreate(_) => "MapCreate",
            Self::MapLookup { .. } => "MapLookup",
            Self::MapUpdate { .. } => "MapUpdate",
            Self::MapDelete { .. } => "MapDelete",
            Self::MapNextKey { .. } => "MapNextKey",
            Self::MapFreeze { .. } => "MapFreeze",
            Self::ProgLoad { .. } => "ProgLoad",
            Self::BtfLoad { .. } => "BtfLoad",
            Self::TestRun(_) => "TestRun",
            Self::ObjPin { .. } => "ObjPin",
            Self::ObjGet { .. } => "ObjGet",
            Self::MapInfo { .. } => "MapInfo",
            Self::ProgInfo { .. } => "ProgInfo",
            Self::BtfInfo { .. } => "BtfInfo",
            Self::BtfBlob { .. } => "BtfBlob",
            Self::NextId { .. } => "NextId",
            Self::FdById { .. } => "FdById",
            Self::FillMemory { .. } => "FillMemory",
            Self::LinkCreate { .. } => "LinkCreate",
            Self::LinkUpdate { .. } => "LinkUpdate",
            Self::LinkDetach { .. } => "LinkDetach",
            Self::LinkInfo { .. } => "LinkInfo",
            Self::Net(NetCall::Netlink { .. }) => "Netlink",
            Self::Net(NetCall::EnterNetNs { .. }) => "EnterNetNs",
            Self::File(FileCall::MakeDir { .. }) => "MakeDir",
            Self::File(FileCall::Write { .. }) => "Write",
            Self::File(FileCall::Rename { .. }) => "Rename",
            Self::File(FileCall::Remove { .. }) => "Remove",
            Self::File(FileCall::RemoveDir { .. }) => "RemoveDir",
            Self::File(FileCall::Lock { .. }) => "Lock",
            Self::Uname => "Uname",
            Self::PageSize => "PageSize",
            Self::RaiseMemlock => "RaiseMemlock",
            Self::FsMagic { .. } => "FsMagic",
        }
    }
}

/// A file descriptor that is no BPF object (`/dev/null`): what a script hands out for one.
pub fn fake_fd() -> io::Result<OwnedFd> {
    Ok(std::fs::File::open("/dev/null")?.into())
}
