//! Reading packet captures, one packet at a time: pcap and pcapng, either byte order.
//!
//! Formats: draft-ietf-opsawg-pcap (magic 0xa1b2c3d4 and 0xa1b23c4d) and draft-ietf-opsawg-pcapng.
//! Written here, because the crate `pcap-file` 2.0 refuses captures whose
//! packets were cut (`tcpdump -s`) and options without an end record, and takes the padding of Simple
//! Packet Blocks for data; it serves the tests as the second opinion.
//!
//! At most one record is held in memory.

use std::io::{self, ErrorKind, Read};

/// Link type Ethernet (`LINKTYPE_ETHERNET`).
const ETHERNET: u32 = 1;
/// The largest packet that tools write (`MAXIMUM_SNAPLEN` of libpcap); a longer one is damage.
const MAX_PACKET: usize = 256 << 10;
/// The largest pcapng block that is looked at: a packet with its options, or the like.
const MAX_BLOCK: usize = 1 << 20;

/// Why a capture cannot be read (on).
#[derive(Debug, thiserror::Error)]
pub(crate) enum CaptureError {
    /// The file does not begin like a capture.
    #[error("it is neither pcap nor pcapng: it begins with {0}")]
    Magic(String),
    /// Not Ethernet.
    #[error("its link type is {}, only Ethernet (1) can run", link_type_name(*.0))]
    LinkType(u32),
    /// The file ends inside a packet or block.
    #[error("it ends in the middle of {what} at byte {offset}")]
    Cut {
        /// What was being read.
        what: &'static str,
        /// Where that begins.
        offset: u64,
    },
    /// A record makes no sense.
    #[error("it is damaged at byte {offset}: {problem}")]
    Damaged {
        /// Where the record begins.
        offset: u64,
        /// What is wrong with it.
        problem: String,
    },
    /// Reading failed.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// A packet of a capture.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Captured {
    /// The bytes that the capture holds.
    pub(crate) data: Vec<u8>,
    /// Bytes that it had on the wire and the capture does not hold.
    pub(crate) cut: u32,
    /// When it was captured.
    pub(crate) time: Time,
}

/// When a packet was captured: seconds and nanoseconds since 1970; 0 where the capture does not say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Time {
    pub(crate) seconds: u64,
    pub(crate) nanoseconds: u32,
}

impl Time {
    /// From a number of parts of a second, so many to the second.
    fn from_parts(parts: u64, of_a_second: u128, offset: i64) -> Self {
        let of_a_second = of_a_second.max(1);
        let seconds = u64::try_from(u128::from(parts) / of_a_second).unwrap_or(u64::MAX);
        let rest = u128::from(parts) % of_a_second;
        let nanoseconds = rest.saturating_mul(1_000_000_000) / of_a_second;
        Self {
            seconds: seconds.saturating_add_signed(offset),
            nanoseconds: u32::try_from(nanoseconds).unwrap_or(0),
        }
    }
}

/// A capture that is being read.
pub(crate) struct Capture<R> {
    input: Counted<R>,
    format: Format,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Order {
    Little,
    Big,
}

impl Order {
    fn u16(self, b: [u8; 2]) -> u16 {
        match self {
            Self::Little => u16::from_le_bytes(b),
            Self::Big => u16::from_be_bytes(b),
        }
    }

    fn u32(self, b: [u8; 4]) -> u32 {
        match self {
            Self::Little => u32::from_le_bytes(b),
            Self::Big => u32::from_be_bytes(b),
        }
    }

