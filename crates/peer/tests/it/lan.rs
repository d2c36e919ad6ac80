//! What is announced on the local network, and what others announce there (BEP 14).

use crate::common::{Bench, HASH, at, dials, hashes, params};
use peerage_base::{Duration, InfoHashV2, InfoHashes, TorrentId};
use peerage_peer::sim::Content;
use peerage_peer::{Config, LAN_PEERS_MAX, Output, Refusal, Source, TorrentParams, Via};
use peerage_swarm::{Bitfield, Priority};

fn bench() -> Bench {
    Bench::new(Config { lan: true, ..Config::default() })
}

fn announced(outputs: &[Output]) -> Vec<Vec<[u8; 20]>> {
    let announce = |output: &Output| match output {
        Output::AnnounceLan { info_hashes } => Some(info_hashes.clone()),
        _ => None,
    };
    outputs.iter().filter_map(announce).collect()
}

fn begin(bench: &mut Bench, params: TorrentParams) -> (TorrentId, Vec<Vec<[u8; 20]>>) {
    let id = bench.add(params);
    assert!(announced(&bench.drain()).is_empty(), "not before it is asked for");
    bench.peer.search(bench.now, id);
    (id, announced(&bench.drain()))
}

#[test]
fn a_torrent_is_announced_at_once_and_who_is_heard_is_dialled_though_its_range_is_nearby() {
    let mut bench = bench();
    let (id, begun) = begin(&mut bench, params());
    assert_eq!(begun, [vec![HASH]]);
    assert_eq!(
        announced(&bench.pass(Duration::from_secs(10))).len(),
        2,
        "said again, since datagrams get lost"
    );
    for (addr, expected) in [
        ("192.168.1.7:6881", true),
        ("[fe80::7%3]:6881", true),
        ("9.9.9.9:6881", true),
        ("192.168.1.8:0", false),
        // Of loopback and of groups nobody is heard.
        ("127.0.0.1:6881", false),
        ("224.0.0.9:6881", false),
    ] {
        assert_eq!(
            bench.peer.handle_lan(bench.now, at(addr), &[[9; 20], HASH]),
            usize::from(expected),
            "{addr}"
        );
        let dialled: Vec<_> = dials(&bench.drain()).iter().map(|(_, addr)| *addr).collect();
        assert_eq!(dialled, if expected { vec![at(addr)] } else { Vec::new() });
    }
    assert_eq!(bench.peer.sources(id)[&Source::Lan], 3);
    assert_eq!(bench.peer.handle_lan(bench.now, at("192.168.1.7:6881"), &[HASH]), 0, "known");
    assert_eq!(bench.peer.handle_lan(bench.now, at("192.168.1.9:6881"), &[[9; 20]]), 0, "no torrent of ours");
    assert_eq!(bench.peer.known(id), 3);
}

#[test]
fn newcomers_are_answered_once_a_minute_and_nobody_else_hurries_it() {
    let mut bench = bench();
    begin(&mut bench, params());
    bench.pass(Duration::from_secs(100));
    bench.peer.handle_lan(bench.now, at("192.168.1.7:1"), &[HASH]);
    assert_eq!(announced(&bench.pass(Duration::from_secs(2))).len(), 1);
    for n in 1..=50 {
        bench.peer.handle_lan(bench.now, at(&format!("192.168.2.{n}:1")), &[HASH]);
    }
    assert_eq!(announced(&bench.pass(Duration::from_secs(50))).len(), 0);
    assert_eq!(announced(&bench.pass(Duration::from_secs(15))).len(), 1);
}

#[test]
fn one_host_that_names_itself_thousands_of_times_takes_its_share_alone() {
    let mut bench = bench();
    let (id, _) = begin(&mut bench, params());
    for port in 1..=5000 {
        bench.peer.handle_lan(bench.now, std::net::SocketAddr::new([192, 168, 1, 66].into(), port), &[HASH]);
    }
    assert_eq!(bench.peer.known(id), LAN_PEERS_MAX);
    let dialled = dials(&bench.pass(Duration::from_secs(60))).len();
    assert!(dialled <= 4 * 7, "{dialled}: no more at once than one host may have");
}

#[test]
fn many_torrents_share_datagrams() {
    let mut bench = bench();
    let ids: Vec<TorrentId> = (1..=30)
        .map(|n| {
            bench.add(TorrentParams::new(InfoHashes { v2: Some(InfoHashV2([100 + n; 32])), ..hashes(n) }))
        })
        .collect();
    ids.iter().for_each(|id| bench.peer.search(bench.now, *id));
    bench.pass(Duration::from_secs(10));
    let hour = announced(&bench.pass(Duration::from_secs(3600)));
    let hashes: usize = hour.iter().map(Vec::len).sum();
    // Thirty hybrids, each about 12 times, 22 hashes in a datagram; some go before their time with others.
    assert!((30 * 2 * 11..30 * 2 * 16).contains(&hashes), "{hashes}");
    assert!(hour.iter().all(|hashes| hashes.len() <= 22) && hour.len() < hashes / 4, "{}", hour.len());
}

#[test]
fn private_torrents_are_never_announced() {
    let content = Content::private(1, 1 << 20, 64 << 10);
    let info = content.hashes.info();
    let known = || {
        let pieces = info.layout.pieces();
        let priorities = vec![Priority::Normal; info.layout.files().len()];
        peerage_peer::Content { hashes: content.hashes.clone(), have: Bitfield::new(pieces), priorities }
    };
    let mut first = bench();
    let params = TorrentParams { content: Some(known()), private: true, ..TorrentParams::new(info.hashes) };
    let (id, begun) = begin(&mut first, params);
    assert!(begun.is_empty() && announced(&first.pass(Duration::from_secs(3600))).is_empty());
    let hash = info.hashes.wire().next().unwrap();
    assert_eq!(first.peer.handle_lan(first.now, at("192.168.1.7:1"), &[hash]), 0);
    assert_eq!(first.peer.known(id), 0);
    // A link does not say that it is private: the metadata does.
    let mut second = bench();
    let (id, begun) = begin(&mut second, TorrentParams::new(info.hashes));
    assert!(!begun.is_empty());
    for n in 1..=9 {
        second.peer.handle_lan(second.now, at(&format!("192.168.1.7:{n}")), &[hash]);
    }
    second.peer.set_content(second.now, id, known());
    assert!(second.peer.known(id) <= 4, "but for those that are being dialled");
    assert_eq!(second.peer.handle_lan(second.now, at("192.168.1.8:1"), &[hash]), 0);
    assert!(announced(&second.pass(Duration::from_secs(3600))).is_empty());
}

#[test]
fn where_it_is_off_nothing_is_said_and_nobody_heard() {
    for config in [Config::default(), Config { lan: true, via: Via::Relay, ..Config::default() }] {
        let mut bench = Bench::new(config);
        let (_, begun) = begin(&mut bench, params());
        assert!(begun.is_empty() && announced(&bench.pass(Duration::from_secs(3600))).is_empty());
        assert_eq!(bench.peer.handle_lan(bench.now, at("192.168.1.7:1"), &[HASH]), 0);
        let outputs = bench.drain();
        let told =
            |output: &Output| matches!(output, Output::Found { refused: None | Some(Refusal::NoWay), .. });
        assert!(!outputs.iter().any(told), "{outputs:?}");
    }
}
