//! Which road a dial takes, and which of two connections stays (threats.md W11).

use crate::common::{self, Bench, HASH, at, closed, params};
use peerage_base::contact::placeholder;
use peerage_base::{ConnId, Contact, Duration, PeerId};
use peerage_peer::sim::{Content, How, Net, NodeSpec};
use peerage_peer::{Authentication, Config, Encryption, Handshake, Output, PeerChange, Road, RoadKind, Via};

const KEY: PeerId = PeerId([3; 32]);
const OTHER: PeerId = PeerId([4; 32]);

fn dials(outputs: &[Output]) -> Vec<(ConnId, std::net::SocketAddr, Road)> {
    let dial = |output: &Output| match output {
        Output::Dial { conn, addr, road, .. } => Some((*conn, *addr, road.clone())),
        _ => None,
    };
    outputs.iter().filter_map(dial).collect()
}

fn keyed(config: Config) -> Bench {
    Bench::with_key(config, PeerId([9; 32]))
}

/// A dial over TCP whose other end says that it takes TLS. Returns the connection and what follows.
fn says_tls(bench: &mut Bench, addr: &str) -> (ConnId, Vec<Output>) {
    let dialled = std::iter::repeat_with(|| dials(&bench.pass(Duration::from_millis(100)))).take(600);
    let (conn, _, road) = dialled.flatten().find(|(_, to, _)| *to == at(addr)).unwrap();
    assert_eq!(road, Road::Tcp);
    bench.change(conn, PeerChange::Connected);
    let mut outputs = bench.greet(conn, Handshake::new(HASH, [1; 20]).with_tls());
    outputs.extend(bench.pass(Duration::from_millis(1)));
    (conn, outputs)
}

#[test]
fn strangers_that_turn_out_to_be_nodes_of_ours_go_on_over_tls() {
    let mut net = Net::new(1);
    let content = Content::new(1, 4 << 20, 256 << 10);
    let seed = net.add(NodeSpec::with_rates(1 << 20, 8 << 20));
    let torrent = net.share_tracked(seed, &content);
    let leech = net.add(NodeSpec::default());
    net.fetch(leech, &content, How::Magnet, &[seed], false);
    net.run_for(Duration::from_secs(2));
    for (node, other) in [(leech, seed), (seed, leech)] {
        let peers = net.peer(node).peers(torrent);
        let [peer] = &peers[..] else { panic!("{peers:?}") };
        assert_eq!((peer.road, peer.key), (RoadKind::Tls, Some(net.key(other))));
    }
    assert!(net.run_until_done(Duration::from_secs(10), &[leech]));
    assert!(net.has_exactly(leech, &content));
    let sent = net.payload_sent(seed) as f64 / content.len() as f64;
    assert!(sent < 1.05, "the change of roads cost little: {sent} copies");
}

#[test]
fn where_a_peer_is_asked_for_by_its_key_nobody_else_will_do() {
    let mut bench = keyed(Config::default());
    let contact = Contact { tcp: vec![at("9.9.9.9:1")], ..Contact::new(KEY) };
    bench.add(peerage_peer::TorrentParams {
        contacts: vec![contact],
        peers: vec![at("9.9.9.9:1")],
        ..params()
    });
    let mut tried = 0;
    for (conn, _, road) in dials(&bench.pass(Duration::from_secs(300))) {
        assert_eq!(road, Road::Tls(Some(KEY)));
        bench.change(conn, PeerChange::Closed("another peer answers there".to_owned()));
        tried += 1;
    }
    while tried < 5 {
        for (conn, _, road) in dials(&bench.pass(Duration::from_secs(60))) {
            assert_eq!(road, Road::Tls(Some(KEY)), "no fall-back, however often it fails");
            bench.change(conn, PeerChange::Closed("another peer answers there".to_owned()));
            tried += 1;
        }
    }
}

#[test]
fn the_policy_decides_about_strangers() {
    for (authentication, road) in [
        (Authentication::Off, Road::Tcp),
        (Authentication::Prefer, Road::Tcp),
        (Authentication::Require, Road::Tls(None)),
    ] {
        let mut bench = keyed(Config { authentication, ..Config::default() });
        bench.add(peerage_peer::TorrentParams { peers: vec![at("9.9.9.9:1")], ..params() });
        assert_eq!(dials(&bench.drain())[0].2, road, "{authentication:?}");
    }
}

