#![allow(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use super::*;
use crate::tracker::{INTERVAL_MAX, INTERVAL_MIN};
use core::net::{Ipv6Addr, SocketAddr};
use peerage_base::Duration;
use proptest::prelude::*;

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn announce() -> AnnounceRequest {
    AnnounceRequest {
        info_hash: [0xAA; 20],
        peer_id: [0xBB; 20],
        port: 6881,
        uploaded: 3,
        downloaded: 1,
        left: 2,
        event: Event::Started,
        num_want: None,
        key: 0x01020304,
        tracker_id: None,
    }
}

/// The layouts of BEP 15's tables.
#[test]
fn requests_byte_for_byte() {
    let announced =
        Request::Announce { connection: 5, transaction: 7, request: announce(), url_data: b"/a?b".to_vec() };
    let body = "0000000000000001000000000000000200000000000000030000000200000000".to_string()
        + "01020304ffffffff1ae1";
    let vectors = [
        (Request::Connect { transaction: 7 }, "00000417271019800000000000000007".to_string()),
        (
            announced,
            format!(
                "00000000000000050000000100000007{}{}{body}02042f613f62",
                "aa".repeat(20),
                "bb".repeat(20)
            ),
        ),
        (
            Request::Scrape { connection: 5, transaction: 7, info_hashes: vec![[0xAA; 20]] },
            format!("00000000000000050000000200000007{}", "aa".repeat(20)),
        ),
    ];
    for (request, expected) in vectors {
        let packet = request.encode();
        assert_eq!(hex(&packet), expected);
        assert_eq!(Request::decode(&packet), Ok(request));
    }
}

#[test]
fn replies_byte_for_byte() {
    let reply = |peers: &[&str]| AnnounceReply {
        interval: Duration::from_secs(1800),
        peers: peers.iter().map(|peer| peer.parse().unwrap()).collect(),
        seeds: Some(2),
        leechers: Some(1),
        ..AnnounceReply::default()
    };
    let v6 = "20010db8000000000000000000000001";
    let entry = ScrapeEntry { seeds: 1, completed: 2, leechers: 3 };
    let vectors = [
        (
            Reply::Connect { transaction: 7, connection: 5 },
            Family::V4,
            "00000000000000070000000000000005".to_string(),
        ),
        (
            Reply::Announce { transaction: 7, reply: reply(&["1.2.3.4:6881"]) },
            Family::V4,
            "000000010000000700000708000000010000000201020304".to_string() + "1ae1",
        ),
        (
            Reply::Announce { transaction: 7, reply: reply(&["[2001:db8::1]:80"]) },
            Family::V6,
            format!("0000000100000007000007080000000100000002{v6}0050"),
        ),
        (
            Reply::Scrape { transaction: 7, entries: vec![entry] },
            Family::V4,
            "0000000200000007000000010000000200000003".into(),
        ),
        (Reply::Error { transaction: 7, message: "no".into() }, Family::V4, "00000003000000076e6f".into()),
    ];
    for (reply, family, expected) in vectors {
        let packet = reply.encode(family);
        assert_eq!(hex(&packet), expected);
        assert_eq!(reply.transaction(), 7);
        assert_eq!(Reply::decode(&packet, family), Ok(reply));
    }
}

#[test]
fn every_shorter_packet_is_refused_or_means_less() {
    let request =
        Request::Announce { connection: 5, transaction: 7, request: announce(), url_data: Vec::new() }
            .encode();
    assert_eq!(request.len(), 98);
    for len in 0..request.len() {
        assert_eq!(Request::decode(&request[..len]), Err(BadPacket), "{len}");
    }
    let reply = AnnounceReply { peers: vec!["1.2.3.4:1".parse().unwrap(); 2], ..AnnounceReply::default() };
    let packet = Reply::Announce { transaction: 7, reply }.encode(Family::V4);
    for len in 0..packet.len() {
        match Reply::decode(&packet[..len], Family::V4) {
            Ok(Reply::Announce { reply, .. }) => assert_eq!(reply.peers.len(), (len - 20) / 6),
            other => assert!(len < 20 && other == Err(BadPacket)),
        }
    }
    for family in [Family::V4, Family::V6] {
        assert_eq!(Reply::decode(&[0; PACKET_BYTES_MAX + 1], family), Err(BadPacket));
    }
    assert_eq!(Request::decode(&[0; PACKET_BYTES_MAX + 1]), Err(BadPacket));
}

