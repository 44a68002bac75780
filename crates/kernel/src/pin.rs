//! Pinning a loaded set to a BPF file system, all of it or nothing.
//!
//! ```text
//! DIR/PROGRAM               each program
//! DIR/maps/INSTANCE/MAP     each map
//! DIR/MAP_link              the link of each struct_ops table that is in use by one
//! ```
//!
//! It is built under a temporary name beside DIR and renamed at the end. Whatever fails, everything
//! that was made is removed.

use std::collections::HashSet;
use std::fs;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::{Path, PathBuf};

use crate::loader::Loaded;
use crate::privilege::{Capability, Privilege};
use crate::sys::Sys;

/// `BPF_FS_MAGIC` (`linux/magic.h`).
const BPF_FS_MAGIC: u64 = 0xcafe_4a11;
/// Longest file name.
const NAME_MAX: usize = 255;

/// A pinned object.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Pin {
    /// Where.
    pub path: PathBuf,
    /// What.
    pub kind: PinKind,
    /// Name of the program or map in its object.
    pub name: String,
    /// Label of its instance.
    pub instance: String,
}

/// What is pinned.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum PinKind {
    /// A program.
    Program,
    /// A map.
    Map,
    /// The link of a struct_ops table.
    Link,
}

/// Why a set could not be pinned. Nothing is left behind.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PinError {
    /// The directory is there and something is in it.
    #[error("{} exists and is not empty; remove it or choose another directory", path.display())]
    Exists {
        /// The directory.
        path: PathBuf,
    },
    /// Something else than a directory is there.
    #[error("{} exists and is no directory", path.display())]
    NoDirectory {
        /// What is there.
        path: PathBuf,
    },
    /// Not on a BPF file system.
    #[error(
        "{} is not on a BPF file system; choose a directory below one, as a rule /sys/fs/bpf, or \
         mount one: mount -t bpf bpf {}",
        path.display(), mount_point.display()
    )]
    NoBpfFs {
        /// The directory asked for.
        path: PathBuf,
        /// Where one could be mounted.
        mount_point: PathBuf,
    },
    /// A name that no BPF file system takes.
    #[error("{}: the name has to be a plain one, without dots", path.display())]
    Name {
        /// The directory asked for.
        path: PathBuf,
    },
    /// EPERM.
    #[error("{0}")]
    Privilege(Privilege),
    /// A call failed.
    #[error("cannot {step} {}: {source}", path.display())]
    Call {
        /// What was tried.
        step: &'static str,
        /// On what.
        path: PathBuf,
        /// The error number.
        source: io::Error,
    },
}

impl PinError {
    /// The stable code, a section of `docs/errors.md`.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Privilege(_) => "E0301",
            Self::Exists { .. }
            | Self::NoDirectory { .. }
            | Self::NoBpfFs { .. }
            | Self::Name { .. } => "E0309",
            Self::Call { .. } => "E0310",
        }
    }
}

impl Loaded {
    /// Pins all programs, maps and links of struct_ops tables below `dir`, which must not exist or be empty. Missing parents are
    /// made. The pins, programs first.
    pub fn pin(&self, dir: &Path) -> Result<Vec<Pin>, PinError> {
        let sys = &*self.sys;
        // bpffs keeps dots for itself.
        let name = dir.file_name().and_then(|n| n.to_str()).filter(|n| !n.contains('.'));
        let name = name.ok_or_else(|| PinError::Name { path: dir.into() })?;
        let parent = match dir.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        check_free(dir)?;
        check_bpf_fs(sys, dir, parent)?;
        let mut made = Made::default();
        made.parents(parent)?;
        let work = made.work_dir(parent, name)?;
        let mut pins = Vec::new();
        self.pin_into(sys, &work, &mut made, &mut pins)?;
        // An empty directory in its place is replaced.
        fs::rename(&work, dir).map_err(|e| call("rename the new pins to", dir, e))?;
        made.keep();
        for pin in &mut pins {
            if let Ok(rest) = pin.path.strip_prefix(&work) {
                pin.path = dir.join(rest);
            }
        }
        Ok(pins)
    }

    fn pin_into(
        &self,
        sys: &dyn Sys,
        work: &Path,
        made: &mut Made,
        pins: &mut Vec<Pin>,
    ) -> Result<(), PinError> {
        let mut names = HashSet::from(["maps".to_owned()]);
        for program in self.programs() {
            let path = work.join(unique(program.name(), &mut names));
            made.pin(sys, program.fd().as_fd(), &path)?;
            pins.push(Pin {
                path,
                kind: PinKind::Program,
                name: program.name().into(),
                instance: program.instance().into(),
            });
        }
        for (map, link) in self.table_links() {
            let path = work.join(unique(&format!("{}_link", map.name()), &mut names));
            made.pin(sys, link.as_fd(), &path)?;
            pins.push(Pin {
                path,
                kind: PinKind::Link,
                name: map.name().into(),
                instance: map.label().into(),
            });
        }
        if self.maps().is_empty() {
            return Ok(());
        }
        let maps = work.join("maps");
        made.dir(&maps)?;
        let mut labels = HashSet::new();
        // (instance, its directory, names in it)
        let mut instances: Vec<(_, PathBuf, HashSet<String>)> = Vec::new();
        for map in self.maps() {
            let at = match instances.iter().position(|(i, _, _)| *i == map.instance()) {
                Some(at) => at,
                None => {
                    let dir = maps.join(unique(map.label(), &mut labels));
                    made.dir(&dir)?;
                    instances.push((map.instance(), dir, HashSet::new()));
                    instances.len() - 1
                }
            };
            let Some((_, dir, names)) = instances.get_mut(at) else { continue };
            let path = dir.join(unique(map.name(), names));
            made.pin(sys, map.fd().as_fd(), &path)?;
            pins.push(Pin {
                path,
                kind: PinKind::Map,
                name: map.name().into(),
                instance: map.label().into(),
            });
        }
        Ok(())
    }
}