#[test]
fn a_stranger_that_cannot_prove_what_it_says_is_dialled_in_plain_again() {
    let mut bench = keyed(Config::default());
    bench.add(peerage_peer::TorrentParams { peers: vec![at("9.9.9.9:1")], ..params() });
    let (first, outputs) = says_tls(&mut bench, "9.9.9.9:1");
    assert_eq!(closed(&outputs, first).as_deref(), Some("goes on over TLS"));
    let told = dials(&outputs);
    let [(second, addr, Road::Tls(None))] = &told[..] else { panic!("{told:?}") };
    assert_eq!(*addr, at("9.9.9.9:1"));
    bench.change(*second, PeerChange::Closed("it does not speak TLS".to_owned()));
    // It may say so as often as it likes.
    let (third, outputs) = says_tls(&mut bench, "9.9.9.9:1");
    assert!(closed(&outputs, third).is_none() && dials(&outputs).is_empty());
}

#[test]
fn without_a_key_of_our_own_nothing_changes() {
    let mut bench = Bench::new(Config::default());
    bench.add(peerage_peer::TorrentParams { peers: vec![at("9.9.9.9:1")], ..params() });
    let (conn, outputs) = says_tls(&mut bench, "9.9.9.9:1");
    assert!(closed(&outputs, conn).is_none() && dials(&outputs).is_empty());
}

#[test]
fn who_is_not_proved_never_takes_the_place_of_who_is() {
    let mut bench = keyed(Config::default());
    bench.add(params());
    // The true one, from an address that the false one shares (one home, one NAT).
    let proved = bench.peer.accept(bench.now, at("9.9.9.9:1000")).unwrap();
    bench.change(proved, PeerChange::Authenticated(RoadKind::Tls, KEY));
    bench.greet(proved, Handshake::new(HASH, [200; 20]));
    for key in [None, Some(OTHER)] {
        let copy = bench.peer.accept(bench.now, at("9.9.9.9:1001")).unwrap();
        if let Some(key) = key {
            bench.change(copy, PeerChange::Authenticated(RoadKind::Tls, key));
        }
        let outputs = bench.greet(copy, Handshake::new(HASH, [200; 20]));
        assert!(closed(&outputs, copy).is_some() && closed(&outputs, proved).is_none(), "{key:?}");
    }
}

#[test]
fn where_only_relays_may_be_used_nobody_else_is_dialled_let_in_asked_or_told() {
    let mut bench = keyed(Config { quic: true, utp: true, via: Via::Relay, ..Config::default() });
    let relay = Some("https://relay.example".to_owned());
    let everywhere = Contact {
        tcp: vec![at("9.9.9.9:1")],
        udp: vec![at("9.9.9.9:2")],
        relay: relay.clone(),
        ..Contact::new(KEY)
    };
    let direct = Contact { relay: None, ..Contact { id: OTHER, ..everywhere.clone() } };
    let torrent = bench.add(peerage_peer::TorrentParams {
        contacts: vec![everywhere, direct],
        peers: vec![at("9.9.9.9:3")],
        trackers: vec![vec!["http://9.9.9.9/announce".to_owned()]],
        web_seeds: vec!["http://9.9.9.9/".to_owned()],
        ..params()
    });
    let outputs = bench.pass(Duration::from_secs(5));
    let told = dials(&outputs);
    let [(conn, addr, Road::Quic(to))] = &told[..] else { panic!("{told:?}") };
    assert_eq!((*addr, to), (placeholder(KEY), &Contact { relay, ..Contact::new(KEY) }));
    assert!(!outputs.iter().any(|output| matches!(output, Output::Announce { .. })));
    assert_eq!(bench.peer.add_web_seed(bench.now, torrent, "http://9.9.9.8/".to_owned()), None);
    // Only by a relay does somebody come.
    assert!(bench.peer.accept(bench.now, at("9.9.9.9:4")).is_none());
    assert!(bench.peer.accept(bench.now, placeholder(OTHER)).is_some());
    // What a peer tells of others is not even wanted: our extensions are without those of BEP 11 and 55.
    bench.change(*conn, PeerChange::Authenticated(RoadKind::Quic, KEY));
    bench.change(*conn, PeerChange::Connected);
    let outputs = bench.greet(*conn, Handshake::new(HASH, [1; 20]));
    let sent = common::sent(&outputs, *conn);
    let has = |part: &[u8]| sent.windows(part.len()).any(|bytes| bytes == part);
    assert!(has(b"11:ut_metadata") && !has(b"6:ut_pex") && !has(b"12:ut_holepunch"), "{sent:?}");
}

