//! Captures made by hand, by the crate `pcap-file`, and by chance.

use std::borrow::Cow;
use std::time::Duration;

use pcap_file::pcap::{PcapHeader, PcapPacket, PcapWriter};
use pcap_file::pcapng::PcapNgWriter;
use pcap_file::pcapng::blocks::enhanced_packet::{EnhancedPacketBlock, EnhancedPacketOption};
use pcap_file::pcapng::blocks::interface_description::InterfaceDescriptionBlock;
use pcap_file::{DataLink, Endianness, TsResolution};
use proptest::prelude::*;

use super::*;

fn read(bytes: &[u8]) -> (Vec<Captured>, Option<CaptureError>) {
    let mut capture = match Capture::open(bytes) {
        Ok(capture) => capture,
        Err(error) => return (Vec::new(), Some(error)),
    };
    let mut packets = Vec::new();
    loop {
        match capture.next_packet() {
            Ok(Some(packet)) => packets.push(packet),
            Ok(None) => return (packets, None),
            Err(error) => return (packets, Some(error)),
        }
    }
}

fn data(packets: &[Captured]) -> Vec<&[u8]> {
    packets.iter().map(|p| p.data.as_slice()).collect()
}

fn pcap(endianness: Endianness, ts_resolution: TsResolution, packets: &[&[u8]]) -> Vec<u8> {
    let header = PcapHeader { endianness, ts_resolution, ..PcapHeader::default() };
    let mut writer = PcapWriter::with_header(Vec::new(), header).unwrap();
    for packet in packets {
        let packet = PcapPacket::new(Duration::new(7, 654_321_987), packet.len() as u32, packet);
        writer.write_packet(&packet).unwrap();
    }
    writer.into_writer()
}

fn pcapng(endianness: Endianness, link: DataLink, packets: &[&[u8]]) -> Vec<u8> {
    let mut writer = PcapNgWriter::with_endianness(Vec::new(), endianness).unwrap();
    let interface = InterfaceDescriptionBlock { linktype: link, snaplen: 0, options: vec![] };
    writer.write_pcapng_block(interface).unwrap();
    for packet in packets {
        let block = EnhancedPacketBlock {
            interface_id: 0,
            timestamp: Duration::from_secs(7),
            original_len: packet.len() as u32,
            data: Cow::Borrowed(packet),
            options: vec![EnhancedPacketOption::Comment("hello".into())],
        };
        writer.write_pcapng_block(block).unwrap();
    }
    writer.into_inner()
}

/// A pcapng block in little-endian byte order.
fn block(kind: u32, body: &[u8]) -> Vec<u8> {
    let total = (body.len() as u32).next_multiple_of(4) + 12;
    let mut block = [kind.to_le_bytes(), total.to_le_bytes()].concat();
    block.extend(body);
    block.resize(total as usize - 4, 0);
    block.extend(total.to_le_bytes());
    block
}

fn section() -> Vec<u8> {
    let mut body = block::ORDER_MARK.to_le_bytes().to_vec();
    body.extend([1, 0, 0, 0]);
    body.extend([0xff; 8]);
    block(block::SECTION, &body)
}

fn interface(link_type: u16, snap_len: u32) -> Vec<u8> {
    let mut body = link_type.to_le_bytes().to_vec();
    body.extend([0, 0]);
    body.extend(snap_len.to_le_bytes());
    block(block::INTERFACE, &body)
}

const PACKETS: [&[u8]; 4] = [b"first packet", b"", b"x", b"the last of them"];

#[test]
fn pcap_in_either_byte_order_and_resolution() {
    for order in [Endianness::Little, Endianness::Big] {
        for resolution in [TsResolution::MicroSecond, TsResolution::NanoSecond] {
            let (packets, error) = read(&pcap(order, resolution, &PACKETS));
            assert_eq!(data(&packets), PACKETS);
            let fraction =
                if resolution == TsResolution::MicroSecond { 654_321_000 } else { 654_321_987 };
            let time = Time { seconds: 7, nanoseconds: fraction };
            assert!(packets.iter().all(|p| p.time == time), "{packets:?}");
            assert!(error.is_none() && packets.iter().all(|p| p.cut == 0));
        }
    }
}

#[test]
fn pcapng_in_either_byte_order() {
    for order in [Endianness::Little, Endianness::Big] {
        let (packets, error) = read(&pcapng(order, DataLink::ETHERNET, &PACKETS));
        assert_eq!(data(&packets), PACKETS);
        assert!(error.is_none());
    }
}

