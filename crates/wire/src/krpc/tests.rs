#![allow(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use super::*;
use peerage_base::limits::{KRPC_BYTES_MAX, KRPC_NODES_MAX};
use proptest::prelude::*;

fn id(text: &[u8; 20]) -> Id {
    Key(*text)
}

fn query(method: Method) -> Message {
    let query = Query { id: id(b"abcdefghij0123456789"), read_only: false, want: Want::default(), method };
    Message { transaction: b"aa".to_vec(), version: None, body: Body::Query(query) }
}

fn response(response: Response) -> Message {
    Message { transaction: b"aa".to_vec(), version: None, body: Body::Response(Box::new(response)) }
}

/// The example packets of BEP 5.
#[test]
fn the_examples_of_bep_5() {
    let target = id(b"mnopqrstuvwxyz123456");
    let token = b"aoeusnth".to_vec();
    let examples: [(Message, &[u8]); 8] = [
        (query(Method::Ping), b"d1:ad2:id20:abcdefghij0123456789e1:q4:ping1:t2:aa1:y1:qe"),
        (
            query(Method::FindNode { target }),
            b"d1:ad2:id20:abcdefghij01234567896:target20:mnopqrstuvwxyz123456e1:q9:find_node1:t2:aa1:y1:qe",
        ),
        (
            query(Method::GetPeers { info_hash: target, no_seeds: false, scrape: false }),
            b"d1:ad2:id20:abcdefghij01234567899:info_hash20:mnopqrstuvwxyz123456e1:q9:get_peers1:t2:aa1:y1:qe",
        ),
        (
            query(Method::AnnouncePeer { info_hash: target, port: Some(6881), seed: false, token: token.clone() }),
            b"d1:ad2:id20:abcdefghij01234567899:info_hash20:mnopqrstuvwxyz1234564:porti6881e5:token8:aoeusnthe\
              1:q13:announce_peer1:t2:aa1:y1:qe",
        ),
        (
            response(Response { id: Some(target), ..Response::default() }),
            b"d1:rd2:id20:mnopqrstuvwxyz123456e1:t2:aa1:y1:re",
        ),
        (
            response(Response {
                id: Some(id(b"abcdefghij0123456789")),
                token: Some(token),
                values: vec!["97.120.106.101:11893".parse().unwrap(), "105.100.104.116:28269".parse().unwrap()],
                ..Response::default()
            }),
            b"d1:rd2:id20:abcdefghij01234567895:token8:aoeusnth6:valuesl6:axje.u6:idhtnmee1:t2:aa1:y1:re",
        ),
        (
            Message {
                transaction: b"aa".to_vec(),
                version: None,
                body: Body::Error { code: 201, text: "A Generic Error Ocurred".into(), observed: None },
            },
            b"d1:eli201e23:A Generic Error Ocurrede1:t2:aa1:y1:ee",
        ),
        (
            query(Method::SampleInfohashes { target }),
            b"d1:ad2:id20:abcdefghij01234567896:target20:mnopqrstuvwxyz123456e1:q17:sample_infohashes\
              1:t2:aa1:y1:qe",
        ),
    ];
    for (message, packet) in examples {
        assert_eq!(message.encode().escape_ascii().to_string(), packet.escape_ascii().to_string());
        assert_eq!(decode(packet), Ok(message));
    }
}

/// The packet of BEP 5 with `implied_port`: the port in it has no meaning.
#[test]
fn an_implied_port_is_the_datagrams() {
    let packet =
        b"d1:ad2:id20:abcdefghij012345678912:implied_porti1e9:info_hash20:mnopqrstuvwxyz1234564:porti6881e\
        5:token8:aoeusnthe1:q13:announce_peer1:t2:aa1:y1:qe";
    let Ok(Message { body: Body::Query(query), .. }) = decode(packet) else { panic!("a query") };
    assert!(matches!(query.method, Method::AnnouncePeer { port: None, .. }));
}

