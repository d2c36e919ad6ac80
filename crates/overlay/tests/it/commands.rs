//! What each command finds, in a small network.

use crate::sim::Net;
use ed25519_dalek::{Signer, SigningKey};
use peerage_base::addr::Ranges;
use peerage_base::{Duration, Key};
use peerage_overlay::mainline::{Config, Item, LookupId, Output, Report, torrent_of, torrent_value};
use peerage_wire::krpc::Signed;
use std::net::SocketAddr;

fn net() -> Net {
    let mut net = Net::new(1, Config::default());
    net.grow(80, Duration::from_secs(10), Duration::from_secs(60));
    net
}

fn finish(net: &mut Net, at: usize, lookup: LookupId) -> Report {
    net.finish(&[(at, lookup)]).remove(0)
}

/// What a command told before its end.
fn told(net: &Net, lookup: LookupId, at: usize) -> Vec<&Output> {
    let of_lookup = |output: &&Output| match output {
        Output::Peers { lookup: id, .. }
        | Output::Item { lookup: id, .. }
        | Output::Samples { lookup: id, .. } => *id == lookup,
        _ => false,
    };
    net.told.iter().filter(|(index, _)| *index == at).map(|(_, output)| output).filter(of_lookup).collect()
}

fn signed(seq: i64, salt: &[u8], value: &[u8]) -> Item {
    let key = SigningKey::from_bytes(&[3; 32]);
    let signature = key.sign(&Item::signed_bytes(salt, seq, value)).to_bytes();
    let signed = Signed { key: key.verifying_key().to_bytes(), seq, signature };
    Item::new(value.to_vec(), Some(signed), salt.to_vec()).expect("an item")
}

#[test]
fn peers_are_announced_found_and_counted() {
    let mut net = net();
    let hash = Key([0x77; 20]);
    for at in 0..20 {
        let lookup = net.with(at, |dht, now| dht.announce(now, hash, None, at < 5));
        assert!(finish(&mut net, at, lookup).stored >= 8);
    }
    let lookup = net.with(70, |dht, now| dht.get_peers(now, hash, true));
    let report = finish(&mut net, 70, lookup);
    let (seeds, peers) = report.swarm.expect("filters");
    assert!((4.5..5.5).contains(&seeds) && (14.0..16.0).contains(&peers), "{seeds} {peers}");
    let mut found: Vec<SocketAddr> = Vec::new();
    for output in told(&net, lookup, 70) {
        if let Output::Peers { addrs, .. } = output {
            found.extend(addrs);
        }
    }
    let mut wanted: Vec<SocketAddr> = (0..20).map(|at| net.nodes[at].addr).collect();
    found.sort_unstable();
    wanted.sort_unstable();
    assert_eq!(found, wanted, "each once");
}

#[test]
fn the_newest_version_of_an_item_is_found() {
    let mut net = net();
    let (old, new) = (signed(1, b"n", &torrent_value(&[1; 20])), signed(2, b"n", &torrent_value(&[2; 20])));
    let target = old.target();
    for item in [&old, &new] {
        let lookup = net.with(0, |dht, now| dht.put_item(now, item.clone(), None));
        assert!(finish(&mut net, 0, lookup).stored >= 8);
    }
    let lookup = net.with(9, |dht, now| dht.get_item(now, target, b"n"));
    assert!(finish(&mut net, 9, lookup).found);
    let Some(Output::Item { item, .. }) = told(&net, lookup, 9).pop() else { panic!("an item") };
    assert_eq!((item, torrent_of(item)), (&new, Some([2; 20])));
    // Another salt is another item; without its salt a signature proves nothing.
    let lookup = net.with(9, |dht, now| dht.get_item(now, target, b"m"));
    assert!(!finish(&mut net, 9, lookup).found);
    // The older version, and one that lost the race, are refused.
    let lookup = net.with(5, |dht, now| dht.put_item(now, old, None));
    let report = finish(&mut net, 5, lookup);
    assert_eq!((report.stored, report.refusal), (0, Some(302)));
    let lookup = net.with(5, |dht, now| dht.put_item(now, signed(3, b"n", b"1:x"), Some(1)));
    let report = finish(&mut net, 5, lookup);
    assert_eq!((report.stored, report.refusal), (0, Some(301)));
    let lookup = net.with(5, |dht, now| dht.put_item(now, signed(3, b"n", b"1:x"), Some(2)));
    assert!(finish(&mut net, 5, lookup).stored >= 8);
}

