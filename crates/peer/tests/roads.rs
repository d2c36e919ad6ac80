//! Which road a dial takes, and which of two connections stays (threats.md W11).
#![allow(clippy::unwrap_used)]

mod common;

use common::{Bench, HASH, at, closed, params};
use peerage_base::contact::placeholder;
use peerage_base::{ConnId, Contact, Duration, PeerId};
use peerage_peer::sim::{Content, How, Net, NodeSpec};
use peerage_peer::{Authentication, Config, Handshake, Output, PeerChange, Road, RoadKind};

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