fn bad_query(packet: &[u8]) -> i64 {
    match decode(packet) {
        Err(DecodeError::BadQuery { transaction, code, .. }) => {
            assert_eq!(transaction, b"aa");
            code
        }
        other => panic!("{}: {other:?}", packet.escape_ascii()),
    }
}

#[test]
fn bad_queries_have_the_codes_of_the_beps() {
    let with =
        |name: &str, args: &str| format!("d1:ad{args}e1:q{}:{name}1:t2:aa1:y1:qe", name.len()).into_bytes();
    let me = "2:id20:abcdefghij0123456789";
    let hash = "9:info_hash20:mnopqrstuvwxyz123456";
    for (name, args) in [
        ("ping", String::new()),
        ("ping", "2:id19:abcdefghij012345678".into()),
        ("find_node", me.into()),
        ("find_node", format!("{me}6:target3:abc")),
        ("get_peers", me.into()),
        ("announce_peer", format!("{me}{hash}4:porti80e")),
        ("announce_peer", format!("{me}{hash}5:token2:xx")),
        ("announce_peer", format!("{me}{hash}4:porti0e5:token2:xx")),
        ("announce_peer", format!("{me}{hash}4:porti65536e5:token2:xx")),
        ("announce_peer", format!("{me}{hash}4:porti-1e5:token2:xx")),
        ("put", format!("{me}5:token2:xx")),
        ("put", format!("{me}1:vi1e")),
        ("put", format!("{me}1:k3:abc3:seqi1e3:sig64:{}5:token2:xx1:vi1e", "s".repeat(64))),
        ("put", format!("{me}1:k32:{}3:sig64:{}5:token2:xx1:vi1e", "k".repeat(32), "s".repeat(64))),
        ("get", me.into()),
        ("sample_infohashes", me.into()),
    ] {
        assert_eq!(bad_query(&with(name, &args)), code::PROTOCOL, "{name} {args}");
    }
    assert_eq!(bad_query(&with("vote", me)), code::METHOD);
    assert_eq!(bad_query(b"d1:q4:ping1:t2:aa1:y1:qe"), code::PROTOCOL);
    assert_eq!(bad_query(b"d1:ad2:id20:abcdefghij0123456789e1:t2:aa1:y1:qe"), code::PROTOCOL);
    let short = format!("{me}1:k32:{}3:seqi1e3:sig63:{}5:token2:xx1:vi1e", "k".repeat(32), "s".repeat(63));
    assert_eq!(bad_query(&with("put", &short)), code::SIGNATURE);
}

#[test]
fn unknown_methods_with_a_target_ask_for_nodes() {
    for key in ["9:info_hash", "6:target"] {
        let packet =
            format!("d1:ad2:id20:abcdefghij0123456789{key}20:mnopqrstuvwxyz123456e1:q5:other1:t2:aa1:y1:qe");
        let Ok(Message { body: Body::Query(query), .. }) = decode(packet.as_bytes()) else {
            panic!("a query")
        };
        assert_eq!(query.method, Method::FindNode { target: id(b"mnopqrstuvwxyz123456") });
    }
}

#[test]
fn what_is_no_message_is_refused() {
    for packet in [
        &b""[..],
        b"d",
        b"le",
        b"de",
        b"d1:t2:aae",
        b"d1:t2:aa1:y1:xe",
        b"d1:t2:aa1:y1:re",
        b"d1:rde1:t2:aa1:y1:re",
        b"d1:t2:aa1:y1:ee",
        b"d1:ele1:t2:aa1:y1:ee",
        b"d1:el1:xe1:t2:aa1:y1:ee",
        b"d1:rd2:id20:mnopqrstuvwxyz123456e1:ti5e1:y1:re",
        b"d1:rd2:id20:mnopqrstuvwxyz123456e1:t33:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa1:y1:re",
    ] {
        assert!(
            matches!(decode(packet), Err(DecodeError::Bencode(_) | DecodeError::NotKrpc(_))),
            "{}",
            packet.escape_ascii()
        );
    }
    assert!(decode(&vec![b'd'; KRPC_BYTES_MAX + 1]).is_err());
    let deep = [b"d1:t2:aa1:x".to_vec(), b"l".repeat(20), b"e".repeat(21)].concat();
    assert!(decode(&deep).is_err());
    let many = [&b"d1:xl"[..], &b"i1e".repeat(600), b"ee"].concat();
    assert!(decode(&many).is_err());
}

