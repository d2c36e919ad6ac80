//! What is looked up in the DHT and said there, and who is told that we have a node of it.

use crate::common::{Bench, HASH, OUR_ID, at, dials, params, sent};
use peerage_base::{Duration, InfoHashV2, TorrentId};
use peerage_content::metainfo::Version;
use peerage_peer::sim::Content;
use peerage_peer::{
    Config, Dht, Handshake, Output, PeerChange, SearchAnnounce, SearchReport, Source, TorrentParams,
};
use peerage_swarm::{Bitfield, Message, Priority};
use peerage_wire::handshake::HANDSHAKE_LEN;

fn server() -> Bench {
    Bench::new(Config { dht: Dht::Server, utp: true, ..Config::default() })
}

/// The look-ups begun: info hash and announce.
type Begun = Vec<([u8; 20], Option<SearchAnnounce>)>;

fn searches(outputs: &[Output]) -> Begun {
    let search = |output: &Output| match output {
        Output::Search { info_hash, announce, .. } => Some((*info_hash, *announce)),
        _ => None,
    };
    outputs.iter().filter_map(search).collect()
}

fn begin(bench: &mut Bench, params: TorrentParams) -> (TorrentId, Begun) {
    let id = bench.add(params);
    assert!(searches(&bench.drain()).is_empty(), "not before it is asked for");
    bench.peer.search(bench.now, id);
    (id, searches(&bench.drain()))
}

/// A torrent of which everything is there, or nothing.
fn known(content: &Content, full: bool) -> TorrentParams {
    let hashes = &content.hashes;
    let info = hashes.info();
    let pieces = info.layout.pieces();
    let have = if full { Bitfield::full(pieces) } else { Bitfield::new(pieces) };
    let priorities = vec![Priority::Normal; info.layout.files().len()];
    let content = peerage_peer::Content { hashes: hashes.clone(), have, priorities };
    TorrentParams { content: Some(content), private: info.private, ..TorrentParams::new(info.hashes) }
}

#[test]
fn what_is_found_is_dialled_within_the_ranges() {
    let mut bench = server();
    let (id, begun) = begin(&mut bench, params());
    assert_eq!(begun, [(HASH, None)], "there is nothing to announce");
    let found = [at("9.9.9.9:5"), at("127.0.0.1:5"), at("192.168.1.1:5"), at("224.0.0.1:5"), at("9.9.9.8:0")];
    assert_eq!(bench.peer.handle_found(bench.now, id, &found), 1);
    let dialled: Vec<_> = dials(&bench.drain()).iter().map(|(_, addr)| *addr).collect();
    assert_eq!(dialled, [at("9.9.9.9:5")]);
    assert_eq!(bench.peer.sources(id)[&Source::Dht], 1);
}

#[test]
fn a_share_announces_both_its_hashes_and_again_within_a_quarter_of_an_hour() {
    let content = Content::with(1, &[1 << 20], 64 << 10, Version::Hybrid);
    let mut bench = server();
    let params = known(&content, true);
    let hashes: Vec<[u8; 20]> = params.hashes.wire().collect();
    let (id, begun) = begin(&mut bench, params);
    let announce = Some(SearchAnnounce { port: None, seed: true });
    assert_eq!(begun, [(hashes[0], announce), (hashes[1], announce)]);
    for hash in &hashes {
        let report = SearchReport { answered: 8, stored: 8, peers: 0 };
        bench.peer.handle_search(bench.now, id, *hash, report);
    }
    assert!(searches(&bench.pass(Duration::from_secs(800))).is_empty());
    assert_eq!(searches(&bench.pass(Duration::from_secs(200))).len(), 2);
    // The announces that nobody takes are owed.
    bench.pass(Duration::from_secs(100));
    assert!(bench.peer.announce_lag(bench.now, id) >= Duration::from_secs(100));
}

#[test]
fn where_a_router_leads_a_port_here_that_one_is_announced() {
    let content = Content::new(1, 1 << 20, 64 << 10);
    let mut bench = server();
    bench.peer.set_external_port(bench.now, 7000);
    let announce = Some(SearchAnnounce { port: Some(7000), seed: true });
    assert_eq!(begin(&mut bench, known(&content, true)).1[0].1, announce);
    // TCP alone: the port of our datagrams may be another one outside.
    let mut bench = Bench::new(Config { dht: Dht::Server, ..Config::default() });
    let announce = Some(SearchAnnounce { port: Some(6881), seed: true });
    assert_eq!(begin(&mut bench, known(&content, true)).1[0].1, announce);
}