/// An enhanced packet of interface 0, at so many parts of a second.
fn packet_at(parts: u64) -> Vec<u8> {
    let words = [0, (parts >> 32) as u32, parts as u32, 1, 1];
    let mut body: Vec<u8> = words.iter().flat_map(|w: &u32| w.to_le_bytes()).collect();
    body.push(b'x');
    block(block::ENHANCED_PACKET, &body)
}

#[test]
fn an_interface_says_how_time_is_told() {
    let with = |options: &[u8]| {
        let body = [&[1, 0, 0, 0, 0, 0, 0, 0], options].concat();
        [section(), block(block::INTERFACE, &body), packet_at(3 << 33)].concat()
    };
    let time = |options: &[u8]| {
        let (packets, error) = read(&with(options));
        assert!(error.is_none(), "{error:?}");
        (packets[0].time.seconds, packets[0].time.nanoseconds)
    };
    // Microseconds unless it says otherwise.
    assert_eq!(time(&[]), (25_769, 803_776_000));
    // Nanoseconds, behind a comment; then 2^-33.
    assert_eq!(time(&[1, 0, 2, 0, b'h', b'i', 0, 0, 9, 0, 1, 0, 9, 0, 0, 0]), (25, 769_803_776));
    assert_eq!(time(&[9, 0, 1, 0, 0x80 | 33, 0, 0, 0]), (3, 0));
    // An offset of 100 seconds, and of -1 of them.
    let offset =
        |by: i64| [&[9, 0, 1, 0, 0x80 | 33, 0, 0, 0, 14, 0, 8, 0][..], &by.to_le_bytes()].concat();
    assert_eq!(time(&offset(100)), (103, 0));
    assert_eq!(time(&offset(-1)), (2, 0));
    // What cannot be is not looked at.
    assert_eq!(time(&[9, 0, 200, 0, 1]), (25_769, 803_776_000));
    assert_eq!(time(&[9, 0, 1, 0, 0xff, 0, 0, 0]).1, 0);
    assert_eq!(time(&[9, 0, 1, 0, 127, 0, 0, 0]).0, 0);
}

#[test]
fn sections_may_change_the_byte_order() {
    let mut file = pcapng(Endianness::Big, DataLink::ETHERNET, &PACKETS[..1]);
    file.extend(pcapng(Endianness::Little, DataLink::ETHERNET, &PACKETS[3..]));
    let (packets, error) = read(&file);
    assert_eq!(data(&packets), [PACKETS[0], PACKETS[3]]);
    assert!(error.is_none());
}

#[test]
fn simple_packets_lose_their_padding_and_obsolete_ones_are_read() {
    let simple = [&5u32.to_le_bytes()[..], b"abcde"].concat();
    let mut old = vec![0, 0, 0xff, 0xff];
    old.extend([0; 8]);
    old.extend(3u32.to_le_bytes());
    old.extend(9u32.to_le_bytes());
    old.extend(b"xyz");
    let file = [
        section(),
        interface(1, 0),
        block(block::SIMPLE_PACKET, &simple),
        block(block::OLD_PACKET, &old),
        block(0x0bad_cafe, b"whatever"),
    ]
    .concat();
    let (packets, error) = read(&file);
    assert!(error.is_none(), "{error:?}");
    assert_eq!(
        packets,
        [
            Captured { data: b"abcde".to_vec(), cut: 0, time: Time::default() },
            Captured { data: b"xyz".to_vec(), cut: 6, time: Time::default() }
        ]
    );
}

#[test]
fn a_simple_packet_ends_at_the_snap_length() {
    let simple = [&500u32.to_le_bytes()[..], b"abcd"].concat();
    let file = [section(), interface(1, 3), block(block::SIMPLE_PACKET, &simple)].concat();
    let (packets, error) = read(&file);
    assert!(error.is_none(), "{error:?}");
    assert_eq!(packets, [Captured { data: b"abc".to_vec(), cut: 497, time: Time::default() }]);
}

#[test]
fn packets_cut_by_the_capturing_tool_are_legal() {
    // As `tcpdump -s 4` writes it: snap length 4, a packet of 1500 bytes.
    let mut file = pcap(Endianness::Little, TsResolution::MicroSecond, &[b"abcd"]);
    file[16..20].copy_from_slice(&4u32.to_le_bytes());
    file[24 + 12..24 + 16].copy_from_slice(&1500u32.to_le_bytes());
    let (packets, error) = read(&file);
    assert!(error.is_none());
    assert_eq!((packets[0].data.as_slice(), packets[0].cut), (&b"abcd"[..], 1496));
}