/// Fields of a reply that are of a wrong length count as absent; parts of entries are left out.
#[test]
fn odd_fields_of_a_reply_are_left_out() {
    let reply = format!(
        "d2:ip5:aaaaa1:rd4:BFpe3:abc4:BFsd256:{}2:id20:mnopqrstuvwxyz1234561:k31:{}5:nodes27:{}6:valuesl3:abc6:axje.ui5ee\
         e1:t2:aa1:v3:abc1:y1:re",
        "b".repeat(256),
        "k".repeat(31),
        "n".repeat(27),
    );
    let Ok(Message { body: Body::Response(reply), version: None, .. }) = decode(reply.as_bytes()) else {
        panic!("a response")
    };
    assert_eq!((reply.observed, &reply.filters, reply.signed, &reply.token), (None, &None, None, &None));
    assert_eq!((reply.nodes.len(), reply.values.len()), (1, 1));
}

/// BEP 32: both lists of nodes, mixed values; mapped addresses are IPv4 ones.
#[test]
fn both_families_in_one_reply() {
    let v4 = Node { id: Key([1; 20]), addr: "1.2.3.4:5".parse().unwrap() };
    let v6 = Node { id: Key([2; 20]), addr: "[2001:db8::1]:6".parse().unwrap() };
    let reply = Response {
        id: Some(Key([3; 20])),
        observed: Some(v6.addr),
        nodes: vec![v4, v6],
        values: vec![v4.addr, v6.addr],
        ..Response::default()
    };
    let message = response(reply);
    assert_eq!(decode(&message.encode()), Ok(message));
}

#[test]
fn the_number_of_nodes_taken_is_bounded() {
    let node = Node { id: Key([1; 20]), addr: "1.2.3.4:5".parse().unwrap() };
    let message = response(Response { id: Some(Key([3; 20])), nodes: vec![node; 60], ..Response::default() });
    let Ok(Message { body: Body::Response(reply), .. }) = decode(&message.encode()) else {
        panic!("a response")
    };
    assert_eq!(reply.nodes.len(), KRPC_NODES_MAX);
}

fn any_key() -> impl Strategy<Value = Id> {
    any::<[u8; 20]>().prop_map(Key)
}

fn any_addr() -> impl Strategy<Value = SocketAddr> {
    // The first byte 0x20 keeps IPv6 addresses from being mapped IPv4 ones.
    let v6 = any::<[u8; 15]>().prop_map(|rest| {
        let mut ip = [0x20; 16];
        ip[1..].copy_from_slice(&rest);
        core::net::IpAddr::from(ip)
    });
    let v4 = any::<[u8; 4]>().prop_map(core::net::IpAddr::from);
    (prop_oneof![v4, v6], any::<u16>()).prop_map(|(ip, port)| SocketAddr::new(ip, port))
}

fn any_signed() -> impl Strategy<Value = Signed> {
    (any::<[u8; 32]>(), any::<i64>(), any::<[u8; 32]>()).prop_map(|(key, seq, half)| {
        let mut signature = [7; 64];
        signature[..32].copy_from_slice(&half);
        Signed { key, seq, signature }
    })
}

fn any_value() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        any::<i64>().prop_map(|number| format!("i{number}e").into_bytes()),
        prop::collection::vec(any::<u8>(), 0..900).prop_map(|bytes| [
            format!("{}:", bytes.len()).as_bytes(),
            &bytes
        ]
        .concat()),
    ]
}

