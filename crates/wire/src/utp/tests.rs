#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use super::*;
use proptest::prelude::*;

/// A SYN as BEP 29 draws it: type 4, version 1, no extension.
const SYN: [u8; 20] = [0x41, 0, 0x12, 0x34, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3, 0, 1, 0, 0];

fn with_extensions(extensions: &[u8], first: u8) -> Vec<u8> {
    let mut bytes = SYN.to_vec();
    bytes[0] = 0x21;
    bytes[1] = first;
    bytes.extend_from_slice(extensions);
    bytes
}

#[test]
fn the_header_is_laid_out_as_in_bep_29() {
    let header = Header {
        kind: Kind::Syn,
        connection: 0x1234,
        timestamp: 1,
        timestamp_difference: 2,
        window: 3,
        seq: 1,
        ack: 0,
    };
    let mut out = Vec::new();
    header.encode(&[], &mut out);
    assert_eq!(out, SYN);
    let packet = Packet { header, selective_ack: None, payload: &[] };
    assert_eq!(Packet::decode(&SYN), Ok(packet));
}

/// BEP 29: bit 0 of the first byte is `ack + 2`, bits count from the lowest, bytes follow.
#[test]
fn selective_ack_counts_from_ack_plus_two() {
    let bytes = with_extensions(&[0, 4, 0b0000_0101, 0b1000_0000, 0, 1], 1);
    let packet = Packet::decode(&bytes).unwrap();
    assert_eq!(packet.selective_ack.unwrap().arrived().collect::<Vec<_>>(), [0, 2, 15, 24]);
}

/// Not by BEP 29, but libtorrent sends it.
#[test]
fn a_selective_ack_may_have_any_length() {
    let bytes = with_extensions(&[0, 1, 0b10, b'x'], 1);
    let packet = Packet::decode(&bytes).unwrap();
    assert_eq!(packet.selective_ack.unwrap().arrived().collect::<Vec<_>>(), [1]);
    assert_eq!(packet.payload, b"x");
}

#[test]
fn unknown_extensions_are_skipped() {
    let bytes = with_extensions(&[1, 3, 9, 9, 9, 0, 4, 1, 0, 0, 0, b'x'], 2);
    let packet = Packet::decode(&bytes).unwrap();
    assert_eq!(packet.selective_ack.unwrap().bytes(), [1, 0, 0, 0]);
    assert_eq!(packet.payload, b"x");
}

#[test]
fn wrong_packets_are_refused() {
    let refused: [(&str, Vec<u8>); 8] = [
        ("empty", Vec::new()),
        ("short", SYN[..19].to_vec()),
        ("version 2", [&[0x42], &SYN[1..]].concat()),
        ("type 5", [&[0x51], &SYN[1..]].concat()),
        ("extension beyond the end", with_extensions(&[0, 4, 1, 2, 3], 1)),
        ("extension without length", with_extensions(&[0], 2)),
        ("selective ack of 0 bytes", with_extensions(&[0, 0], 1)),
        ("selective ack twice", with_extensions(&[1, 4, 1, 0, 0, 0, 0, 4, 1, 0, 0, 0], 1)),
    ];
    for (what, bytes) in refused {
        assert_eq!(Packet::decode(&bytes), Err(BadPacket), "{what}");
    }
    // Each says that another follows (threats.md W9).
    let chain = |len: usize| with_extensions(&[[7, 0].repeat(len - 1), vec![0, 0]].concat(), 7);
    assert!(Packet::decode(&chain(EXTENSIONS_MAX)).is_ok());
    assert_eq!(Packet::decode(&chain(EXTENSIONS_MAX + 1)), Err(BadPacket));
}

#[test]
fn other_protocols_are_told_apart_by_the_first_byte() {
    let utp: Vec<u8> = (0..=255).filter(|first| is_utp(*first)).collect();
    assert_eq!(utp, [0x01, 0x11, 0x21, 0x31, 0x41]);
    assert!(!is_utp(b'd'));
}

fn headers() -> impl Strategy<Value = Header> {
    let kinds = prop::sample::select(vec![Kind::Data, Kind::Fin, Kind::State, Kind::Reset, Kind::Syn]);
    (kinds, any::<[u16; 3]>(), any::<[u32; 3]>()).prop_map(|(kind, short, long)| Header {
        kind,
        connection: short[0],
        timestamp: long[0],
        timestamp_difference: long[1],
        window: long[2],
        seq: short[1],
        ack: short[2],
    })
}

proptest! {
    #[test]
    fn what_is_encoded_is_decoded(
        header in headers(),
        bits in prop::collection::vec(any::<u8>(), 0..=255),
        payload in prop::collection::vec(any::<u8>(), 0..50),
    ) {
        let mut out = Vec::new();
        header.encode(&bits, &mut out);
        out.extend_from_slice(&payload);
        let packet = Packet::decode(&out).unwrap();
        prop_assert_eq!(packet.header, header);
        prop_assert_eq!(packet.selective_ack.map_or(&[][..], |ack| ack.bytes()), &bits[..]);
        prop_assert_eq!(packet.payload, &payload[..]);
    }

    #[test]
    fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..300), first in 0..5_u8) {
        let _ = Packet::decode(&bytes);
        let likely = [&[first << 4 | 1], &bytes[..]].concat();
        if let Ok(packet) = Packet::decode(&likely) {
            let seen = packet.selective_ack.map_or(0, |ack| ack.arrived().count());
            prop_assert!(seen <= 8 * likely.len());
        }
    }
}
