#![allow(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use super::*;
use crate::bencode::ErrorKind;
use crate::tracker::{AnnounceRequest, Event, INTERVAL_MAX, INTERVAL_MIN};
use proptest::prelude::*;

fn request() -> AnnounceRequest {
    AnnounceRequest {
        info_hash: *b"\x12\x34\x56\x78\x9a\xbc\xde\xf1\x23\x45\x67\x89\xab\xcd\xef\x12\x34\x56\x78\x9a",
        peer_id: *b"-PG0100-abc ~&=+%/.x",
        port: 6881,
        uploaded: 1,
        downloaded: 2,
        left: 3,
        event: Event::Started,
        num_want: Some(50),
        key: 0xC0FFEE,
        tracker_id: None,
    }
}

/// The hash and its escaped form are the common example of the specification.
#[test]
fn the_query_byte_for_byte() {
    let expected = "info_hash=%124Vx%9A%BC%DE%F1%23Eg%89%AB%CD%EF%124Vx%9A&peer_id=-PG0100-abc%20~%26%3D%2B%25%2F.x\
        &port=6881&uploaded=1&downloaded=2&left=3&compact=1&no_peer_id=1&key=00C0FFEE&numwant=50&event=started";
    assert_eq!(announce_query(&request()), expected);
    assert_eq!(parse_announce_query(expected), Ok(AnnounceQuery { request: request(), compact: true }));
    let id = AnnounceRequest {
        tracker_id: Some(b"a&b".to_vec()),
        event: Event::None,
        num_want: None,
        ..request()
    };
    assert!(announce_query(&id).ends_with("&key=00C0FFEE&trackerid=a%26b"));
    assert!(announce_query(&AnnounceRequest { left: u64::MAX, ..id }).contains("&left=9223372036854775807&"));
}

#[test]
fn queries_join_what_a_url_has() {
    assert_eq!(append_query("http://t/announce", "a=1"), "http://t/announce?a=1");
    assert_eq!(append_query("http://t/announce?", "a=1"), "http://t/announce?a=1");
    assert_eq!(append_query("http://t/announce?key=x#part", "a=1"), "http://t/announce?key=x&a=1");
}

/// The table of BEP 48.
#[test]
fn scrape_urls() {
    let table = [
        ("http://example.com/announce", Some("http://example.com/scrape")),
        ("http://example.com/x/announce", Some("http://example.com/x/scrape")),
        ("http://example.com/announce.php", Some("http://example.com/scrape.php")),
        ("http://example.com/a", None),
        ("http://example.com/announce?x2%0644", Some("http://example.com/scrape?x2%0644")),
        ("http://example.com/announce?x=2/4", Some("http://example.com/scrape?x=2/4")),
        ("http://example.com/x%064announce", None),
    ];
    for (announce, scrape) in table {
        assert_eq!(scrape_url(announce).as_deref(), scrape, "{announce}");
    }
}

#[test]
fn compact_peers_of_both_families() {
    let body = b"d8:completei7e10:incompletei2e8:intervali1800e12:min intervali300e\
        5:peers12:\x01\x02\x03\x04\x1a\xe1\x05\x06\x07\x08\x00\x50\
        6:peers618:\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x01\x1a\xe110:tracker id2:id15:warning message4:slow\
        11:external ip4:\x09\x09\x09\x09e";
    let addr = |text: &str| text.parse().unwrap();
    let expected = AnnounceReply {
        interval: Duration::from_secs(1800),
        min_interval: Some(Duration::from_secs(300)),
        peers: vec![addr("1.2.3.4:6881"), addr("[2001:db8::1]:6881"), addr("5.6.7.8:80")],
        seeds: Some(7),
        leechers: Some(2),
        tracker_id: Some(b"id".to_vec()),
        warning: Some("slow".into()),
        external_ip: Some([9, 9, 9, 9].into()),
    };
    assert_eq!(parse_announce_reply(body), Ok(expected));
}

#[test]
fn long_peers_that_are_addresses() {
    let body = b"d8:intervali60e5:peersld2:ip7:1.2.3.47:peer id20:aaaaaaaaaaaaaaaaaaaa4:porti6881eed2:ip11:example.com4:porti1ee\
        d2:ip11:2001:db8::14:porti2eed2:ip7:1.2.3.44:porti65536eed2:ip7:1.2.3.44:porti-1eei5ed4:porti1eeee";
    let peers = parse_announce_reply(body).unwrap().peers;
    assert_eq!(peers, ["1.2.3.4:6881".parse().unwrap(), "[2001:db8::1]:2".parse().unwrap()]);
}

