//! Every integer field of every wire structure at its extremes (threats.md P10): no panic, and no
//! answer but a value or a named error.
//!
//! The list of fields is not kept by hand. In a binary packet every run of 1, 2, 4 and 8 bytes at
//! every offset is overwritten, which covers each field at its place; in a bencoded document every
//! integer and every string length is found and replaced. What decodes is encoded again, so encoders
//! meet the extremes too.

use peerage_base::Duration;
use peerage_wire::bencode::{self, Kind, Limits, Value};
use peerage_wire::extension::{
    self, Extended, Holepunch, HolepunchError, LOCAL_IDS, MetadataMessage, Pex, PexPeer,
};
use peerage_wire::frame::Splitter;
use peerage_wire::krpc;
use peerage_wire::tracker::http::{self, Retry};
use peerage_wire::tracker::udp::{Family, Reply, Request};
use peerage_wire::tracker::{AnnounceReply, AnnounceRequest, INTERVAL_MAX, INTERVAL_MIN, ScrapeEntry};
use peerage_wire::{Block, Handshake, HashRequest, Message};

/// 0, 1, MAX-1, MAX, the signed maximum and minimum, and -1, as fields of each width hold them.
const EXTREMES: [u64; 8] = [
    0,
    1,
    u64::MAX - 1,
    u64::MAX,
    i64::MAX as u64,
    i64::MIN as u64,
    0x7FFF_FFFF_7FFF_FFFF,
    0x8000_0000_8000_0000,
];

/// Calls `check` with every variant of a binary packet; returns how many there were.
fn binary_variants(packet: &[u8], check: impl Fn(&[u8])) -> usize {
    let mut count = 0;
    for width in [1, 2, 4, 8] {
        for offset in 0..(packet.len() + 1).saturating_sub(width) {
            for extreme in EXTREMES {
                let mut variant = packet.to_vec();
                variant[offset..offset + width].copy_from_slice(&extreme.to_be_bytes()[..width]);
                check(&variant);
                count += 1;
            }
        }
    }
    count
}

const TEXT_EXTREMES: [&str; 14] = [
    "0",
    "1",
    "-1",
    "65535",
    "65536",
    "4294967294",
    "4294967295",
    "4294967296",
    "9223372036854775806",
    "9223372036854775807",
    "-9223372036854775808",
    "9223372036854775808",
    "18446744073709551615",
    "-0",
];

/// Calls `check` with every variant of a bencoded document (`tail` follows it unchanged).
fn bencode_variants(source: &[u8], check: impl Fn(&[u8])) -> usize {
    let (document, _) = bencode::decode_prefix(source, Limits::TORRENT.strict()).expect("a sample is valid");
    let mut places = Vec::new();
    number_places(document.root(), &mut places);
    for place in &places {
        for extreme in TEXT_EXTREMES {
            check(&[&source[..place.start], extreme.as_bytes(), &source[place.end..]].concat());
        }
    }
    places.len() * TEXT_EXTREMES.len()
}

/// Where the digits of each integer and of each string's length are.
fn number_places(value: Value<'_>, places: &mut Vec<core::ops::Range<usize>>) {
    let span = value.span();
    match value.kind() {
        Kind::Int => places.push(span.start + 1..span.end - 1),
        Kind::Bytes => {
            let digits = value.raw().iter().take_while(|byte| byte.is_ascii_digit()).count();
            places.push(span.start..span.start + digits);
        }
        Kind::List => value.as_list().into_iter().flatten().for_each(|item| number_places(item, places)),
        Kind::Dict => value.as_dict().into_iter().flatten().for_each(|(key, value)| {
            // A key ends where its value starts.
            let digits = key.len().to_string().len();
            let start = value.span().start - key.len() - 1 - digits;
            places.push(start..start + digits);
            number_places(value, places);
        }),
    }
}

const BLOCK: Block = Block { piece: 0x0102_0304, begin: 0x0506_0708, len: 0x4000 };
const HASHES: HashRequest =
    HashRequest { root: [9; 32], base_layer: 1, index: 2, length: 4, proof_layers: 5 };

fn every_message() -> Vec<Message> {
    vec![
        Message::KeepAlive,
        Message::Choke,
        Message::Have(1),
        Message::Bitfield(vec![0xF0; 4]),
        Message::Request(BLOCK),
        Message::Cancel(BLOCK),
        Message::Port(6881),
        Message::Suggest(2),
        Message::HaveAll,
        Message::Reject(BLOCK),
        Message::AllowedFast(3),
        Message::Extended { id: 2, payload: MetadataMessage::Request { piece: 1 }.encode() },
        Message::HashRequest(HASHES),
        Message::Hashes { request: HASHES, hashes: vec![[1; 32]; 3] },
        Message::HashReject(HASHES),
    ]
}

