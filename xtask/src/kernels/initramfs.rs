//! Writes an initramfs: a cpio archive in the "newc" format that the kernel unpacks into its root file
//! system (Linux, `Documentation/driver-api/early-userspace/buffer-format.rst`).
//!
//! Written here so that no root and no mknod is needed for the one device node.

use std::collections::BTreeSet;
use std::io::Write;
use std::path::Path;

use anyhow::{Context as _, Result};

/// File type bits of `st_mode`.
const DIRECTORY: u32 = 0o040_000;
const CHARACTER_DEVICE: u32 = 0o020_000;
const REGULAR: u32 = 0o100_000;

/// An archive being written. Paths are absolute, as the guest will see them; directories above them are
/// made as needed.
pub(super) struct Archive<W: Write> {
    out: W,
    written: usize,
    inode: u32,
    directories: BTreeSet<String>,
}

impl<W: Write> Archive<W> {
    /// An empty one.
    pub(super) fn new(out: W) -> Self {
        Self { out, written: 0, inode: 0, directories: BTreeSet::new() }
    }

    /// A directory.
    pub(super) fn directory(&mut self, path: &str) -> Result<()> {
        let path = path.trim_matches('/');
        if path.is_empty() || !self.directories.insert(path.to_string()) {
            return Ok(());
        }
        self.entry(path, DIRECTORY | 0o755, (0, 0), &[])
    }

    /// A regular file.
    pub(super) fn file(&mut self, path: &str, mode: u32, bytes: &[u8]) -> Result<()> {
        self.entry(path, REGULAR | mode, (0, 0), bytes)
    }

    /// A copy of a file of this machine.
    pub(super) fn copy(&mut self, from: &Path, to: &str, mode: u32) -> Result<()> {
        let bytes = std::fs::read(from).with_context(|| from.display().to_string())?;
        self.file(to, mode, &bytes)
    }

    /// A copy of a directory with all below it.
    pub(super) fn copy_tree(&mut self, from: &Path, to: &str) -> Result<()> {
        self.directory(to)?;
        let mut entries = std::fs::read_dir(from)
            .and_then(|dir| dir.collect::<Result<Vec<_>, _>>())
            .with_context(|| from.display().to_string())?;
        entries.sort_by_key(std::fs::DirEntry::file_name);
        for entry in entries {
            let to = format!("{to}/{}", entry.file_name().to_string_lossy());
            if entry.path().is_dir() {
                self.copy_tree(&entry.path(), &to)?;
            } else {
                self.copy(&entry.path(), &to, 0o644)?;
            }
        }
        Ok(())
    }

    /// A character device.
    pub(super) fn device(&mut self, path: &str, major: u32, minor: u32) -> Result<()> {
        self.entry(path, CHARACTER_DEVICE | 0o600, (major, minor), &[])
    }

    /// Ends the archive.
    pub(super) fn finish(mut self) -> Result<W> {
        self.header("TRAILER!!!", 0, (0, 0), 0)?;
        self.out.flush()?;
        Ok(self.out)
    }

    fn entry(&mut self, path: &str, mode: u32, device: (u32, u32), bytes: &[u8]) -> Result<()> {
        let path = path.trim_matches('/');
        if let Some((above, _)) = path.rsplit_once('/') {
            self.directory(above)?;
        }
        self.header(path, mode, device, bytes.len())?;
        self.put(bytes)?;
        self.pad()
    }

    /// Thirteen fields of eight hexadecimal digits behind a magic number, then the name; both header
    /// with name and contents end at a multiple of four bytes.
    fn header(&mut self, name: &str, mode: u32, device: (u32, u32), len: usize) -> Result<()> {
        self.inode += 1;
        let len = u32::try_from(len).context("a file is too large for an initramfs")?;
        let name_len = u32::try_from(name.len() + 1)?;
        let links = 1;
        let fields = [self.inode, mode, 0, 0, links, 0, len, 0, 0, device.0, device.1, name_len, 0];
        let mut text = String::from("070701");
        for field in fields {
            text += &format!("{field:08X}");
        }
        self.put(text.as_bytes())?;
        self.put(name.as_bytes())?;
        self.put(&[0])?;
        self.pad()
    }

    fn put(&mut self, bytes: &[u8]) -> Result<()> {
        self.out.write_all(bytes)?;
        self.written += bytes.len();
        Ok(())
    }

    fn pad(&mut self) -> Result<()> {
        let missing = self.written.next_multiple_of(4) - self.written;
        self.put(&[0; 3][..missing])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Name, mode and contents of each entry, read back.
    fn read(mut bytes: &[u8]) -> Vec<(String, u32, Vec<u8>)> {
        let mut entries = Vec::new();
        loop {
            assert_eq!(&bytes[..6], b"070701");
            let field = |i: usize| {
                let digits = std::str::from_utf8(&bytes[6 + i * 8..14 + i * 8]).unwrap();
                u32::from_str_radix(digits, 16).unwrap()
            };
            let (mode, len, name_len) = (field(1), field(6) as usize, field(11) as usize);
            let name = String::from_utf8(bytes[110..110 + name_len - 1].to_vec()).unwrap();
            if name == "TRAILER!!!" {
                return entries;
            }
            let start = (110 + name_len).next_multiple_of(4);
            entries.push((name, mode, bytes[start..start + len].to_vec()));
            bytes = &bytes[(start + len).next_multiple_of(4)..];
        }
    }

    #[test]
    fn what_is_written_is_read_back() {
        let mut archive = Archive::new(Vec::new());
        archive.file("/a/b/odd", 0o755, b"12345").unwrap();
        archive.file("/a/empty", 0o644, b"").unwrap();
        archive.device("/dev/console", 5, 1).unwrap();
        let found = read(&archive.finish().unwrap());
        let wanted = [
            ("a", 0o040_755, ""),
            ("a/b", 0o040_755, ""),
            ("a/b/odd", 0o100_755, "12345"),
            ("a/empty", 0o100_644, ""),
            ("dev", 0o040_755, ""),
            ("dev/console", 0o020_600, ""),
        ]
        .map(|(name, mode, text)| (name.to_string(), mode, text.as_bytes().to_vec()));
        assert_eq!(found, wanted);
    }
}