#[test]
fn hostile_numbers_are_clamped() {
    for (wire, expected) in
        [(0, INTERVAL_MIN), (1, INTERVAL_MIN), (u32::MAX - 1, INTERVAL_MAX), (u32::MAX, INTERVAL_MAX)]
    {
        let packet: Vec<u8> =
            [1, 7, wire, u32::MAX, u32::MAX].iter().flat_map(|number: &u32| number.to_be_bytes()).collect();
        let Ok(Reply::Announce { reply, .. }) = Reply::decode(&packet, Family::V4) else { panic!() };
        assert_eq!((reply.interval, reply.seeds, reply.leechers), (expected, Some(u32::MAX), Some(u32::MAX)));
    }
    let peers = [vec![0; 20], vec![1; 6 * (TRACKER_PEERS_MAX + 100)]].concat();
    let packet = [&[0, 0, 0, 1][..], &peers[4..]].concat();
    let Ok(Reply::Announce { reply, .. }) = Reply::decode(&packet, Family::V4) else { panic!() };
    assert_eq!(reply.peers.len(), TRACKER_PEERS_MAX);
    let error = [&[0, 0, 0, 3, 0, 0, 0, 7][..], b"\x1b[31m".repeat(1000).as_slice()].concat();
    let Ok(Reply::Error { message, .. }) = Reply::decode(&error, Family::V4) else { panic!() };
    assert!(message.chars().count() == TEXT_CHARS_MAX && !message.contains('\x1b'));
}

#[test]
fn scrapes_have_1_to_74_hashes() {
    for (count, accepted) in
        [(0, false), (1, true), (SCRAPE_HASHES_MAX, true), (SCRAPE_HASHES_MAX + 1, false)]
    {
        let mut packet = Request::Scrape { connection: 1, transaction: 2, info_hashes: Vec::new() }.encode();
        packet.extend(vec![0; 20 * count]);
        assert_eq!(Request::decode(&packet).is_ok(), accepted, "{count}");
    }
}

#[test]
fn options_after_an_announce() {
    let with = |options: &[u8]| {
        let bare =
            Request::Announce { connection: 5, transaction: 7, request: announce(), url_data: Vec::new() }
                .encode();
        match Request::decode(&[&bare, options].concat()) {
            Ok(Request::Announce { url_data, .. }) => url_data,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(with(b"\x01\x01\x02\x02/a\x02\x01b\x00\x02\x01x"), b"/ab");
    assert_eq!(with(b"\x09\x02xx\x02\x01y"), b"y");
    assert_eq!(with(b"\x02\xff/cut"), b"");
    assert_eq!(with(b"\x02"), b"");
    assert!(with(&b"\x02\xffx".repeat(5000)[..5000]).len() <= URL_DATA_MAX);
}

#[test]
fn unknown_packets_are_refused() {
    let mut connect = Request::Connect { transaction: 7 }.encode();
    connect[0] = 1;
    assert_eq!(Request::decode(&connect), Err(BadPacket));
    for action in [4, 5, u8::MAX] {
        let packet = [&[0; 11][..], &[action], &[0; 100]].concat();
        assert_eq!(Request::decode(&packet), Err(BadPacket));
        assert_eq!(Reply::decode(&packet[8..], Family::V4), Err(BadPacket));
    }
}

proptest! {
    #[test]
    fn announces_round_trip(
        ids: [[u8; 20]; 2], numbers: [u32; 5], port: u16, num_want in prop::option::of(0..=i32::MAX as u32),
        event in 0..4_usize, url_data in prop::collection::vec(any::<u8>(), 0..=URL_DATA_MAX),
    ) {
        let request = AnnounceRequest {
            info_hash: ids[0], peer_id: ids[1], port, num_want, key: numbers[0],
            uploaded: u64::from(numbers[1]) << 31, downloaded: u64::from(numbers[2]), left: u64::from(numbers[3]),
            event: [Event::None, Event::Completed, Event::Started, Event::Stopped][event], tracker_id: None,
        };
        let original = Request::Announce { connection: u64::from(numbers[4]), transaction: numbers[1], request, url_data };
        prop_assert_eq!(Request::decode(&original.encode()), Ok(original));
    }

    #[test]
    fn replies_round_trip(transaction: u32, counts: [u32; 2], seconds in 60..=3600_u64, peers: Vec<(u32, u16)>, v6: bool) {
        let addr = |(ip, port): (u32, u16)| {
            if v6 { SocketAddr::from((Ipv6Addr::from(u128::from(ip) | 1 << 125), port)) } else { SocketAddr::from((ip.to_be_bytes(), port)) }
        };
        let reply = AnnounceReply {
            interval: Duration::from_secs(seconds), seeds: Some(counts[0]), leechers: Some(counts[1]),
            peers: peers.into_iter().map(addr).collect(), ..AnnounceReply::default()
        };
        let original = Reply::Announce { transaction, reply };
        let family = if v6 { Family::V6 } else { Family::V4 };
        prop_assert_eq!(Reply::decode(&original.encode(family), family), Ok(original));
    }
}