    /// The 32-bit word at `at`, if `bytes` reach that far.
    fn word(self, bytes: &[u8], at: usize) -> Option<u32> {
        bytes.get(at..)?.first_chunk().map(|b| self.u32(*b))
    }
}

enum Format {
    Pcap {
        order: Order,
        /// Parts of a second that time is told in.
        of_a_second: u128,
    },
    PcapNg {
        order: Order,
        /// Those of the section.
        interfaces: Vec<Interface>,
    },
}

/// What a capture says of an interface.
struct Interface {
    link_type: u32,
    /// 0 for none.
    snap_len: u32,
    /// Parts of a second that time is told in, and seconds to add.
    of_a_second: u128,
    offset: i64,
}

/// Microseconds, nanoseconds.
const MICRO: u128 = 1_000_000;
const NANO: u128 = 1_000_000_000;

mod block {
    pub(super) const SECTION: u32 = 0x0a0d_0d0a;
    pub(super) const INTERFACE: u32 = 1;
    pub(super) const OLD_PACKET: u32 = 2;
    pub(super) const SIMPLE_PACKET: u32 = 3;
    pub(super) const ENHANCED_PACKET: u32 = 6;
    /// Byte order mark in a section header.
    pub(super) const ORDER_MARK: u32 = 0x1a2b_3c4d;
}

impl<R: Read> Capture<R> {
    /// Reads the file's head: tells the format and, where the head says it, the link type.
    pub(crate) fn open(input: R) -> Result<Self, CaptureError> {
        let mut input = Counted { inner: input, offset: 0 };
        let mut magic = [0; 4];
        let have = input.fill(&mut magic)?;
        let format = match magic {
            _ if have < 4 => return Err(magic_error(&magic[..have])),
            [0xd4, 0xc3, 0xb2, 0xa1] => Format::Pcap { order: Order::Little, of_a_second: MICRO },
            [0x4d, 0x3c, 0xb2, 0xa1] => Format::Pcap { order: Order::Little, of_a_second: NANO },
            [0xa1, 0xb2, 0xc3, 0xd4] => Format::Pcap { order: Order::Big, of_a_second: MICRO },
            [0xa1, 0xb2, 0x3c, 0x4d] => Format::Pcap { order: Order::Big, of_a_second: NANO },
            [0x0a, 0x0d, 0x0d, 0x0a] => {
                let order = read_section(&mut input, 0)?;
                Format::PcapNg { order, interfaces: Vec::new() }
            }
            _ => return Err(magic_error(&magic)),
        };
        if let Format::Pcap { order, .. } = format {
            let head: [u8; 20] = input.array("the file header", 0)?;
            // The upper bits of the link type tell the length of a frame check sequence.
            let link_type = order.word(&head, 16).unwrap_or_default() & 0xffff;
            ensure_ethernet(link_type)?;
        }
        Ok(Self { input, format })
    }

    /// Bytes that were read so far.
    pub(crate) fn offset(&self) -> u64 {
        self.input.offset
    }