#[test]
fn private_torrents_are_never_looked_up() {
    let mut bench = server();
    let content = Content::private(1, 1 << 20, 64 << 10);
    let (_, begun) = begin(&mut bench, known(&content, true));
    assert!(begun.is_empty() && searches(&bench.pass(Duration::from_secs(3600))).is_empty());
    // A link does not say that it is private: the metadata does, and then what was found is forgotten.
    let mut bench = server();
    let hashes = &content.hashes;
    let (id, begun) = begin(&mut bench, TorrentParams::new(hashes.info().hashes));
    assert!(!begun.is_empty());
    bench.peer.handle_found(bench.now, id, &[at("9.9.9.9:5"), at("9.9.9.8:5")]);
    let [(conn, _), (other, _)] = dials(&bench.drain())[..] else { panic!("two are dialled") };
    bench.change(other, PeerChange::Closed("refused".to_owned()));
    let params = known(&content, false);
    bench.peer.set_content(bench.now, id, params.content.unwrap());
    assert_eq!(bench.peer.sources(id).get(&Source::Dht), Some(&1), "but for the one in use");
    assert_eq!(bench.peer.handle_found(bench.now, id, &[at("9.9.9.7:5")]), 0);
    assert!(searches(&bench.pass(Duration::from_secs(3600))).is_empty());
    bench.change(conn, PeerChange::Closed("gone".to_owned()));
}

#[test]
fn without_a_dht_nothing_is_said_and_nothing_asked() {
    let mut bench = Bench::new(Config::default());
    let (_, begun) = begin(&mut bench, params());
    assert!(begun.is_empty());
    let conn = bench.peer.accept(bench.now, at("9.9.9.9:1")).unwrap();
    let outputs = bench.greet(conn, Handshake::new(HASH, [1; 20]).with_dht());
    assert!(!Handshake::decode(&sent(&outputs, conn)[..HANDSHAKE_LEN]).unwrap().dht());
    assert!(told_port(&sent(&outputs, conn)).is_none());
    bench.peer.handle_frame(bench.now, conn, &port_frame(9000));
    assert!(!bench.drain().iter().any(|output| matches!(output, Output::DhtNode { .. })));
}

fn port_frame(port: u16) -> Vec<u8> {
    port_message(port)[4..].to_vec()
}

fn port_message(port: u16) -> Vec<u8> {
    let mut bytes = Vec::new();
    Message::Port(port).encode(&mut bytes);
    bytes
}

/// Where in a stream's bytes our DHT's port is told, after the handshake.
fn told_port(bytes: &[u8]) -> Option<usize> {
    let wanted = port_message(6881);
    bytes.windows(wanted.len()).position(|window| window == wanted)
}

#[test]
fn peers_with_a_dht_are_told_of_ours_after_what_we_have_and_asked_about_theirs() {
    for dht in [Dht::Server, Dht::Client] {
        let mut bench = Bench::new(Config { dht, ..Config::default() });
        bench.add(params());
        for theirs in [true, false] {
            let conn = bench.peer.accept(bench.now, at("9.9.9.9:1")).unwrap();
            let handshake = Handshake::new(HASH, [1 + u8::from(theirs); 20]);
            let handshake = if theirs { handshake.with_dht() } else { handshake };
            let outputs = bench.greet(conn, handshake);
            let bytes = sent(&outputs, conn);
            let ours = Handshake::decode(&bytes[..HANDSHAKE_LEN]).unwrap();
            assert!(ours.dht() && ours.peer_id == OUR_ID);
            let told = told_port(&bytes[HANDSHAKE_LEN..]);
            assert_eq!(told.is_some(), theirs && dht == Dht::Server, "{dht:?}, theirs: {theirs}");
            assert!(told != Some(0), "what we have comes first (BEP 3)");
        }
        let conn = bench.incoming(at("9.9.9.7:1"), [9; 20]).unwrap();
        bench.peer.handle_frame(bench.now, conn, &port_frame(9000));
        let nodes: Vec<_> = bench
            .drain()
            .into_iter()
            .filter_map(|output| match output {
                Output::DhtNode { addr } => Some(addr),
                _ => None,
            })
            .collect();
        assert_eq!(nodes, [at("9.9.9.7:9000")]);
    }
}

#[test]
fn a_v2_torrent_is_looked_up_by_its_truncated_hash() {
    let mut bench = server();
    let hashes = peerage_base::InfoHashes { v1: None, v2: Some(InfoHashV2([5; 32])) };
    assert_eq!(begin(&mut bench, TorrentParams::new(hashes)).1, [([5; 20], None)]);
}