#[test]
fn the_frame_check_sequence_bits_are_no_link_type() {
    let mut file = pcap(Endianness::Little, TsResolution::MicroSecond, &PACKETS);
    file[20..24].copy_from_slice(&0x4400_0001u32.to_le_bytes());
    assert_eq!(read(&file).0.len(), 4);
}

#[test]
fn other_link_types_are_refused_by_name() {
    let mut file = pcap(Endianness::Little, TsResolution::MicroSecond, &PACKETS);
    file[20] = 113;
    let (packets, error) = read(&file);
    assert!(packets.is_empty());
    assert!(error.unwrap().to_string().contains("113 (Linux cooked)"));
    let (packets, error) = read(&pcapng(Endianness::Little, DataLink::RAW, &PACKETS));
    assert!(packets.is_empty());
    assert!(matches!(error, Some(CaptureError::LinkType(101))));
}

#[test]
fn every_cut_gives_the_packets_before_it() {
    for file in [
        pcap(Endianness::Big, TsResolution::NanoSecond, &PACKETS),
        pcapng(Endianness::Little, DataLink::ETHERNET, &PACKETS),
    ] {
        let mut last = 0;
        for end in 0..file.len() {
            let (packets, error) = read(&file[..end]);
            assert_eq!(data(&packets), PACKETS[..packets.len()], "cut at {end}");
            assert!(packets.len() >= last && packets.len() <= last + 1);
            last = packets.len();
            if let Some(error) = error {
                assert!(
                    matches!(error, CaptureError::Cut { .. } | CaptureError::Magic(_)),
                    "{error}"
                );
            }
        }
        // The last packet needs the file's last byte.
        assert_eq!(last, PACKETS.len() - 1);
    }
}

#[test]
fn senseless_lengths_are_errors_with_their_place() {
    let mut file = pcap(Endianness::Little, TsResolution::MicroSecond, &PACKETS);
    file[24 + 8..24 + 12].copy_from_slice(&u32::MAX.to_le_bytes());
    assert!(matches!(read(&file).1, Some(CaptureError::Damaged { offset: 24, .. })));
    let mut odd = section();
    odd.extend([6, 0, 0, 0, 13, 0, 0, 0]);
    assert!(matches!(read(&odd).1, Some(CaptureError::Damaged { offset: 28, .. })));
    let mut unequal = [section(), interface(1, 0)].concat();
    let end = unequal.len();
    unequal[end - 4] ^= 0x40;
    assert!(matches!(read(&unequal).1, Some(CaptureError::Damaged { .. })));
    let stray = [section(), block(block::ENHANCED_PACKET, &[0; 20])].concat();
    assert!(read(&stray).1.unwrap().to_string().contains("interface 0"));
}

#[test]
fn an_empty_file_is_no_capture() {
    assert!(read(b"").1.unwrap().to_string().contains("it is empty"));
    assert!(read(b"\xd4\xc3").1.unwrap().to_string().contains("d4 c3"));
}

proptest! {
    #[test]
    fn what_the_other_crate_writes_is_read(
        packets in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..100), 0..9),
        big in any::<bool>(),
        ng in any::<bool>(),
    ) {
        let order = if big { Endianness::Big } else { Endianness::Little };
        let slices: Vec<_> = packets.iter().map(Vec::as_slice).collect();
        let file = if ng {
            pcapng(order, DataLink::ETHERNET, &slices)
        } else {
            pcap(order, TsResolution::MicroSecond, &slices)
        };
        let (got, error) = read(&file);
        prop_assert!(error.is_none());
        prop_assert_eq!(data(&got), slices);
    }

    #[test]
    fn flipped_bytes_never_panic_or_hang(
        ng in any::<bool>(),
        flips in proptest::collection::vec((any::<prop::sample::Index>(), 1u8..), 1..8),
    ) {
        let mut file = if ng {
            pcapng(Endianness::Little, DataLink::ETHERNET, &PACKETS)
        } else {
            pcap(Endianness::Big, TsResolution::MicroSecond, &PACKETS)
        };
        for (at, mask) in flips {
            let at = at.index(file.len());
            file[at] ^= mask;
        }
        // Every packet takes bytes of the file, so there cannot be more of them than bytes.
        prop_assert!(read(&file).0.len() <= file.len());
    }
}
