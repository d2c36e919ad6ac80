//! What is told for people: who was named, who was greeted, and what a mere look fetches.

use crate::common::{Bench, HASH, at, closed, dials, params};
use peerage_base::contact::placeholder;
use peerage_base::{Contact, Duration, PeerId};
use peerage_peer::sim::{Content, How, Net, NodeSpec};
use peerage_peer::{Authentication, Config, Handshake, Output, PeerChange, Refusal, Source, TorrentParams};
use std::net::SocketAddr;

fn found(outputs: &[Output]) -> Vec<(SocketAddr, Source, Option<Refusal>)> {
    let found = |output: &Output| match output {
        Output::Found { addr, source, refused, .. } => Some((*addr, *source, *refused)),
        _ => None,
    };
    outputs.iter().filter_map(found).collect()
}

fn greeted(outputs: &[Output]) -> usize {
    outputs.iter().filter(|output| matches!(output, Output::Greeted { .. })).count()
}

#[test]
fn each_source_of_an_address_is_told() {
    let mut net = Net::new(1);
    let content = Content::new(1, 8 << 20, 256 << 10);
    let seed = net.add(NodeSpec::with_rates(256 << 10, 8 << 20));
    net.share_tracked(seed, &content);
    let other = net.add(NodeSpec::with_rates(256 << 10, 8 << 20));
    net.fetch(other, &content, How::Torrent, &[seed], false);
    let leech = net.add(NodeSpec::default());
    net.fetch(leech, &content, How::Torrent, &[seed], true);
    // Peer exchange begins a minute after the meeting (BEP 11).
    net.run_for(Duration::from_secs(90));
    let sources = |id| -> Vec<Source> {
        net.found(leech)
            .iter()
            .filter(|(addr, ..)| *addr == net.addr(id))
            .map(|(_, source, _)| *source)
            .collect()
    };
    assert!(sources(seed).starts_with(&[Source::User, Source::Tracker]), "{:?}", sources(seed));
    assert!(sources(other).contains(&Source::Pex), "{:?}", sources(other));
    assert!(net.found(leech).iter().all(|(.., refused)| refused.is_none()));
}

#[test]
fn an_address_that_is_not_dialled_is_told_with_the_reason() {
    let mut bench = Bench::with_key(Config::default(), PeerId([9; 32]));
    let torrent = bench.add(params());
    bench.peer.ban(bench.now, at("9.9.9.9:1"));
    bench.drain();
    for (addr, refused) in [
        ("9.9.9.9:1", Some(Refusal::Banned)),
        ("224.0.0.1:1", Some(Refusal::Range)),
        ("9.9.9.8:0", Some(Refusal::Range)),
        ("9.9.9.8:1", None),
        ("9.9.9.8:1", None),
    ] {
        bench.peer.add_peer(bench.now, torrent, at(addr));
        let outputs = bench.drain();
        assert_eq!(found(&outputs), [(at(addr), Source::User, refused)]);
        assert!(refused.is_none() || dials(&outputs).is_empty());
    }
}

#[test]
fn peers_that_are_named_by_their_keys_are_told() {
    let key = PeerId([3; 32]);
    let contact = Contact {
        tcp: vec![at("9.9.9.9:1")],
        relay: Some("https://relay.example".to_owned()),
        ..Contact::new(key)
    };
    let told = |authentication, own| {
        let mut bench = Bench::with_key(Config { authentication, quic: true, ..Config::default() }, own);
        bench.add(TorrentParams { contacts: vec![contact.clone()], ..params() });
        found(&bench.drain())
    };
    let (us, user) = (PeerId([9; 32]), Source::User);
    let both = [(at("9.9.9.9:1"), user, None), (placeholder(key), user, None)];
    assert_eq!(told(Authentication::Prefer, us), both);
    assert_eq!(told(Authentication::Off, us), [(placeholder(key), user, Some(Refusal::Unprovable))]);
    assert_eq!(told(Authentication::Prefer, key), [(placeholder(key), user, Some(Refusal::Ourselves))]);
}

#[test]
fn a_greeting_counts_once_it_is_about_the_right_torrent() {
    for (hash, wanted) in [(HASH, 1), ([8; 20], 0)] {
        let mut bench = Bench::new(Config::default());
        bench.add(TorrentParams { peers: vec![at("9.9.9.9:1")], ..params() });
        let outputs = bench.drain();
        let [(conn, _)] = dials(&outputs)[..] else { panic!("{outputs:?}") };
        assert_eq!(greeted(&bench.change(conn, PeerChange::Connected)), 0);
        let outputs = bench.greet(conn, Handshake::new(hash, [1; 20]));
        assert_eq!(greeted(&outputs), wanted);
        assert_eq!(closed(&outputs, conn).as_deref(), [Some("unknown torrent"), None][wanted]);
    }
}

#[test]
fn a_mere_look_sees_who_would_serve_and_fetches_no_content() {
    for how in [How::Torrent, How::Magnet] {
        let mut net = Net::new(1);
        let content = Content::new(1, 4 << 20, 256 << 10);
        let seed = net.add(NodeSpec::default());
        net.share(seed, &content);
        let swarm = peerage_swarm::Config { fetch: false, ..peerage_swarm::Config::default() };
        let looker = net.add(NodeSpec { swarm, ..NodeSpec::default() });
        let torrent = net.fetch(looker, &content, how, &[seed], false);
        net.run_for(Duration::from_secs(60));
        let peers = net.peer(looker).peers(torrent);
        let [peer] = &peers[..] else { panic!("{peers:?}") };
        assert_eq!(peer.stats.pieces, content.hashes.info().layout.pieces(), "{how:?}");
        assert!(peer.stats.am_interested && !peer.stats.peer_choking, "{how:?}");
        assert_eq!((peer.stats.downloaded, net.payload_sent(seed)), (0, 0));
    }
}
