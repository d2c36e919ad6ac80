#![allow(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use super::*;
use crate::bencode::ErrorKind;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use peerage_base::limits::{METADATA_BYTES_MAX, METADATA_PIECE_LEN, PEX_PEERS_MAX};
use proptest::prelude::*;

fn handshake(payload: &[u8]) -> Handshake {
    Handshake::decode(payload).unwrap()
}

/// BEP 10's example, with the payload that the document shows.
#[test]
fn the_handshake_of_bep_10() {
    let payload = b"d1:md11:LT_metadatai1e6:\xb5T_PEXi2ee1:pi6881e1:v13:\xc2\xb5Torrent 1.2e";
    let expected =
        Handshake { port: Some(6881), client: Some("µTorrent 1.2".into()), ..Handshake::default() };
    assert_eq!(decode(HANDSHAKE_ID, payload), Ok(Extended::Handshake(Box::new(expected))));
}

#[test]
fn our_handshake_byte_for_byte() {
    let ours = Handshake {
        ids: LOCAL_IDS,
        client: Some("Peerage 0.1".into()),
        port: Some(6881),
        reqq: Some(8192),
        metadata_size: Some(31235),
        your_ip: Some(IpAddr::from([1, 2, 3, 4])),
        upload_only: Some(true),
    };
    let payload = ours.encode();
    let expected = b"d1:md11:lt_donthavei7e11:upload_onlyi3e12:ut_holepunchi4e11:ut_metadatai2e6:ut_pexi1ee\
        13:metadata_sizei31235e1:pi6881e4:reqqi8192e11:upload_onlyi1e1:v11:Peerage 0.16:yourip4:\x01\x02\x03\x04e";
    assert_eq!(payload.escape_ascii().to_string(), expected.escape_ascii().to_string());
    assert_eq!(handshake(&payload), ours);
}

#[test]
fn fields_that_cannot_be_true_are_left_out() {
    let field = |text: &str| handshake(format!("d{text}e").as_bytes());
    let nothing = Handshake::default();
    for text in [
        "",
        "1:m0:",
        "1:pi0e",
        "1:pi65536e",
        "1:pi-1e",
        "1:p0:",
        "4:reqqi0e",
        "4:reqqi-5e",
        "1:vi1e",
        "6:yourip3:abc",
    ] {
        assert_eq!(field(text), nothing, "{text}");
    }
    // P5: sizes of metadata.
    let max = METADATA_BYTES_MAX as u64;
    for size in [0, max + 1, 1 << 31, (1 << 32) - 1, 1 << 32, i64::MAX as u64] {
        assert_eq!(field(&format!("13:metadata_sizei{size}e")), nothing, "{size}");
    }
    assert_eq!(field("13:metadata_sizei-1e"), nothing);
    assert_eq!(field(&format!("13:metadata_sizei{max}e")).metadata_size, Some(max as u32));
    assert_eq!(field("4:reqqi9223372036854775807e").reqq, Some(u32::MAX));
    assert_eq!(field("1:md6:ut_pexi256e11:ut_metadatai-1ee").ids, Ids::default());
    assert_eq!(field("11:upload_onlyi5e").upload_only, Some(true));
    let name = format!("1:v100000:{}", "\x1b".repeat(100_000));
    assert_eq!(field(&name).client, Some("\u{FFFD}".repeat(64)));
}

#[test]
fn a_later_handshake_changes_what_it_names() {
    let first = handshake(b"d1:md11:ut_metadatai3e6:ut_pexi4eee").ids;
    let later = handshake(b"d1:md6:ut_pexi0e11:lt_donthavei9eee").ids;
    let expected = Ids { metadata: Some(3), dont_have: Some(9), ..Ids::default() };
    assert_eq!(first.updated(later), expected);
    assert_eq!(Ids::default().updated(Ids { pex: Some(0), ..Ids::default() }), Ids::default());
}

/// The examples of BEP 9.
#[test]
fn the_metadata_messages_of_bep_9() {
    let data = [&b"d8:msg_typei1e5:piecei0e10:total_sizei34256ee"[..], &[b'x'; 100]].concat();
    let vectors = [
        (&b"d8:msg_typei0e5:piecei0ee"[..], MetadataMessage::Request { piece: 0 }),
        (&data[..], MetadataMessage::Data { piece: 0, total_size: 34256, bytes: vec![b'x'; 100] }),
        (&b"d8:msg_typei2e5:piecei0ee"[..], MetadataMessage::Reject { piece: 0 }),
    ];
    for (payload, message) in vectors {
        assert_eq!(message.encode(), payload);
        assert_eq!(decode(2, payload), Ok(Extended::Metadata(message)));
    }
    assert_eq!(MetadataMessage::decode(b"d8:msg_typei17ee"), Ok(MetadataMessage::Unknown));
    assert_eq!(MetadataMessage::decode(&MetadataMessage::Unknown.encode()), Ok(MetadataMessage::Unknown));
}