#[test]
fn without_relays_a_peer_is_dialled_where_it_is() {
    let mut bench = keyed(Config { quic: true, via: Via::Direct, ..Config::default() });
    let relay = Some("https://relay.example".to_owned());
    let reached = Contact { udp: vec![at("9.9.9.9:2")], relay: relay.clone(), ..Contact::new(KEY) };
    let only_relayed = Contact { relay, ..Contact::new(OTHER) };
    let contacts = vec![reached.clone(), only_relayed];
    bench.add(peerage_peer::TorrentParams { contacts, ..params() });
    let told = dials(&bench.pass(Duration::from_secs(5)));
    let [(_, _, Road::Quic(to))] = &told[..] else { panic!("{told:?}") };
    assert_eq!(to, &Contact { relay: None, ..reached });
}

#[test]
fn quic_has_its_turn_after_tls_and_gives_way_to_it() {
    let mut bench = keyed(Config { quic: true, ..Config::default() });
    let contact = Contact {
        tcp: vec![at("9.9.9.9:1")],
        relay: Some("https://relay.example".to_owned()),
        ..Contact::new(KEY)
    };
    bench.add(peerage_peer::TorrentParams { contacts: vec![contact.clone()], ..params() });
    let first = dials(&bench.drain());
    let [(tls, _, Road::Tls(Some(KEY)))] = &first[..] else { panic!("{first:?}") };
    let second = dials(&bench.pass(Duration::from_millis(300)));
    let [(quic, addr, Road::Quic(to))] = &second[..] else { panic!("{second:?}") };
    assert_eq!((*addr, to), (placeholder(KEY), &contact));
    for (conn, kind) in [(*quic, RoadKind::Quic), (*tls, RoadKind::Tls)] {
        bench.change(conn, PeerChange::Authenticated(kind, KEY));
        bench.change(conn, PeerChange::Connected);
    }
    assert!(closed(&bench.greet(*quic, Handshake::new(HASH, [1; 20])), *quic).is_none());
    let outputs = bench.greet(*tls, Handshake::new(HASH, [1; 20]));
    assert_eq!(closed(&outputs, *quic).as_deref(), Some("connected twice"));
    // Who is there is not dialled a second time.
    assert!(dials(&bench.pass(Duration::from_secs(60))).is_empty());
    // When the better road ends, the other one is tried at once.
    bench.change(*tls, PeerChange::Closed("gone".to_owned()));
    let after = dials(&bench.pass(Duration::from_secs(1)));
    assert!(after.iter().any(|(_, _, road)| road.kind() == RoadKind::Quic), "{after:?}");
}

/// What is dialled next, if anything soon, and how long that took.
fn next_dial(bench: &mut Bench) -> (Duration, ConnId, Road) {
    let begun = bench.now;
    let steps = std::iter::repeat_with(|| dials(&bench.pass(Duration::from_millis(50)))).take(600);
    let (conn, _, road) = steps.flatten().next().unwrap();
    (bench.now - begun, conn, road)
}

/// A peer that refuses TCP: the dial over uTP that follows at once, and what it is encrypted with.
fn refuses_tcp(bench: &mut Bench) -> (ConnId, Option<[u8; 20]>) {
    bench.add(peerage_peer::TorrentParams { peers: vec![at("9.9.9.9:1")], ..params() });
    let [(first, _, Road::Tcp)] = dials(&bench.drain())[..] else { panic!("TCP comes first") };
    let mut outputs = bench.change(first, PeerChange::Closed("refused".to_owned()));
    outputs.extend(bench.pass(Duration::from_millis(100)));
    let utp = |output: &Output| match output {
        Output::Dial { conn, road: Road::Utp, encrypt, .. } => Some((*conn, *encrypt)),
        _ => None,
    };
    outputs.iter().find_map(utp).unwrap()
}

#[test]
fn utp_is_dialled_where_tcp_does_not_open_in_time() {
    let mut bench = Bench::new(Config { utp: true, ..Config::default() });
    bench.add(peerage_peer::TorrentParams { peers: vec![at("9.9.9.9:1")], ..params() });
    assert_eq!(dials(&bench.drain())[0].2, Road::Tcp);
    let (taken, _, road) = next_dial(&mut bench);
    assert!(road == Road::Utp && (2_500..2_600).contains(&taken.as_millis()), "{taken:?} {road:?}");
    // Nobody there either: after a while it is TCP's turn, which now has all its time.
    let (taken, _, road) = next_dial(&mut bench);
    assert!(road == Road::Tcp && taken < Duration::from_secs(6), "{taken:?} {road:?}");
    let (taken, _, road) = next_dial(&mut bench);
    assert!(road == Road::Utp && taken >= Duration::from_millis(9_900), "{taken:?} {road:?}");
}

