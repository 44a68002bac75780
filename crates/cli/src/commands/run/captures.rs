//! What `--pcap-out` writes: one capture per verdict, of the packets as they left the program.
//!
//! Format: draft-ietf-opsawg-pcap, nanoseconds, little-endian.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use bpfweld::kernel::Verdict;

use crate::capture::Captured;
use crate::error::Failure;

/// Magic number of captures that count nanoseconds.
const MAGIC: u32 = 0xa1b2_3c4d;
/// The longest packet (`MAXIMUM_SNAPLEN` of libpcap), and link type Ethernet.
const SNAP_LEN: u32 = 256 << 10;
const ETHERNET: u32 = 1;

/// The captures that are being written.
pub(super) struct Captures {
    dir: PathBuf,
    files: BTreeMap<u32, (PathBuf, BufWriter<File>)>,
}

impl Captures {
    /// Into a directory, which is made if it is not there.
    pub(super) fn new(dir: &Path) -> Result<Self, Failure> {
        fs::create_dir_all(dir).map_err(|e| failed(dir, &e))?;
        Ok(Self { dir: dir.to_owned(), files: BTreeMap::new() })
    }

    /// Adds a packet. `given` is what it was: time, and what the capture it is from does not hold.
    pub(super) fn add(
        &mut self,
        verdict: Verdict,
        given: &Captured,
        packet: &[u8],
    ) -> Result<(), Failure> {
        if !self.files.contains_key(&verdict.code) {
            let path = self.dir.join(format!("{verdict}.pcap"));
            let file = begin(&path).map_err(|e| failed(&path, &e))?;
            self.files.insert(verdict.code, (path, file));
        }
        let Some((path, file)) = self.files.get_mut(&verdict.code) else { return Ok(()) };
        record(file, given, packet).map_err(|e| failed(path, &e))
    }

    /// Ends all files.
    pub(super) fn finish(self) -> Result<(), Failure> {
        for (path, mut file) in self.files.into_values() {
            file.flush().map_err(|e| failed(&path, &e))?;
        }
        Ok(())
    }
}

fn failed(path: &Path, error: &io::Error) -> Failure {
    Failure::new(format!("cannot write {}: {error}", path.display())).code("E0002")
}

fn begin(path: &Path) -> io::Result<BufWriter<File>> {
    let mut file = BufWriter::new(File::create(path)?);
    file.write_all(&MAGIC.to_le_bytes())?;
    // Version 2.4, and two fields that nobody uses.
    file.write_all(&[2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0])?;
    file.write_all(&SNAP_LEN.to_le_bytes())?;
    file.write_all(&ETHERNET.to_le_bytes())?;
    Ok(file)
}

fn record(file: &mut impl Write, given: &Captured, packet: &[u8]) -> io::Result<()> {
    let packet = packet.get(..SNAP_LEN as usize).unwrap_or(packet);
    let len = u32::try_from(packet.len()).unwrap_or(SNAP_LEN);
    // The format has 32 bits for seconds.
    let seconds = u32::try_from(given.time.seconds).unwrap_or(u32::MAX);
    for word in [seconds, given.time.nanoseconds, len, len.saturating_add(given.cut)] {
        file.write_all(&word.to_le_bytes())?;
    }
    file.write_all(packet)
}

#[cfg(test)]
mod tests {
    use bpfweld::object::ProgramType;

    use super::*;
    use crate::capture::{Capture, Time};

    #[test]
    fn what_is_written_can_be_read() {
        let dir = tempfile::tempdir().unwrap();
        let mut captures = Captures::new(&dir.path().join("new")).unwrap();
        let time = Time { seconds: 1_700_000_000, nanoseconds: 123_456_789 };
        let given = Captured { data: vec![], cut: 5, time };
        let verdict = |code| Verdict { code, prog_type: ProgramType::XDP };
        captures.add(verdict(2), &given, b"first").unwrap();
        captures.add(verdict(77), &given, b"odd").unwrap();
        captures.add(verdict(2), &given, b"second").unwrap();
        captures.finish().unwrap();
        let file = |name| fs::read(dir.path().join("new").join(name)).unwrap();
        let (pass, odd) = (file("XDP_PASS.pcap"), file("77.pcap"));
        let mut read = Capture::open(pass.as_slice()).unwrap();
        for data in [&b"first"[..], b"second"] {
            let packet = read.next_packet().unwrap().unwrap();
            assert_eq!(packet, Captured { data: data.to_vec(), cut: 5, time });
        }
        assert_eq!(read.next_packet().unwrap(), None);
        assert!(Capture::open(odd.as_slice()).unwrap().next_packet().unwrap().is_some());
    }

    #[test]
    fn a_directory_that_cannot_be_is_named() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("file"), "").unwrap();
        let error = Captures::new(&dir.path().join("file/below")).err().unwrap();
        assert!(error.to_string().contains("file/below"), "{error}");
    }
}