#[test]
fn refusals_and_their_delay() {
    let failure =
        |text: &str| match parse_announce_reply(format!("d14:failure reason4:nope{text}e").as_bytes()) {
            Err(ReplyError::Failure { reason, retry }) => (reason, retry),
            other => panic!("{other:?}"),
        };
    assert_eq!(failure(""), ("nope".into(), Retry::Unknown));
    assert_eq!(failure("8:retry in5:never").1, Retry::Never);
    assert_eq!(failure("8:retry ini5e").1, Retry::After(Duration::from_secs(300)));
    assert_eq!(failure("8:retry ini9223372036854775807e").1, Retry::After(INTERVAL_MAX));
    assert_eq!(failure("8:retry ini-1e").1, Retry::Unknown);
    assert_eq!(
        parse_announce_reply(&encode_failure("x")),
        parse_scrape_reply(&encode_failure("x")).map(|_| AnnounceReply::default())
    );
}

/// S4: intervals of a hostile tracker.
#[test]
fn intervals_are_clamped() {
    let table = [
        ("0", INTERVAL_MIN),
        ("1", INTERVAL_MIN),
        ("-1", INTERVAL_MIN),
        ("-9223372036854775808", INTERVAL_MIN),
        ("60", INTERVAL_MIN),
        ("61", Duration::from_secs(61)),
        ("3600", INTERVAL_MAX),
        ("3601", INTERVAL_MAX),
        ("9223372036854775806", INTERVAL_MAX),
        ("9223372036854775807", INTERVAL_MAX),
    ];
    for (number, expected) in table {
        let body = format!("d8:intervali{number}e12:min intervali{number}e5:peers0:e");
        let reply = parse_announce_reply(body.as_bytes()).unwrap();
        assert_eq!((reply.interval, reply.min_interval), (expected, Some(expected)), "{number}");
    }
    let none = parse_announce_reply(b"d5:peers0:e").unwrap();
    assert_eq!((none.interval, none.min_interval), (INTERVAL_DEFAULT, None));
    assert!(matches!(
        parse_announce_reply(b"d8:intervali18446744073709551615e5:peers0:e"),
        Err(ReplyError::Bencode(error)) if error.kind == ErrorKind::Range
    ));
}

/// S4: counts, texts and sizes of a hostile tracker.
#[test]
fn replies_are_bounded() {
    let body = [
        b"d8:completei-1e10:incompletei9223372036854775807e5:peers600000:".to_vec(),
        vec![1; 600_000],
        b"e".to_vec(),
    ]
    .concat();
    let reply = parse_announce_reply(&body).unwrap();
    assert_eq!(reply.peers.len(), TRACKER_PEERS_MAX);
    assert_eq!((reply.seeds, reply.leechers), (None, Some(u32::MAX)));
    let text = format!("d14:failure reason10000:{}e", "\x1b[2J<b>".repeat(1429).split_at(10_000).0);
    let Err(ReplyError::Failure { reason, .. }) = parse_announce_reply(text.as_bytes()) else { panic!() };
    assert!(reason.chars().count() == TEXT_CHARS_MAX && !reason.contains('\x1b'));
    let id = format!("d5:peers0:10:tracker id257:{}e", "x".repeat(257));
    assert_eq!(parse_announce_reply(id.as_bytes()).unwrap().tracker_id, None);
    let too_long = vec![b'i'; TRACKER_REPLY_BYTES_MAX + 1];
    assert!(
        matches!(parse_announce_reply(&too_long), Err(ReplyError::Bencode(error)) if error.kind == ErrorKind::Bytes)
    );
}

#[test]
fn other_documents_are_no_replies() {
    for body in [&b"<html>404</html>"[..], b"", b"\xff\xfe"] {
        assert!(matches!(parse_announce_reply(body), Err(ReplyError::Bencode(_))));
    }
    for body in [&b"de"[..], b"le", b"i1e", b"d5:filesdee"] {
        assert_eq!(parse_announce_reply(body), Err(ReplyError::NotAReply));
    }
    assert_eq!(parse_scrape_reply(b"d5:peers0:e"), Err(ReplyError::NotAReply));
}