/// Who reads an item leaves it at a node that should have had it.
#[test]
fn an_item_spreads_to_who_lacks_it() {
    let mut net = net();
    let item = Item::new(b"5:hello".to_vec(), None, Vec::new()).expect("an item");
    let target = item.target();
    let lookup = net.with(0, |dht, now| dht.put_item(now, item, None));
    let report = finish(&mut net, 0, lookup);
    // Half of those that keep it vanish.
    let keepers: Vec<usize> = (0..80).filter(|at| net.dht(*at).kept().1 > 0).collect();
    assert_eq!(keepers.len(), report.stored);
    keepers[..4].iter().for_each(|at| net.kill(*at));
    let readers: Vec<usize> = (0..80).filter(|at| !keepers.contains(at)).take(12).collect();
    for at in readers {
        let lookup = net.with(at, |dht, now| dht.get_item(now, target, b""));
        assert!(finish(&mut net, at, lookup).found);
        net.run_until(net.now + Duration::from_secs(5));
    }
    let keepers = (0..80).filter(|at| net.is_honest(*at) && net.dht(*at).kept().1 > 0).count();
    assert!(keepers > 4, "{keepers} keep it");
}

#[test]
fn torrents_are_sampled() {
    let mut net = net();
    let hash = Key([0x42; 20]);
    let lookup = net.with(0, |dht, now| dht.announce(now, hash, Some(7), false));
    finish(&mut net, 0, lookup);
    let lookup = net.with(1, |dht, now| dht.sample(now, hash));
    assert!(finish(&mut net, 1, lookup).found);
    let told = told(&net, lookup, 1);
    assert!(
        told.iter().all(
            |output| matches!(output, Output::Samples { hashes, total: 1, .. } if hashes[..] == [hash.0])
        )
    );
    assert!(told.len() >= 4, "from several nodes: {}", told.len());
}

#[test]
fn a_ping_says_who_is_there() {
    let mut net = net();
    let there = net.nodes[5].addr;
    let lookup = net.with(0, |dht, now| dht.ping(now, there));
    let report = finish(&mut net, 0, lookup);
    assert_eq!((report.found, report.closest[0].id), (true, net.dht(5).id(false)));
    net.kill(5);
    let lookup = net.with(0, |dht, now| dht.ping(now, there));
    assert!(!finish(&mut net, 0, lookup).found);
}

/// Nodes forget an item after two hours, unless its publisher stores it again.
#[test]
fn what_is_published_outlives_its_expiry() {
    let mut net = Net::new(3, Config::default());
    net.grow(30, Duration::from_secs(10), Duration::from_secs(60));
    let item = |text: &[u8]| Item::new(text.to_vec(), None, Vec::new()).expect("an item");
    let (once, kept, withdrawn) = (item(b"4:once"), item(b"4:kept"), item(b"4:gone"));
    net.with(0, |dht, now| dht.put_item(now, once.clone(), None));
    net.with(0, |dht, now| dht.publish(now, kept.clone()));
    net.with(0, |dht, now| dht.publish(now, withdrawn.clone()));
    net.with(0, |dht, _| dht.withdraw(&withdrawn.target()));
    net.run_until(net.now + Duration::from_secs(3 * 3600 + 600));
    for (item, is_there) in [(&once, false), (&kept, true), (&withdrawn, false)] {
        let lookup = net.with(9, |dht, now| dht.get_item(now, item.target(), b""));
        assert_eq!(finish(&mut net, 9, lookup).found, is_there, "{}", item.value().escape_ascii());
    }
}

/// BEP 32: the same over IPv6, and on one machine, where all share an address.
#[test]
fn other_address_families_work_alike() {
    let v6 = |n: u16| format!("[2a00:{n:x}::1]:6881").parse().expect("an address");
    let loopback = |n: u16| SocketAddr::from(([127, 0, 0, 1], 7000 + n));
    let open = Config { ranges: Ranges::new(true, &[]), ..Config::default() };
    let cases: [(&dyn Fn(u16) -> SocketAddr, Config); 2] = [(&v6, Config::default()), (&loopback, open)];
    for (addr, config) in cases {
        let mut net = Net::new(2, config.clone());
        for n in 0..40 {
            net.join_at(addr(n), config.clone());
            net.run_until(net.now + Duration::from_millis(200));
        }
        net.run_until(net.now + Duration::from_secs(60));
        let hash = Key([0x42; 20]);
        let lookup = net.with(0, |dht, now| dht.announce(now, hash, Some(7), false));
        assert!(finish(&mut net, 0, lookup).stored >= 8);
        let lookup = net.with(30, |dht, now| dht.get_peers(now, hash, false));
        assert!(finish(&mut net, 30, lookup).found, "{}", addr(0));
        let Some(Output::Peers { addrs, .. }) = told(&net, lookup, 30).pop() else { panic!("peers") };
        assert_eq!(addrs[..], [SocketAddr::new(addr(0).ip(), 7)]);
    }
}
