//! The packets of a `run`: every `--pcap` and `--packet` of the command line, in its order, as one
//! stream. All files are opened, and their heads read, before the first packet is asked for.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::Path;

use crate::args::PacketArg;
use crate::capture::{Capture, CaptureError, Captured, Time};
use crate::error::Failure;
use crate::output::count;

/// A `--packet` file larger than this is no packet.
const MAX_FRAME: u64 = 256 << 10;

/// The stream.
pub(crate) struct Packets {
    sources: std::vec::IntoIter<(String, Source)>,
    current: Option<(String, Reading)>,
    warnings: Vec<String>,
    /// Bytes of all captures, where known, and of those that were read.
    size: Option<u64>,
    done: u64,
}

enum Source {
    Frame(Vec<u8>),
    Capture(Capture<BufReader<Box<dyn Read>>>),
}

/// A capture and what was seen of it so far.
struct Reading {
    capture: Capture<BufReader<Box<dyn Read>>>,
    packets: u64,
    cut: u64,
}

impl Packets {
    /// Opens everything.
    pub(crate) fn open(args: &[PacketArg]) -> Result<Self, Failure> {
        let mut warnings = Vec::new();
        let mut sources = Vec::with_capacity(args.len());
        let mut stdin_taken = false;
        let mut size = Some(0u64);
        for arg in args {
            let (PacketArg::Capture(path) | PacketArg::Frame(path)) = arg;
            let name = path.display().to_string();
            if path == Path::new("-") && std::mem::replace(&mut stdin_taken, true) {
                return Err(Failure::usage("standard input (`-`) can be read only once"));
            }
            let length = std::fs::metadata(path).ok().filter(std::fs::Metadata::is_file);
            size = size.zip(length).map(|(sum, file)| sum.saturating_add(file.len()));
            let source = match arg {
                PacketArg::Capture(path) => open_capture(path)?,
                PacketArg::Frame(path) => open_frame(path, &mut warnings)?,
            };
            sources.push((name, source));
        }
        Ok(Self { sources: sources.into_iter(), current: None, warnings, size, done: 0 })
    }

    /// The next packet, `None` at the end.
    pub(crate) fn next_packet(&mut self) -> Option<Captured> {
        loop {
            if let Some((name, reading)) = &mut self.current {
                match reading.capture.next_packet() {
                    Ok(Some(packet)) => {
                        reading.packets += 1;
                        reading.cut += u64::from(packet.cut > 0);
                        return Some(packet);
                    }
                    Ok(None) => {}
                    Err(error) => self.warnings.push(format!(
                        "{name}: {error}; {} before that run",
                        count(reading.packets, "packet")
                    )),
                }
                if reading.cut > 0 {
                    let cut = count(reading.cut, "packet");
                    self.warnings
                        .push(format!("{name}: the capture holds only the beginning of {cut}"));
                } else if reading.packets == 0 {
                    self.warnings.push(format!("{name}: the capture holds no packet"));
                }
                self.done += reading.capture.offset();
                self.current = None;
            }
            match self.sources.next()? {
                (_, Source::Frame(data)) => {
                    self.done += data.len() as u64;
                    return Some(Captured { data, cut: 0, time: Time::default() });
                }
                (name, Source::Capture(capture)) => {
                    self.current = Some((name, Reading { capture, packets: 0, cut: 0 }));
                }
            }
        }
    }

    /// Bytes that were read, and all there are, where that is known.
    pub(crate) fn progress(&self) -> (u64, Option<u64>) {
        let current = self.current.as_ref().map_or(0, |(_, r)| r.capture.offset());
        (self.done + current, self.size)
    }

    /// What was noticed so far.
    pub(crate) fn into_warnings(self) -> Vec<String> {
        self.warnings
    }
}

fn open_capture(path: &Path) -> Result<Source, Failure> {
    let failed = |error: CaptureError| {
        let hint = match &error {
            CaptureError::Magic(_) => Some("a file that holds one raw packet goes with --packet"),
            CaptureError::LinkType(_) => {
                Some("capture on an Ethernet interface, not on `any`, a tunnel or a monitor")
            }
            _ => None,
        };
        let failure = Failure::new(format!("cannot read the capture {}: {error}", path.display()))
            .code(crate::error::INPUT);
        match hint {
            Some(hint) => failure.hint(hint),
            None => failure,
        }
    };
    let input = open(path).map_err(|e| failed(CaptureError::Io(e)))?;
    Capture::open(BufReader::new(input)).map(Source::Capture).map_err(failed)
}

