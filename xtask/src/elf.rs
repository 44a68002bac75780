//! Just enough ELF to give a section of a compiled object other contents.
//!
//! Only for fixtures: the input is what clang wrote a moment ago (ELF64, little endian). Reading
//! objects from anywhere else is the object crate's business.

use anyhow::{Context as _, Result, bail, ensure};

/// An object file in memory.
pub(crate) struct Elf {
    bytes: Vec<u8>,
}

struct Section {
    /// Offset of its header in the file.
    header: usize,
    offset: usize,
    size: usize,
    kind: u32,
    /// Of a relocation section: the index of the section that it is for.
    info: u32,
}

const SHT_REL: u32 = 9;

impl Elf {
    /// Takes a file that looks like ELF64, little endian.
    pub(crate) fn new(bytes: Vec<u8>) -> Result<Self> {
        ensure!(bytes.starts_with(b"\x7fELF\x02\x01"), "not a little-endian ELF64 file");
        Ok(Self { bytes })
    }

    /// The file.
    pub(crate) fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    /// Contents of a section.
    pub(crate) fn section(&self, name: &str) -> Result<&[u8]> {
        let (_, s) = self.find(name)?;
        self.bytes.get(s.offset..s.offset + s.size).context("section outside the file")
    }

    /// Gives a section new contents, which go to the end of the file. `moved` maps an offset in the
    /// old contents to where the same word is now; the section's relocations follow it.
    pub(crate) fn replace(
        &mut self,
        name: &str,
        contents: &[u8],
        moved: impl Fn(usize) -> Result<usize>,
    ) -> Result<()> {
        let (index, section) = self.find(name)?;
        self.bytes.resize(self.bytes.len().next_multiple_of(8), 0);
        let offset = self.bytes.len();
        self.bytes.extend_from_slice(contents);
        self.put64(section.header + 24, offset)?;
        self.put64(section.header + 32, contents.len())?;
        for other in 0..self.count()? {
            let rel = self.header(other)?;
            if rel.kind != SHT_REL || rel.info as usize != index {
                continue;
            }
            for at in (rel.offset..rel.offset + rel.size).step_by(16) {
                let new = moved(self.get64(at)?)?;
                self.put64(at, new)?;
            }
        }
        Ok(())
    }

    fn find(&self, name: &str) -> Result<(usize, Section)> {
        let names = self.header(self.get(0x3e, 2)?)?;
        for index in 0..self.count()? {
            let section = self.header(index)?;
            let at = names.offset + self.get(section.header, 4)?;
            let rest = self.bytes.get(at..).unwrap_or(&[]);
            if rest.starts_with(name.as_bytes()) && rest.get(name.len()) == Some(&0) {
                return Ok((index, section));
            }
        }
        bail!("no section {name}")
    }

    fn count(&self) -> Result<usize> {
        self.get(0x3c, 2)
    }

    fn header(&self, index: usize) -> Result<Section> {
        let header = self.get64(0x28)? + index * 64;
        Ok(Section {
            header,
            kind: u32::try_from(self.get(header + 4, 4)?)?,
            offset: self.get64(header + 24)?,
            size: self.get64(header + 32)?,
            info: u32::try_from(self.get(header + 44, 4)?)?,
        })
    }

    fn get(&self, at: usize, len: usize) -> Result<usize> {
        let bytes = self.bytes.get(at..at + len).context("the file ends too early")?;
        Ok(bytes.iter().rev().fold(0, |n, &b| n << 8 | usize::from(b)))
    }

    fn get64(&self, at: usize) -> Result<usize> {
        self.get(at, 8)
    }

    fn put64(&mut self, at: usize, value: usize) -> Result<()> {
        let to = self.bytes.get_mut(at..at + 8).context("the file ends too early")?;
        to.copy_from_slice(&(value as u64).to_le_bytes());
        Ok(())
    }
}