#[test]
fn peer_wire() {
    let handshake = Handshake::new([1; 20], [2; 20]).encode();
    let mut variants = binary_variants(&handshake, |bytes| {
        let split = Splitter::new().next(bytes);
        assert_eq!(split.is_ok(), Handshake::decode(bytes).is_ok());
    });
    for message in every_message() {
        let mut frame = Vec::new();
        message.encode(&mut frame);
        variants += binary_variants(&frame, |bytes| {
            let mut splitter = Splitter::past_handshake();
            if let Ok(Some((_, consumed))) = splitter.next(bytes) {
                assert!(consumed <= bytes.len());
            }
            if let Ok(decoded) = Message::decode(bytes.get(4..).unwrap_or_default()) {
                decoded.encode(&mut Vec::new());
            }
        });
    }
    let block = [&peerage_wire::message::piece_header(BLOCK)[..], &[7; 0x4000]].concat();
    variants += binary_variants(&block[..40], |bytes| {
        let frame = [bytes, &block[40..]].concat();
        let _ = Splitter::past_handshake().next(&frame);
    });
    assert!(variants > 10_000, "{variants}");
}

#[test]
fn extension_messages() {
    let handshake = extension::Handshake {
        ids: LOCAL_IDS,
        client: Some("x 1".into()),
        port: Some(1),
        reqq: Some(2),
        metadata_size: Some(3),
        your_ip: Some([1, 2, 3, 4].into()),
        upload_only: Some(true),
    };
    let peers = ["1.2.3.4:5", "[2001:db8::1]:5"].map(|addr| addr.parse().expect("an address"));
    let pex = Pex {
        added: peers.iter().map(|addr| PexPeer { addr: *addr, flags: 1 }).collect(),
        dropped: peers.to_vec(),
    };
    let messages = [
        (0, handshake.encode()),
        (1, pex.encode()),
        (2, MetadataMessage::Request { piece: 1 }.encode()),
        (2, MetadataMessage::Data { piece: 1, total_size: 2, bytes: vec![b'd'; 30] }.encode()),
        (2, MetadataMessage::Reject { piece: 1 }.encode()),
    ];
    let mut variants = 0;
    for (id, payload) in messages {
        let check = |bytes: &[u8]| match extension::decode(id, bytes) {
            Ok(Extended::Handshake(handshake)) => {
                // What is accepted is also sound: it can be sent and read again.
                assert_eq!(extension::Handshake::decode(&handshake.encode()), Ok(*handshake));
            }
            Ok(Extended::Metadata(message)) => {
                assert_eq!(MetadataMessage::decode(&message.encode()), Ok(message))
            }
            Ok(Extended::Pex(pex)) => assert!(Pex::decode(&pex.encode()).is_ok()),
            Ok(other) => panic!("{other:?}"),
            Err(_) => {}
        };
        variants += bencode_variants(&payload, check) + binary_variants(&payload, check);
    }
    assert!(variants > 10_000, "{variants}");
}

#[test]
fn introductions() {
    let peers = ["1.2.3.4:5", "[2001:db8::1]:5"].map(|addr| addr.parse().expect("an address"));
    let mut variants = 0;
    for message in [Holepunch::Connect(peers[0]), Holepunch::Failed(peers[1], HolepunchError::NoSelf)] {
        variants += binary_variants(&message.encode(), |bytes| match extension::decode(4, bytes) {
            Ok(Extended::Holepunch(Holepunch::Unknown)) | Err(_) => {}
            Ok(Extended::Holepunch(message)) => {
                assert_eq!(Holepunch::decode(&message.encode()), Ok(message))
            }
            Ok(other) => panic!("{other:?}"),
        });
    }
    assert!(variants > 500, "{variants}");
}

fn announce_reply() -> AnnounceReply {
    AnnounceReply {
        interval: Duration::from_secs(100),
        min_interval: Some(Duration::from_secs(90)),
        peers: vec!["1.2.3.4:5".parse().expect("an address"), "[2001:db8::1]:5".parse().expect("an address")],
        seeds: Some(1),
        leechers: Some(2),
        tracker_id: Some(b"id".to_vec()),
        warning: Some("w".into()),
        external_ip: Some([1, 2, 3, 4].into()),
    }
}

fn within_bounds(interval: Duration) -> bool {
    (INTERVAL_MIN..=INTERVAL_MAX).contains(&interval)
}