fn open_frame(path: &Path, warnings: &mut Vec<String>) -> Result<Source, Failure> {
    let name = path.display();
    let mut frame = Vec::new();
    open(path).and_then(|input| input.take(MAX_FRAME + 1).read_to_end(&mut frame)).map_err(
        |error| {
            Failure::new(format!("cannot read the packet {name}: {error}"))
                .code(crate::error::INPUT)
        },
    )?;
    if frame.len() as u64 > MAX_FRAME {
        let text = format!("{name} is larger than any packet ({} KiB)", MAX_FRAME >> 10);
        return Err(Failure::new(text)
            .code(crate::error::INPUT)
            .hint("a capture goes with --pcap"));
    }
    if frame.len() >= 24 && Capture::open(frame.as_slice()).is_ok() {
        warnings.push(format!(
            "{name} looks like a capture, which goes with --pcap; run as one packet"
        ));
    }
    Ok(Source::Frame(frame))
}

fn open(path: &Path) -> io::Result<Box<dyn Read>> {
    if path == Path::new("-") {
        return Ok(Box::new(io::stdin().lock()));
    }
    let file = File::open(path)?;
    // Reading a directory fails too, but only later and with a poorer message.
    if file.metadata()?.is_dir() {
        return Err(io::Error::from(io::ErrorKind::IsADirectory));
    }
    Ok(Box::new(file))
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    fn pcap(packets: &[&[u8]]) -> Vec<u8> {
        let mut file = vec![0xd4, 0xc3, 0xb2, 0xa1, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        file.extend(65535u32.to_le_bytes());
        file.extend(1u32.to_le_bytes());
        for packet in packets {
            file.extend([0; 8]);
            file.extend((packet.len() as u32).to_le_bytes());
            file.extend((packet.len() as u32).to_le_bytes());
            file.extend(*packet);
        }
        file
    }

    fn write(dir: &tempfile::TempDir, name: &str, bytes: &[u8]) -> PathBuf {
        let path = dir.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        path
    }

    fn all(args: &[PacketArg]) -> (Vec<Vec<u8>>, Vec<String>) {
        let mut packets = Packets::open(args).unwrap();
        let list = std::iter::from_fn(|| packets.next_packet().map(|p| p.data)).collect();
        (list, packets.into_warnings())
    }

    #[test]
    fn files_run_in_the_order_given() {
        let dir = tempfile::tempdir().unwrap();
        let args = [
            PacketArg::Frame(write(&dir, "1", b"one")),
            PacketArg::Capture(write(&dir, "2", &pcap(&[b"two", b"three"]))),
            PacketArg::Frame(write(&dir, "3", b"")),
            PacketArg::Capture(write(&dir, "4", &pcap(&[b"five"]))),
        ];
        let (packets, warnings) = all(&args);
        assert_eq!(packets, [&b"one"[..], b"two", b"three", b"", b"five"]);
        assert_eq!(warnings, Vec::<String>::new());
    }

    #[test]
    fn a_capture_cut_off_gives_what_it_has_and_the_next_file_follows() {
        let dir = tempfile::tempdir().unwrap();
        let mut file = pcap(&[b"one", b"two"]);
        file.pop();
        let args = [
            PacketArg::Capture(write(&dir, "cut", &file)),
            PacketArg::Frame(write(&dir, "f", b"three")),
        ];
        let (packets, warnings) = all(&args);
        assert_eq!(packets, [&b"one"[..], b"three"]);
        assert_eq!(warnings.len(), 1);
        assert!(
            warnings[0].contains("ends in the middle") && warnings[0].contains("1 packet before")
        );
    }

    #[test]
    fn a_capture_without_packets_is_noted() {
        let dir = tempfile::tempdir().unwrap();
        let (packets, warnings) = all(&[PacketArg::Capture(write(&dir, "e", &pcap(&[])))]);
        assert!(packets.is_empty());
        assert!(warnings[0].contains("holds no packet"));
    }

    #[test]
    fn what_cannot_be_opened_is_an_error_before_anything_runs() {
        let dir = tempfile::tempdir().unwrap();
        let error = |arg| Packets::open(&[arg]).err().unwrap().to_string();
        assert!(error(PacketArg::Capture(dir.path().join("gone"))).contains("gone"));
        assert!(error(PacketArg::Frame(dir.path().to_owned())).contains("directory"));
        assert!(
            error(PacketArg::Capture(write(&dir, "x", b"text")))
                .contains("neither pcap nor pcapng")
        );
        let big = vec![0; MAX_FRAME as usize + 1];
        assert!(
            error(PacketArg::Frame(write(&dir, "big", &big))).contains("larger than any packet")
        );
    }

    #[test]
    fn standard_input_is_read_once() {
        let args = [PacketArg::Frame("-".into()), PacketArg::Frame("-".into())];
        // The first `-` reads the tests' own standard input, which is empty or closed.
        assert!(Packets::open(&args).err().unwrap().to_string().contains("only once"));
    }

    #[test]
    fn a_capture_given_as_a_packet_is_noted() {
        let dir = tempfile::tempdir().unwrap();
        let (packets, warnings) = all(&[PacketArg::Frame(write(&dir, "p", &pcap(&[b"one"])))]);
        assert_eq!(packets.len(), 1);
        assert!(warnings[0].contains("--pcap"));
    }
}
