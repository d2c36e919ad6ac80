//! Look-ups in networks of honest nodes.

mod sim;

use peerage_base::{Duration, Key};
use peerage_overlay::mainline::{Config, Item};
use sim::{Net, quantile};

/// A network whose every tenth contact is stale, and look-ups in it.
fn latencies(size: usize, lookups: usize) -> (Vec<Duration>, Vec<Duration>, f64) {
    let mut net = Net::new(7, Config::default());
    net.grow(size, Duration::from_secs(60), Duration::from_secs(100));
    println!("grown: {} messages", net.messages);
    let tables: usize = (0..size).map(|at| net.dht(at).nodes(false).count()).sum();
    println!("contacts per table: {:.1}", tables as f64 / size as f64);
    // Announced before, by random nodes.
    let mut hashes = Vec::new();
    for _ in 0..lookups {
        let (at, hash) = (net.random_honest().expect("a node"), Key::random(&mut net.rng));
        hashes.push(hash);
        let lookup = net.with(at, |dht, now| dht.announce(now, hash, Some(1000), false));
        let report = net.finish(&[(at, lookup)]).remove(0);
        assert!(report.stored > 0);
    }
    for at in 0..size {
        if net.rng.below(10) == 0 {
            net.kill(at);
        }
    }
    let (mut first, mut whole, mut asked, mut found) = (Vec::new(), Vec::new(), 0, 0);
    for hash in &hashes {
        let at = net.random_honest().expect("a node");
        let lookup = net.with(at, |dht, now| dht.get_peers(now, *hash, false));
        let report = net.finish(&[(at, lookup)]).remove(0);
        first.extend(report.first);
        whole.push(report.took);
        asked += report.asked;
        found += usize::from(report.found);
    }
    println!("asked per look-up: {:.1}", asked as f64 / lookups as f64);
    (first, whole, found as f64 / lookups as f64)
}

#[test]
fn looks() {
    let (mut first, mut whole, found) = latencies(1_000, 200);
    println!(
        "found {found} first {:?} {:?} whole {:?} {:?}",
        quantile(&mut first, 0.5),
        quantile(&mut first, 0.95),
        quantile(&mut whole, 0.5),
        quantile(&mut whole, 0.95)
    );
    let _ = Item::new(b"i1e".to_vec(), None, Vec::new());
}