#[test]
fn http_trackers() {
    let check = |bytes: &[u8]| {
        match http::parse_announce_reply(bytes) {
            Ok(reply) => {
                assert!(within_bounds(reply.interval) && reply.min_interval.is_none_or(within_bounds));
                let _ = http::encode_announce_reply(&reply, true);
            }
            Err(http::ReplyError::Failure { retry: Retry::After(delay), .. }) => {
                assert!(within_bounds(delay))
            }
            Err(_) => {}
        }
        let _ = http::parse_scrape_reply(bytes);
    };
    let entry = ScrapeEntry { seeds: 1, completed: 2, leechers: 3 };
    let samples = [
        http::encode_announce_reply(&announce_reply(), true),
        http::encode_announce_reply(&announce_reply(), false),
        http::encode_scrape_reply([(&[5; 20], entry)]),
        b"d14:failure reason1:x8:retry ini5ee".to_vec(),
    ];
    for sample in samples {
        assert!(bencode_variants(&sample, check) > 0 && binary_variants(&sample, check) > 0);
    }
}

#[test]
fn http_queries() {
    let names = [
        "port",
        "uploaded",
        "downloaded",
        "left",
        "numwant",
        "key",
        "compact",
        "event",
        "info_hash",
        "peer_id",
        "trackerid",
    ];
    let hash = "A".repeat(20);
    for name in names {
        for extreme in TEXT_EXTREMES {
            let query = format!("info_hash={hash}&peer_id={hash}&port=1&{name}={extreme}");
            if let Ok(query) = http::parse_announce_query(&query) {
                let again = http::parse_announce_query(&http::announce_query(&query.request)).expect("sound");
                assert_eq!(again.request.port, query.request.port);
            }
            let _ = http::parse_scrape_query(&query);
        }
    }
}

#[test]
fn udp_trackers() {
    let request = AnnounceRequest { port: 1, num_want: Some(5), ..AnnounceRequest::default() };
    let requests = [
        Request::Connect { transaction: 1 },
        Request::Announce { connection: 1, transaction: 2, request, url_data: b"/path".to_vec() },
        Request::Scrape { connection: 1, transaction: 2, info_hashes: vec![[1; 20]; 2] },
    ];
    for request in requests {
        binary_variants(&request.encode(), |bytes| {
            if let Ok(decoded) = Request::decode(bytes) {
                let _ = decoded.encode();
            }
        });
    }
    for family in [Family::V4, Family::V6] {
        let replies = [
            Reply::Connect { transaction: 1, connection: 2 },
            Reply::Announce { transaction: 1, reply: announce_reply() },
            Reply::Scrape { transaction: 1, entries: vec![ScrapeEntry::default(); 2] },
            Reply::Error { transaction: 1, message: "no".into() },
        ];
        for reply in replies {
            binary_variants(&reply.encode(family), |bytes| {
                if let Ok(decoded) = Reply::decode(bytes, family) {
                    assert!(
                        !matches!(&decoded, Reply::Announce { reply, .. } if !within_bounds(reply.interval))
                    );
                    let _ = decoded.encode(family);
                }
            });
        }
    }
}

/// A port of 0 or beyond 65535, lengths that lie, sequence numbers at both ends.
#[test]
fn dht_messages() {
    let samples: [&[u8]; 5] = [
        b"d1:ad2:id20:abcdefghij012345678912:implied_porti0e9:info_hash20:mnopqrstuvwxyz1234564:porti6881e5:token8:aoeusnthe\
          1:q13:announce_peer1:t2:aa1:y1:qe",
        b"d1:ad3:casi1e2:id20:abcdefghij01234567891:k32:kkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkk3:seqi4e\
          3:sig64:ssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssss5:token2:xx1:vi7ee\
          1:q3:put1:t2:aa1:y1:qe",
        b"d1:ad2:id20:abcdefghij01234567893:seqi4e6:target20:mnopqrstuvwxyz123456e1:q3:get2:roi1e1:t2:aa1:y1:qe",
        b"d2:ip6:abcdef1:rd2:id20:mnopqrstuvwxyz1234568:intervali5e5:nodes26:nnnnnnnnnnnnnnnnnnnnnnnnnn3:numi3e\
          7:samples20:mnopqrstuvwxyz1234563:seqi1e5:token2:xx6:valuesl6:axje.uee1:t2:aa1:y1:re",
        b"d1:eli201e2:nee1:t2:aa1:y1:ee",
    ];
    let check = |packet: &[u8]| {
        if let Ok(message) = krpc::decode(packet) {
            assert_eq!(krpc::decode(&message.encode()), Ok(message));
        }
    };
    for sample in samples {
        assert!(krpc::decode(sample).is_ok(), "{}", sample.escape_ascii());
        assert!(bencode_variants(sample, check) > 0 && binary_variants(sample, check) > 0);
    }
}