    /// The next packet, `None` at the end of the file. After an error, the rest cannot be read.
    pub(crate) fn next_packet(&mut self) -> Result<Option<Captured>, CaptureError> {
        match &mut self.format {
            Format::Pcap { order, of_a_second } => {
                next_record(&mut self.input, *order, *of_a_second)
            }
            Format::PcapNg { order, interfaces } => {
                while let Some(found) = next_block(&mut self.input, order, interfaces)? {
                    if let Block::Packet(packet) = found {
                        return Ok(Some(packet));
                    }
                }
                Ok(None)
            }
        }
    }
}

fn next_record<R: Read>(
    input: &mut Counted<R>,
    order: Order,
    of_a_second: u128,
) -> Result<Option<Captured>, CaptureError> {
    let offset = input.offset;
    let Some(head) = input.array_or_end::<16>("a packet's header", offset)? else {
        return Ok(None);
    };
    let len = order.word(&head, 8).unwrap_or_default();
    let wire_len = order.word(&head, 12).unwrap_or_default();
    let data = input.take(bounded(len, MAX_PACKET, "packet", offset)?, "a packet", offset)?;
    let parts = order.word(&head, 4).unwrap_or_default();
    let mut time = Time::from_parts(parts.into(), of_a_second, 0);
    time.seconds += u64::from(order.word(&head, 0).unwrap_or_default());
    Ok(Some(Captured { data, cut: wire_len.saturating_sub(len), time }))
}

enum Block {
    Packet(Captured),
    Other,
}

fn next_block<R: Read>(
    input: &mut Counted<R>,
    order: &mut Order,
    interfaces: &mut Vec<Interface>,
) -> Result<Option<Block>, CaptureError> {
    let offset = input.offset;
    let damaged = |problem: String| CaptureError::Damaged { offset, problem };
    let Some(kind) = input.array_or_end::<4>("a block", offset)? else { return Ok(None) };
    let kind = order.u32(kind);
    if kind == block::SECTION {
        *order = read_section(input, offset)?;
        interfaces.clear();
        return Ok(Some(Block::Other));
    }
    let total = order.u32(input.array("a block", offset)?);
    let Some(body_len) = total.checked_sub(12).filter(|_| total.is_multiple_of(4)) else {
        return Err(damaged(format!("a block of {total} bytes")));
    };
    let is_packet =
        matches!(kind, block::OLD_PACKET | block::SIMPLE_PACKET | block::ENHANCED_PACKET);
    if !is_packet && kind != block::INTERFACE {
        input.skip(u64::from(body_len) + 4, "a block", offset)?;
        return Ok(Some(Block::Other));
    }
    let body = input.take(bounded(body_len, MAX_BLOCK, "block", offset)?, "a block", offset)?;
    let trailer = order.u32(input.array("a block", offset)?);
    if trailer != total {
        return Err(damaged(format!("a block's two lengths differ ({total} and {trailer})")));
    }
    let word =
        |at| order.word(&body, at).ok_or_else(|| damaged("a block too short for its kind".into()));
    if kind == block::INTERFACE {
        let link_type = u32::from(order.u16(*body.first_chunk().unwrap_or(&[0; 2])));
        let (of_a_second, offset) = time_options(*order, body.get(8..).unwrap_or_default());
        interfaces.push(Interface { link_type, snap_len: word(4)?, of_a_second, offset });
        return Ok(Some(Block::Other));
    }
    // Where in the body: interface, captured length, length on the wire, data.
    let (interface, len, wire_len, data_at) = match kind {
        block::SIMPLE_PACKET => {
            let snap_len = interfaces.first().map_or(0, |i| i.snap_len);
            let wire_len = word(0)?;
            let len = if snap_len == 0 { wire_len } else { wire_len.min(snap_len) };
            (0, len, wire_len, 4)
        }
        block::OLD_PACKET => {
            let interface = order.u16(*body.first_chunk().unwrap_or(&[0; 2]));
            (u32::from(interface), word(12)?, word(16)?, 20)
        }
        _ => (word(0)?, word(12)?, word(16)?, 20),
    };
    let Some(interface_of) = interfaces.get(interface as usize) else {
        return Err(damaged(format!("a packet of interface {interface}, which is not described")));
    };
    ensure_ethernet(interface_of.link_type)?;
    let time = match kind {
        // These have none.
        block::SIMPLE_PACKET => Time::default(),
        _ => {
            let parts = u64::from(word(4)?) << 32 | u64::from(word(8)?);
            Time::from_parts(parts, interface_of.of_a_second, interface_of.offset)
        }
    };
    let captured = len;
    let len = bounded(len, MAX_PACKET, "packet", offset)?;
    let data = body.get(data_at..).and_then(|rest| rest.get(..len));
    let data =
        data.ok_or_else(|| damaged(format!("a packet of {len} bytes in a shorter block")))?;
    let cut = wire_len.saturating_sub(captured);
    Ok(Some(Block::Packet(Captured { data: data.to_vec(), cut, time })))
}

/// What the options of an interface say of time: parts of a second, seconds to add.
fn time_options(order: Order, mut options: &[u8]) -> (u128, i64) {
    /// `if_tsresol` and `if_tsoffset`.
    const RESOLUTION: u16 = 9;
    const OFFSET: u16 = 14;
    let (mut of_a_second, mut offset) = (MICRO, 0);
    while let Some(([a, b, c, d], rest)) = options.split_first_chunk() {
        let (code, len) = (order.u16([*a, *b]), usize::from(order.u16([*c, *d])));
        let Some(value) = rest.get(..len).filter(|_| code != 0) else { break };
        match (code, value) {
            (RESOLUTION, [power]) if power & 0x80 != 0 => {
                of_a_second = 1 << (power & 0x7f);
            }
            (RESOLUTION, [power]) => of_a_second = 10u128.pow((*power).min(38).into()),
            (OFFSET, [a, b, c, d, e, f, g, h]) => {
                let bytes = [*a, *b, *c, *d, *e, *f, *g, *h];
                offset = match order {
                    Order::Little => i64::from_le_bytes(bytes),
                    Order::Big => i64::from_be_bytes(bytes),
                };
            }
            _ => {}
        }
        options = rest.get(len.next_multiple_of(4)..).unwrap_or_default();
    }
    (of_a_second, offset)
}

/// Reads a section header behind its block type, which reads the same in either byte order.
fn read_section<R: Read>(input: &mut Counted<R>, offset: u64) -> Result<Order, CaptureError> {
    let total: [u8; 4] = input.array("a section header", offset)?;
    let mark: [u8; 4] = input.array("a section header", offset)?;
    let order = [Order::Little, Order::Big]
        .into_iter()
        .find(|order| order.u32(mark) == block::ORDER_MARK)
        .ok_or_else(|| CaptureError::Damaged {
            offset,
            problem: format!("a section with the byte order mark {mark:02x?}"),
        })?;
    let total = order.u32(total);
    // Block type, length, mark; at least version, section length and the length again.
    if total < 28 || !total.is_multiple_of(4) {
        let problem = format!("a section header of {total} bytes");
        return Err(CaptureError::Damaged { offset, problem });
    }
    input.skip(u64::from(total - 12), "a section header", offset)?;
    Ok(order)
}

fn ensure_ethernet(link_type: u32) -> Result<(), CaptureError> {
    if link_type == ETHERNET { Ok(()) } else { Err(CaptureError::LinkType(link_type)) }
}

fn bounded(len: u32, limit: usize, what: &'static str, offset: u64) -> Result<usize, CaptureError> {
    match len as usize {
        len if len <= limit => Ok(len),
        len => Err(CaptureError::Damaged { offset, problem: format!("a {what} of {len} bytes") }),
    }
}

fn magic_error(bytes: &[u8]) -> CaptureError {
    if bytes.is_empty() {
        return CaptureError::Magic("nothing, it is empty".to_owned());
    }
    let hex: Vec<_> = bytes.iter().map(|b| format!("{b:02x}")).collect();
    CaptureError::Magic(format!("the bytes {}", hex.join(" ")))
}

/// Link types that captures of network people are likely to have.
fn link_type_name(link_type: u32) -> String {
    let name = match link_type {
        0 => "loopback (BSD)",
        101 => "raw IP",
        105 => "IEEE 802.11",
        113 => "Linux cooked",
        127 => "IEEE 802.11 with radiotap",
        228 => "raw IPv4",
        229 => "raw IPv6",
        276 => "Linux cooked v2",
        _ => return link_type.to_string(),
    };
    format!("{link_type} ({name})")
}

/// A reader that knows how far it is.
struct Counted<R> {
    inner: R,
    offset: u64,
}

impl<R: Read> Counted<R> {
    /// Reads until `buffer` is full or the input ends.
    fn fill(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut have = 0;
        while have < buffer.len() {
            match self.inner.read(&mut buffer[have..]) {
                Ok(0) => break,
                Ok(n) => have += n,
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
        self.offset += have as u64;
        Ok(have)
    }

    fn array_or_end<const N: usize>(
        &mut self,
        what: &'static str,
        offset: u64,
    ) -> Result<Option<[u8; N]>, CaptureError> {
        let mut bytes = [0; N];
        match self.fill(&mut bytes)? {
            0 => Ok(None),
            n if n == N => Ok(Some(bytes)),
            _ => Err(CaptureError::Cut { what, offset }),
        }
    }

    fn array<const N: usize>(
        &mut self,
        what: &'static str,
        offset: u64,
    ) -> Result<[u8; N], CaptureError> {
        self.array_or_end(what, offset)?.ok_or(CaptureError::Cut { what, offset })
    }

    fn take(
        &mut self,
        len: usize,
        what: &'static str,
        offset: u64,
    ) -> Result<Vec<u8>, CaptureError> {
        let mut bytes = vec![0; len];
        if self.fill(&mut bytes)? < len {
            Err(CaptureError::Cut { what, offset })
        } else {
            Ok(bytes)
        }
    }

    fn skip(&mut self, len: u64, what: &'static str, offset: u64) -> Result<(), CaptureError> {
        let skipped = io::copy(&mut self.inner.by_ref().take(len), &mut io::sink())?;
        self.offset += skipped;
        if skipped < len { Err(CaptureError::Cut { what, offset }) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests;