#[test]
fn announce_queries_of_other_clients() {
    let hash = "%41".repeat(20);
    let parse = |rest: &str| {
        parse_announce_query(&format!("info_hash={hash}&peer_id=BBBBBBBBBBBBBBBBBBBB&port=1{rest}"))
    };
    let plain = parse("").unwrap();
    assert_eq!(
        (plain.request.info_hash, plain.request.peer_id, plain.request.port),
        ([b'A'; 20], [b'B'; 20], 1)
    );
    assert_eq!((plain.request.left, plain.compact), (u64::MAX, true));
    assert!(!parse("&compact=0").unwrap().compact);
    for number in ["-1", "18446744073709551616", "x", ""] {
        let odd = parse(&format!("&left={number}&uploaded={number}&numwant={number}&key={number}"))
            .unwrap()
            .request;
        assert_eq!((odd.left, odd.uploaded, odd.num_want), (u64::MAX, 0, None), "{number}");
    }
    assert_eq!(parse("&numwant=18446744073709551615").unwrap().request.num_want, Some(u32::MAX));
    assert_eq!(parse("&event=paused").unwrap().request.event, Event::None);
    assert_eq!(parse("&ip=127.0.0.1&port=65536"), Err(QueryError::Invalid("port")));
    assert_eq!(parse("&info_hash=short"), Err(QueryError::Invalid("info_hash")));
    assert_eq!(parse_announce_query(""), Err(QueryError::Missing("info_hash")));
    assert_eq!(parse_announce_query(&"&".repeat(10_000)), Err(QueryError::TooLong));
}

fn reply() -> impl Strategy<Value = AnnounceReply> {
    let addr = || {
        let ip = prop_oneof![
            any::<[u8; 4]>().prop_map(IpAddr::from),
            any::<u16>().prop_map(|n| IpAddr::from([0x2001, 0, 0, 0, 0, 0, 0, n]))
        ];
        (ip, any::<u16>()).prop_map(SocketAddr::from)
    };
    let counts = (60..=3600_u64, prop::option::of(60..=3600_u64), any::<[Option<u32>; 2]>());
    let texts =
        (prop::option::of(prop::collection::vec(any::<u8>(), 0..50)), prop::option::of("[ -~]{0,50}"));
    (counts, texts, prop::collection::vec(addr(), 0..20), prop::option::of(addr())).prop_map(
        |((interval, min_interval, [seeds, leechers]), (tracker_id, warning), peers, external)| {
            AnnounceReply {
                interval: Duration::from_secs(interval),
                min_interval: min_interval.map(Duration::from_secs),
                peers,
                seeds,
                leechers,
                tracker_id,
                warning,
                external_ip: external.map(|addr| addr.ip()),
            }
        },
    )
}

proptest! {
    #[test]
    fn replies_round_trip_in_both_forms(original in reply()) {
        let sorted = |mut reply: AnnounceReply| { reply.peers.sort(); reply };
        for compact in [true, false] {
            let read = parse_announce_reply(&encode_announce_reply(&original, compact)).unwrap();
            prop_assert_eq!(sorted(read), sorted(original.clone()));
        }
    }

    #[test]
    fn queries_round_trip(
        hashes: [[u8; 20]; 2], numbers: [u32; 2], port: u16, key: u32, num_want: Option<u32>,
        event in 0..4_usize, tracker_id in prop::option::of(prop::collection::vec(any::<u8>(), 0..100)),
    ) {
        let original = AnnounceRequest {
            info_hash: hashes[0], peer_id: hashes[1], port, key, num_want, tracker_id,
            uploaded: u64::from(numbers[0]) << 20, downloaded: u64::from(numbers[1]), left: i64::MAX as u64,
            event: [Event::None, Event::Completed, Event::Started, Event::Stopped][event],
        };
        let query = parse_announce_query(&announce_query(&original)).unwrap();
        prop_assert_eq!(query, AnnounceQuery { request: original, compact: true });
    }

    #[test]
    fn scrapes_round_trip(entries in prop::collection::btree_map(any::<[u8; 20]>(), any::<[u32; 3]>(), 1..20)) {
        let hashes: Vec<_> = entries.keys().copied().collect();
        prop_assert_eq!(parse_scrape_query(&scrape_query(&hashes)), Ok(hashes));
        let entry = |numbers: &[u32; 3]| ScrapeEntry { seeds: numbers[0], completed: numbers[1], leechers: numbers[2] };
        let body = encode_scrape_reply(entries.iter().map(|(hash, numbers)| (hash, entry(numbers))));
        let expected = entries.iter().map(|(hash, numbers)| (*hash, entry(numbers))).collect();
        prop_assert_eq!(parse_scrape_reply(&body), Ok(expected));
    }
}