#[test]
fn metadata_with_hostile_numbers_is_refused() {
    let numbers = ["-1", "4294967296", "9223372036854775807", "-9223372036854775808"];
    for number in numbers {
        for kind in 0..3 {
            let payload = format!("d8:msg_typei{kind}e5:piecei{number}e10:total_sizei1ee");
            assert_eq!(MetadataMessage::decode(payload.as_bytes()), Err(Error::Field("piece")));
        }
        let payload = format!("d8:msg_typei1e5:piecei0e10:total_sizei{number}ee");
        assert_eq!(MetadataMessage::decode(payload.as_bytes()), Err(Error::Field("total_size")));
        let payload = format!("d8:msg_typei{number}e5:piecei0ee");
        assert_eq!(MetadataMessage::decode(payload.as_bytes()), Ok(MetadataMessage::Unknown));
    }
    assert_eq!(MetadataMessage::decode(b"d5:piecei0ee"), Err(Error::Field("msg_type")));
    assert_eq!(MetadataMessage::decode(b"le"), Err(Error::NotADict));
    assert!(
        matches!(MetadataMessage::decode(b""), Err(Error::Bencode(error)) if error.kind == ErrorKind::End)
    );
    let data = |len| MetadataMessage::Data { piece: u32::MAX, total_size: u32::MAX, bytes: vec![b'e'; len] };
    assert_eq!(MetadataMessage::decode(&data(METADATA_PIECE_LEN).encode()), Ok(data(METADATA_PIECE_LEN)));
    assert_eq!(MetadataMessage::decode(&data(METADATA_PIECE_LEN + 1).encode()), Err(Error::Length));
}

#[test]
fn pex_reads_what_is_there() {
    let payload = b"d5:added13:\x01\x02\x03\x04\x1a\xe1\x05\x06\x07\x08\0\x50\xff7:added.f1:\x12\
        6:added618:\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x01\x1a\xe18:added6.f1:\x04\
        7:dropped6:\x7f\0\0\x01\0\0e";
    let peer = |addr: &str, flags| PexPeer { addr: addr.parse().unwrap(), flags };
    let expected = Pex {
        added: vec![
            peer("1.2.3.4:6881", flags::SEED | flags::REACHABLE),
            peer("5.6.7.8:80", 0),
            peer("[2001:db8::1]:6881", flags::UTP),
        ],
        dropped: vec!["127.0.0.1:0".parse().unwrap()],
    };
    assert_eq!(decode(1, payload), Ok(Extended::Pex(expected.clone())));
    assert_eq!(Pex::decode(&expected.encode()), Ok(expected));
    assert_eq!(Pex::decode(b"d5:addedi1e7:droppedlee"), Ok(Pex::default()));
    assert_eq!(Pex::decode(b"i1e"), Err(Error::NotADict));
}

#[test]
fn pex_is_bounded() {
    let peers = |count: u32| (0..count).map(|i| SocketAddr::from((Ipv4Addr::from(i), 1)));
    let flood = Pex {
        added: peers(5000).map(|addr| PexPeer { addr, flags: 0 }).collect(),
        dropped: peers(3000).collect(),
    };
    let read = Pex::decode(&flood.encode()).unwrap();
    assert_eq!((read.added.len(), read.dropped.len()), (PEX_PEERS_MAX, PEX_PEERS_MAX));
    let flood = Pex { dropped: peers(20_000).collect(), ..Pex::default() };
    assert!(
        matches!(Pex::decode(&flood.encode()), Err(Error::Bencode(error)) if error.kind == ErrorKind::Bytes)
    );
}

#[test]
fn small_messages_have_one_length() {
    assert_eq!(decode(3, &encode_upload_only(true)), Ok(Extended::UploadOnly(true)));
    assert_eq!(decode(3, &[0]), Ok(Extended::UploadOnly(false)));
    for piece in [0, 1, u32::MAX - 1, u32::MAX] {
        assert_eq!(decode(7, &encode_dont_have(piece)), Ok(Extended::DontHave(piece)));
    }
    for payload in [&b""[..], b"12", b"12345"] {
        assert_eq!(decode(3, payload), Err(Error::Length));
        assert_eq!(decode(7, payload), Err(Error::Length));
    }
    assert_eq!(decode(200, b"anything"), Ok(Extended::Unknown(200)));
}