/// What was made so far, in order; undone backwards.
#[derive(Default)]
struct Made(Vec<Step>);

enum Step {
    Dir(PathBuf),
    Pin(PathBuf),
}

impl Made {
    fn dir(&mut self, path: &Path) -> Result<(), PinError> {
        fs::create_dir(path).map_err(|e| call("make directory", path, e))?;
        self.0.push(Step::Dir(path.into()));
        Ok(())
    }

    fn parents(&mut self, parent: &Path) -> Result<(), PinError> {
        let mut missing = Vec::new();
        let mut at = parent;
        while !at.as_os_str().is_empty() && fs::symlink_metadata(at).is_err() {
            missing.push(at);
            let Some(up) = at.parent() else { break };
            at = up;
        }
        missing.into_iter().rev().try_for_each(|dir| self.dir(dir))
    }

    /// A directory of a name that nobody else has, beside the one wanted.
    fn work_dir(&mut self, parent: &Path, name: &str) -> Result<PathBuf, PinError> {
        let pid = std::process::id();
        let mut n = 0;
        loop {
            let short: String = name.chars().take(32).collect();
            let path = parent.join(format!("{short}_new_{pid}_{n}"));
            match fs::create_dir(&path) {
                Ok(()) => {
                    self.0.push(Step::Dir(path.clone()));
                    return Ok(path);
                }
                Err(e) if e.kind() == io::ErrorKind::AlreadyExists && n < 1000 => n += 1,
                Err(e) => return Err(call("make directory", &path, e)),
            }
        }
    }

    fn pin(&mut self, sys: &dyn Sys, fd: BorrowedFd<'_>, path: &Path) -> Result<(), PinError> {
        sys.pin(fd, path).map_err(|e| match e.raw_os_error() {
            Some(libc::EPERM) => {
                let what = format!("pin {}", path.display());
                PinError::Privilege(Privilege::find_out(sys, what, &[Capability::Bpf]))
            }
            _ => call("pin", path, e),
        })?;
        self.0.push(Step::Pin(path.into()));
        Ok(())
    }

    fn keep(&mut self) {
        self.0.clear();
    }
}

impl Drop for Made {
    fn drop(&mut self) {
        for step in self.0.drain(..).rev() {
            // Nothing more can be done about one that cannot be removed.
            let _ = match step {
                Step::Dir(path) => fs::remove_dir(path),
                Step::Pin(path) => fs::remove_file(path),
            };
        }
    }
}

fn call(step: &'static str, path: &Path, source: io::Error) -> PinError {
    PinError::Call { step, path: path.into(), source }
}

/// `dir` does not exist or is an empty directory.
fn check_free(dir: &Path) -> Result<(), PinError> {
    let meta = match fs::symlink_metadata(dir) {
        Ok(meta) => meta,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(e) => return Err(call("look at", dir, e)),
    };
    if !meta.is_dir() {
        return Err(PinError::NoDirectory { path: dir.into() });
    }
    match fs::read_dir(dir).map_err(|e| call("read", dir, e))?.next() {
        None => Ok(()),
        Some(_) => Err(PinError::Exists { path: dir.into() }),
    }
}

/// The nearest ancestor that exists is on a BPF file system.
fn check_bpf_fs(sys: &dyn Sys, dir: &Path, parent: &Path) -> Result<(), PinError> {
    let mut at = parent;
    while fs::metadata(at).is_err() {
        at = match at.parent() {
            Some(up) if !up.as_os_str().is_empty() => up,
            _ => Path::new("."),
        };
        if at == Path::new(".") {
            break;
        }
    }
    let magic = sys.fs_magic(at).map_err(|e| call("look at", at, e))?;
    if magic == BPF_FS_MAGIC {
        return Ok(());
    }
    let usual = Path::new("/sys/fs/bpf");
    let mount_point = if dir.starts_with(usual) { usual } else { at };
    Err(PinError::NoBpfFs { path: dir.into(), mount_point: mount_point.into() })
}

/// `name` as a file name on a BPF file system (no dots, no slashes), unlike all in `taken`.
fn unique(name: &str, taken: &mut HashSet<String>) -> String {
    let valid = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '+' | ':' | '@');
    let mut base: String = name.chars().map(|c| if valid(c) { c } else { '_' }).collect();
    base.truncate(NAME_MAX - 12); // ASCII; leaves room for a number
    if base.is_empty() {
        base.push('_');
    }
    let mut candidate = base.clone();
    let mut n: u32 = 2;
    while taken.contains(&candidate) {
        candidate = format!("{base}_{n}");
        n += 1;
    }
    taken.insert(candidate.clone());
    candidate
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_become_unique() {
        let mut taken = HashSet::from(["maps".to_owned()]);
        assert_eq!(unique("maps", &mut taken), "maps_2");
        assert_eq!(unique("dir/a.o", &mut taken), "dir_a_o");
        assert_eq!(unique("dir_a_o", &mut taken), "dir_a_o_2");
        assert_eq!(unique("dir.a.o", &mut taken), "dir_a_o_3");
        assert_eq!(unique("", &mut taken), "_");
        assert_eq!(unique("..", &mut taken), "__");
        assert!(unique(&"x".repeat(1000), &mut taken).len() <= NAME_MAX);
    }
}