#[test]
fn utp_is_dialled_at_once_where_tcp_is_refused_and_not_where_it_is_off() {
    let mut bench = Bench::new(Config { utp: true, ..Config::default() });
    let (conn, encrypt) = refuses_tcp(&mut bench);
    assert_eq!(encrypt, None);
    bench.change(conn, PeerChange::Connected);
    assert!(closed(&bench.greet(conn, Handshake::new(HASH, [1; 20])), conn).is_none());
    // Another day it is asked over TCP first.
    bench.change(conn, PeerChange::Closed("gone".to_owned()));
    assert_eq!(next_dial(&mut bench).2, Road::Tcp);

    let mut bench = Bench::new(Config::default());
    bench.add(peerage_peer::TorrentParams { peers: vec![at("9.9.9.9:1")], ..params() });
    let [(conn, ..)] = dials(&bench.drain())[..] else { panic!("one dial") };
    bench.change(conn, PeerChange::Closed("refused".to_owned()));
    assert_eq!(next_dial(&mut bench).2, Road::Tcp);
}

#[test]
fn a_dial_over_utp_is_encrypted_as_one_over_tcp_would_be() {
    for encryption in [Encryption::Prefer, Encryption::Require] {
        let mut bench = Bench::new(Config { utp: true, encryption, ..Config::default() });
        assert_eq!(refuses_tcp(&mut bench).1, Some(HASH));
    }
}

/// Each end opened a connection, on different roads: both keep that over TCP, whoever has the greater id.
#[test]
fn tcp_is_better_than_utp() {
    for id in [[0; 20], [255; 20]] {
        let mut bench = Bench::new(Config { utp: true, ..Config::default() });
        let (ours, _) = refuses_tcp(&mut bench);
        bench.change(ours, PeerChange::Connected);
        bench.greet(ours, Handshake::new(HASH, id));
        let theirs = bench.peer.accept_over(bench.now, at("9.9.9.9:1000"), RoadKind::Tcp).unwrap();
        let outputs = bench.greet(theirs, Handshake::new(HASH, id));
        assert!(closed(&outputs, ours).is_some() && closed(&outputs, theirs).is_none());
        let late = bench.peer.accept_over(bench.now, at("9.9.9.9:1001"), RoadKind::Utp).unwrap();
        let outputs = bench.greet(late, Handshake::new(HASH, id));
        assert!(closed(&outputs, late).is_some() && closed(&outputs, theirs).is_none());
    }
}

/// A client whose TCP is switched off may take the connection, and close it.
#[test]
fn each_way_of_starting_is_tried_over_both_roads() {
    let (tcp, utp) = (|encrypted| (Road::Tcp, encrypted), |encrypted| (Road::Utp, encrypted));
    let turns = [
        (Encryption::Off, vec![tcp(false), utp(false), tcp(false)]),
        (Encryption::Allow, vec![tcp(false), tcp(true), utp(false), utp(true), tcp(false)]),
        (Encryption::Prefer, vec![tcp(true), utp(true), tcp(false), utp(false), tcp(true)]),
        (Encryption::Require, vec![tcp(true), utp(true), tcp(true)]),
    ];
    for (encryption, expected) in turns {
        let mut bench = Bench::new(Config { utp: true, encryption, ..Config::default() });
        bench.add(peerage_peer::TorrentParams { peers: vec![at("9.9.9.9:1")], ..params() });
        let (mut outputs, mut seen) = (bench.drain(), Vec::new());
        for _ in 0..1000 {
            let dial = outputs.iter().find_map(|output| match output {
                Output::Dial { conn, road, encrypt, .. } => Some((*conn, road.clone(), encrypt.is_some())),
                _ => None,
            });
            outputs = Vec::new();
            if let Some((conn, road, encrypted)) = dial {
                seen.push((road, encrypted));
                // An encrypted start that fails never was a connection.
                if !encrypted {
                    bench.change(conn, PeerChange::Connected);
                }
                outputs.extend(bench.change(conn, PeerChange::Closed("closed by the peer".to_owned())));
            }
            outputs.extend(bench.pass(Duration::from_millis(100)));
            if seen.len() == expected.len() {
                break;
            }
        }
        assert_eq!(seen, expected, "{encryption:?}");
    }
}