/// The layout of BEP 55, written by hand.
#[test]
fn the_messages_of_bep_55() {
    let (v4, v6): (SocketAddr, SocketAddr) =
        ("1.2.3.4:6881".parse().unwrap(), "[2001:db8::1]:6881".parse().unwrap());
    let of_v4 = |kind: u8, code: u8| [kind, 0, 1, 2, 3, 4, 0x1a, 0xe1, 0, 0, 0, code].to_vec();
    let cases = [
        (Holepunch::Rendezvous(v4), of_v4(0, 0)),
        (Holepunch::Connect(v4), of_v4(1, 0)),
        (Holepunch::Failed(v4, HolepunchError::NoSuchPeer), of_v4(2, 1)),
        (Holepunch::Failed(v4, HolepunchError::NotConnected), of_v4(2, 2)),
        (Holepunch::Failed(v4, HolepunchError::NoSupport), of_v4(2, 3)),
        (Holepunch::Failed(v4, HolepunchError::NoSelf), of_v4(2, 4)),
        (Holepunch::Failed(v4, HolepunchError::Other(9)), of_v4(2, 9)),
    ];
    for (message, bytes) in cases {
        assert_eq!(message.encode(), bytes);
        assert_eq!(decode(4, &bytes), Ok(Extended::Holepunch(message)));
    }
    let mut bytes = vec![1, 1, 0x20, 0x01, 0x0d, 0xb8];
    bytes.extend([0; 11]);
    bytes.extend([1, 0x1a, 0xe1]);
    assert_eq!(Holepunch::decode(&bytes), Ok(Holepunch::Connect(v6)), "no code, as libtorrent sends it");
    assert_eq!(Holepunch::decode(&of_v4(7, 0)), Ok(Holepunch::Unknown));
    assert_eq!(Holepunch::decode(&[0, 2, 1, 2, 3, 4]), Ok(Holepunch::Unknown), "an address of a third kind");
    for short in [&b""[..], &[0], &of_v4(0, 0)[..7], &bytes[..19], &of_v4(2, 1)[..11]] {
        assert_eq!(decode(4, short), Err(Error::Length), "{short:?}");
    }
}

fn addr() -> impl Strategy<Value = SocketAddr> {
    let ip = prop_oneof![
        any::<[u8; 4]>().prop_map(IpAddr::from),
        // Mapped addresses come back as IPv4, on purpose.
        any::<[u8; 16]>().prop_map(|ip| Ipv6Addr::from(ip).to_canonical()),
    ];
    (ip, any::<u16>()).prop_map(SocketAddr::from)
}

proptest! {
    #[test]
    fn handshakes_round_trip(
        ids in any::<[Option<u8>; 5]>(), client in "[a-z0-9 ./-]{0,64}", port in 1u16.., reqq in 1u32..,
        metadata_size in 1..=METADATA_BYTES_MAX as u32, addr in addr(), upload_only: bool,
    ) {
        let [metadata, pex, upload_only_id, dont_have, holepunch] = ids;
        let original = Handshake {
            ids: Ids { metadata, pex, upload_only: upload_only_id, dont_have, holepunch },
            client: Some(client), port: Some(port), reqq: Some(reqq), metadata_size: Some(metadata_size),
            your_ip: Some(addr.ip()), upload_only: Some(upload_only),
        };
        prop_assert_eq!(Handshake::decode(&original.encode()), Ok(original));
    }

    #[test]
    fn pex_round_trips(added in prop::collection::vec((addr(), any::<u8>()), 0..50), dropped in prop::collection::vec(addr(), 0..50)) {
        let mut added: Vec<_> = added.into_iter().map(|(addr, flags)| PexPeer { addr, flags }).collect();
        let mut dropped = dropped;
        added.sort_by_key(|peer| peer.addr.is_ipv6());
        dropped.sort_by_key(SocketAddr::is_ipv6);
        let original = Pex { added, dropped };
        prop_assert_eq!(Pex::decode(&original.encode()), Ok(original));
    }

    #[test]
    fn holepunch_round_trips(kind in 0_u8..3, addr in addr(), code: u32) {
        let original = match kind {
            0 => Holepunch::Rendezvous(addr),
            1 => Holepunch::Connect(addr),
            _ => Holepunch::Failed(addr, HolepunchError::from_code(code)),
        };
        prop_assert_eq!(Holepunch::decode(&original.encode()), Ok(original));
    }

    #[test]
    fn metadata_round_trips(piece: u32, total_size: u32, bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let original = MetadataMessage::Data { piece, total_size, bytes };
        prop_assert_eq!(MetadataMessage::decode(&original.encode()), Ok(original));
    }
}
