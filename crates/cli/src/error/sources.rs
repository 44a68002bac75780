//! Source files on disk, for the lines around one that line info names.
//!
//! Names of files come from objects, which anybody may have made, and the command often runs as root:
//! only regular files with the ending of a source, of bounded size, are opened, and their lines are
//! shown only where the one that line info quotes stands at its place. That also tells a file that
//! was changed since.

use std::collections::HashMap;
use std::fs::{self, OpenOptions};
use std::io::Read as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use bpfweld::link::SourceLine;

/// Bytes of the longest source that is read.
const LONGEST: u64 = 4 << 20;
/// Files that are looked at in one run of the command.
const MOST_FILES: usize = 64;
/// Lines shown on either side of the one that it is about.
const AROUND: usize = 2;
/// Endings of sources that compile to BPF.
const ENDINGS: [&str; 9] = ["c", "h", "cc", "cpp", "cxx", "hh", "hpp", "inc", "rs"];

/// Where sources are looked for.
#[derive(Debug, Default)]
pub(crate) struct Sources {
    dirs: Vec<PathBuf>,
    read: HashMap<PathBuf, Option<Vec<String>>>,
}

/// A line with its neighbours.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Excerpt {
    /// Number of the first line.
    pub(super) first: usize,
    /// The lines.
    pub(super) lines: Vec<String>,
}

impl Sources {
    /// Looks in none but what line info itself says. For output that shall not depend on the disk.
    pub(crate) fn none() -> Self {
        Self::default()
    }

    /// Relative names are looked for in the working directory, then beside each of `objects`.
    pub(crate) fn beside<'a>(objects: impl IntoIterator<Item = &'a Path>) -> Self {
        let mut dirs = vec![PathBuf::new()];
        for object in objects {
            let dir = object.parent().unwrap_or(Path::new("")).to_owned();
            if !dirs.contains(&dir) {
                dirs.push(dir);
            }
        }
        Self { dirs, read: HashMap::new() }
    }

    /// The line with those around it, from the file if it is there and unchanged, else from line info.
    /// `None` if neither has it.
    pub(super) fn excerpt(&mut self, at: &SourceLine) -> Option<Excerpt> {
        let quoted = at.text.lines().next().unwrap_or_default();
        let number = at.line as usize;
        if quoted.trim().is_empty() || number == 0 {
            return None;
        }
        for path in self.candidates(Path::new(&at.file)) {
            let Some(lines) = self.lines(&path) else { continue };
            if lines.get(number - 1).is_some_and(|line| line.trim() == quoted.trim()) {
                let mut first = number.saturating_sub(AROUND).max(1);
                let mut last = (number + AROUND).min(lines.len());
                let blank = |at: usize| lines[at - 1].trim().is_empty();
                while first < number && blank(first) {
                    first += 1;
                }
                while last > number && blank(last) {
                    last -= 1;
                }
                return Some(Excerpt { first, lines: lines[first - 1..last].to_vec() });
            }
        }
        Some(Excerpt { first: number, lines: vec![quoted.to_owned()] })
    }

    fn candidates(&self, file: &Path) -> Vec<PathBuf> {
        let name = file.file_name().map(Path::new);
        let mut paths: Vec<PathBuf> = Vec::new();
        for dir in &self.dirs {
            for path in [Some(file), name].into_iter().flatten().map(|file| dir.join(file)) {
                if !paths.contains(&path) {
                    paths.push(path);
                }
            }
        }
        paths
    }

    fn lines(&mut self, path: &Path) -> Option<&[String]> {
        if !self.read.contains_key(path) {
            if self.read.len() >= MOST_FILES {
                return None;
            }
            self.read.insert(path.to_owned(), read(path));
        }
        self.read.get(path)?.as_deref()
    }
}

fn read(path: &Path) -> Option<Vec<String>> {
    let ending = path.extension()?.to_str()?;
    if !ENDINGS.contains(&ending) {
        return None;
    }
    // Opening a device can do something; it is looked at before.
    let fits = |meta: &fs::Metadata| meta.is_file() && meta.len() <= LONGEST;
    if !fits(&fs::metadata(path).ok()?) {
        return None;
    }
    // Should it have become a FIFO since, opening does not wait for somebody who writes.
    let file = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(path).ok()?;
    if !fits(&file.metadata().ok()?) {
        return None;
    }
    let mut bytes = Vec::new();
    file.take(LONGEST).read_to_end(&mut bytes).ok()?;
    Some(String::from_utf8_lossy(&bytes).lines().map(str::to_owned).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(file: &str, line: u32, text: &str) -> SourceLine {
        SourceLine { file: file.into(), line, column: 1, text: text.into() }
    }

    #[test]
    fn neighbours_come_from_a_file_that_is_unchanged() {
        let dir = tempfile::tempdir().unwrap();
        let object = dir.path().join("x.o");
        fs::write(dir.path().join("x.c"), "one\ntwo\n\tthree\nfour\nfive\nsix\n").unwrap();
        let excerpt = |line| Sources::beside([object.as_path()]).excerpt(&line);
        let found = excerpt(at("x.c", 3, "\tthree")).unwrap();
        assert_eq!(found.first, 1);
        assert_eq!(found.lines, ["one", "two", "\tthree", "four", "five"]);
        // Compiled elsewhere.
        let found = excerpt(at("/nowhere/at/all/x.c", 6, "six")).unwrap();
        assert_eq!((found.first, found.lines.len()), (4, 3));
        // Changed since, gone, without that line.
        for (file, line) in [("x.c", 2), ("y.c", 3), ("x.c", 99)] {
            let found = excerpt(at(file, line, "three")).unwrap();
            assert_eq!(found, Excerpt { first: line as usize, lines: vec!["three".into()] });
        }
        assert_eq!(excerpt(at("x.c", 3, "")), None);
        assert_eq!(excerpt(at("x.c", 0, "three")), None);
    }

    #[test]
    fn only_regular_sources_of_bounded_size_are_read() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        fs::write(path("shadow"), "secret").unwrap();
        assert_eq!(read(&path("shadow")), None);
        let status = std::process::Command::new("mkfifo").arg(path("fifo.c")).status().unwrap();
        assert!(status.success());
        assert_eq!(read(&path("fifo.c")), None);
        fs::create_dir(path("dir.c")).unwrap();
        assert_eq!(read(&path("dir.c")), None);
        fs::File::create(path("long.c")).unwrap().set_len(LONGEST + 1).unwrap();
        assert_eq!(read(&path("long.c")), None);
        std::os::unix::fs::symlink("/dev/zero", path("zero.c")).unwrap();
        assert_eq!(read(&path("zero.c")), None);
        fs::write(path("odd.c"), b"\xff\n").unwrap();
        assert_eq!(read(&path("odd.c")).unwrap(), ["\u{fffd}"]);
    }
}