fn any_method() -> impl Strategy<Value = Method> {
    let token = || prop::collection::vec(any::<u8>(), 0..=64);
    prop_oneof![
        Just(Method::Ping),
        any_key().prop_map(|target| Method::FindNode { target }),
        any_key().prop_map(|target| Method::SampleInfohashes { target }),
        (any_key(), any::<bool>(), any::<bool>())
            .prop_map(|(info_hash, no_seeds, scrape)| Method::GetPeers { info_hash, no_seeds, scrape }),
        (any_key(), prop::option::of(1_u16..), any::<bool>(), token())
            .prop_map(|(info_hash, port, seed, token)| Method::AnnouncePeer { info_hash, port, seed, token }),
        (any_key(), any::<Option<i64>>()).prop_map(|(target, seq)| Method::Get { target, seq }),
        (
            token(),
            any_value(),
            prop::option::of(any_signed()),
            prop::collection::vec(any::<u8>(), 0..70),
            any::<Option<i64>>()
        )
            .prop_map(|(token, value, signed, salt, cas)| Method::Put {
                token,
                value,
                signed,
                salt,
                cas
            }),
    ]
}

/// An answer to one kind of question each: one to all of them together would not fit a datagram.
fn any_response() -> impl Strategy<Value = Response> {
    let node = (any_key(), any_addr()).prop_map(|(id, addr)| Node { id, addr });
    let nodes = prop::collection::vec(node, 0..8).prop_map(|mut nodes| {
        nodes.sort_by_key(|node| node.addr.is_ipv6());
        nodes
    });
    let samples = (prop::collection::vec(any::<[u8; 20]>(), 0..9), 0..i64::MAX as u64, 0_u64..=21_600)
        .prop_map(|(hashes, total, interval_s)| Samples { hashes, total, interval_s });
    let answer = prop_oneof![
        (prop::collection::vec(any_addr(), 0..20), any::<bool>()).prop_map(|(values, filtered)| {
            let mut filter = Bloom::default();
            filter.insert([1, 2, 3, 4].into());
            let filters = filtered.then(|| (filter, Bloom::default()));
            Response { values, filters, ..Response::default() }
        }),
        (prop::option::of(any_signed()), prop::option::of(any_value())).prop_map(|(signed, value)| {
            let seq = signed.map(|signed| signed.seq);
            Response { signed, seq, value, ..Response::default() }
        }),
        samples.prop_map(|samples| Response { samples: Some(samples), ..Response::default() }),
    ];
    let token = prop::option::of(prop::collection::vec(any::<u8>(), 0..=64));
    (any_key(), prop::option::of(any_addr()), nodes, token, answer).prop_map(
        |(id, observed, nodes, token, answer)| Response { id: Some(id), observed, nodes, token, ..answer },
    )
}

proptest! {
    #[test]
    fn what_is_written_is_read(
        transaction in prop::collection::vec(any::<u8>(), 0..=32),
        version: Option<[u8; 4]>,
        id in any_key(),
        read_only: bool,
        want in (any::<bool>(), any::<bool>()),
        method in any_method(),
        reply in any_response(),
    ) {
        let want = Want { v4: want.0, v6: want.1 };
        let query = Body::Query(Query { id, read_only, want, method });
        for body in [query, Body::Response(Box::new(reply))] {
            let message = Message { transaction: transaction.clone(), version, body };
            let packet = message.encode();
            prop_assert!(packet.len() <= KRPC_BYTES_MAX, "{} bytes", packet.len());
            prop_assert_eq!(decode(&packet), Ok(message), "{}", packet.escape_ascii());
            // Canonical, so that every other reader takes it.
            let limits = crate::bencode::Limits::MESSAGE.strict();
            prop_assert!(crate::bencode::decode(&packet, limits).is_ok());
        }
    }

    #[test]
    fn cut_and_changed_packets_never_panic(method in any_method(), cut: prop::sample::Index, byte: u8) {
        let mut packet = query(method).encode();
        let at = cut.index(packet.len());
        let _ = decode(&packet[..at]);
        packet[at] = byte;
        let _ = decode(&packet);
    }
}
