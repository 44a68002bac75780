//! Files that a run needs and that nobody keeps: packets, kconfig text, broken objects.

use std::fs;
use std::path::{Path, PathBuf};

use crate::Place;
use crate::directives::{Packets, Run, unhex};

/// A temporary directory with the files of a run; `$TMP` in its directives.
pub(crate) struct Scratch {
    dir: tempfile::TempDir,
    place: Place,
}

impl Scratch {
    /// Makes the files that the run's `file` directives describe.
    pub(crate) fn new(run: &Run, place: &Place) -> Result<Self, String> {
        let dir = tempfile::tempdir().map_err(|e| e.to_string())?;
        let scratch = Self { dir, place: place.clone() };
        for (name, how) in &run.files {
            let bytes = scratch.make(how).map_err(|e| format!("file {name} = {how}: {e}"))?;
            scratch.write(name, &bytes)?;
        }
        if !run.kconfig.is_empty() {
            scratch.write("kconfig", format!("{}\n", run.kconfig.join("\n")).as_bytes())?;
        }
        Ok(scratch)
    }

    /// The directory.
    pub(crate) fn path(&self) -> &Path {
        self.dir.path()
    }

    /// Replaces `$TMP`, `$CASES` and `$CASE` by directories.
    pub(crate) fn expand(&self, text: &str) -> String {
        text.replace("$TMP", &self.dir.path().to_string_lossy())
            .replace("$CASES", &self.place.cases.to_string_lossy())
            .replace("$CASE", &self.place.source.to_string_lossy())
    }

    /// The `--packet` and `--pcap` options of a run.
    pub(crate) fn packet_args(&self, run: &Run) -> Result<Vec<String>, String> {
        let mut args = Vec::new();
        for (i, packets) in run.packets.iter().enumerate() {
            match packets {
                Packets::Capture(name) => {
                    let file = self.place.cases.join("captures").join(name);
                    args.extend(["--pcap".into(), file.to_string_lossy().into_owned()]);
                }
                Packets::Frame { bytes, times } => {
                    let file = self.write(&format!("frame{i}"), bytes)?;
                    for _ in 0..*times {
                        args.extend(["--packet".into(), file.to_string_lossy().into_owned()]);
                    }
                }
            }
        }
        Ok(args)
    }

    fn write(&self, name: &str, bytes: &[u8]) -> Result<PathBuf, String> {
        let path = self.dir.path().join(name);
        fs::write(&path, bytes).map_err(|e| format!("{}: {e}", path.display()))?;
        Ok(path)
    }

    /// `empty`, `text WORDS`, `hex BYTES`, `copy FILE`, `cut FILE LENGTH`, `set FILE OFFSET BYTES`,
    /// `header FILE SECTION FIELD VALUE` (a field of a section header). FILE is one of the case's
    /// objects; a negative LENGTH or OFFSET counts from the end.
    fn make(&self, how: &str) -> Result<Vec<u8>, String> {
        let words: Vec<&str> = how.split_whitespace().collect();
        let object = |name: &str| {
            let path = self.place.objects.join(name);
            fs::read(&path).map_err(|e| format!("{}: {e}", path.display()))
        };
        match words.as_slice() {
            ["empty"] => Ok(Vec::new()),
            ["text", ..] => Ok(how["text".len()..].trim().as_bytes().to_vec()),
            ["hex", ..] => unhex(&how["hex".len()..]),
            ["copy", file] => object(file),
            ["cut", file, length] => {
                let mut bytes = object(file)?;
                let length = place_in(&bytes, length)?;
                bytes.truncate(length);
                Ok(bytes)
            }
            ["set", file, offset, value] => {
                let mut bytes = object(file)?;
                let offset = place_in(&bytes, offset)?;
                put(&mut bytes, offset, &unhex(value)?)?;
                Ok(bytes)
            }
            ["header", file, section, field, value] => {
                let mut bytes = object(file)?;
                let header = section_header(&bytes, section)?;
                // Offsets in `Elf64_Shdr`.
                let (at, len) = match *field {
                    "type" => (4, 4),
                    "offset" => (24, 8),
                    "size" => (32, 8),
                    "link" => (40, 4),
                    "info" => (44, 4),
                    "entsize" => (56, 8),
                    _ => return Err(format!("no field {field}")),
                };
                let value = number(value)? as u64;
                put(&mut bytes, header + at, &value.to_le_bytes()[..len])?;
                Ok(bytes)
            }
            // A word in a section: `patch FILE SECTION OFFSET BYTES`.
            ["patch", file, section, offset, value] => {
                let mut bytes = object(file)?;
                let header = section_header(&bytes, section)?;
                let start = u64::from_le_bytes(bytes[header + 24..header + 32].try_into().unwrap());
                let offset = start as usize + number(offset)? as usize;
                put(&mut bytes, offset, &unhex(value)?)?;
                Ok(bytes)
            }
            _ => Err("unknown way to make a file".into()),
        }
    }
}

fn number(text: &str) -> Result<i64, String> {
    let parsed = match text.strip_prefix("0x") {
        Some(hex) => i64::from_str_radix(hex, 16),
        None => text.parse(),
    };
    parsed.map_err(|_| format!("no number: {text}"))
}

fn place_in(bytes: &[u8], text: &str) -> Result<usize, String> {
    let n = number(text)?;
    let at = if n < 0 { bytes.len() as i64 + n } else { n };
    usize::try_from(at).map_err(|_| format!("{text} is outside the file"))
}

fn put(bytes: &mut [u8], at: usize, value: &[u8]) -> Result<(), String> {
    let to = bytes.get_mut(at..at + value.len()).ok_or("outside the file")?;
    to.copy_from_slice(value);
    Ok(())
}

/// Offset of the header of a section of a sound ELF64 file.
fn section_header(bytes: &[u8], name: &str) -> Result<usize, String> {
    let half = |at: usize| u16::from_le_bytes(bytes[at..at + 2].try_into().unwrap()) as usize;
    let word = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap()) as usize;
    let long = |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap()) as usize;
    let headers = long(0x28);
    let names = long(headers + half(0x3e) * 64 + 24);
    (0..half(0x3c))
        .map(|i| headers + i * 64)
        .find(|&h| {
            let rest = &bytes[names + word(h)..];
            rest.starts_with(name.as_bytes()) && rest[name.len()] == 0
        })
        .ok_or_else(|| format!("no section {name}"))
}
