//! Look-ups in networks of honest nodes: how fast they are, and what they find.
//!
//! The large ones are run in release, by `.ci/run`:
//! `cargo test --release -p peerage-overlay -- --ignored --nocapture`

use crate::sim::{Net, quantile};
use peerage_base::{Duration, Instant, Key};
use peerage_overlay::mainline::{Config, Dht, Item, LookupId, Report};
use peerage_wire::krpc::Id;
use std::collections::BTreeMap;

fn grown(size: usize, seed: u64) -> Net {
    let mut net = Net::new(seed, Config::default());
    net.grow(size, Duration::from_secs(60), Duration::from_secs(100));
    net
}

/// Gives a command for each key to a random node, a few at a time: the reports.
fn by_random_nodes(
    net: &mut Net,
    keys: &[Id],
    command: impl Fn(&mut Dht, Instant, Id) -> LookupId,
) -> Vec<Report> {
    let mut lookups = Vec::new();
    for key in keys {
        let at = net.random_honest().expect("a node");
        lookups.push((at, net.with(at, |dht, now| command(dht, now, *key))));
        net.run_until(net.now + Duration::from_millis(20));
    }
    net.run_until(net.now + Duration::from_secs(10));
    net.reports(&lookups).into_iter().map(|report| report.expect("a look-up ends")).collect()
}

/// Random nodes announce, each tenth node dies, random nodes look up: their reports.
fn look_ups(net: &mut Net, count: usize) -> Vec<Report> {
    let hashes: Vec<Id> = (0..count).map(|_| Key::random(&mut net.rng)).collect();
    let stored = by_random_nodes(net, &hashes, |dht, now, hash| dht.announce(now, hash, Some(1000), false));
    assert!(stored.iter().all(|report| report.stored >= 8), "stored at the closest eight");
    for at in 0..net.nodes.len() {
        if net.rng.below(10) == 0 {
            net.kill(at);
        }
    }
    by_random_nodes(net, &hashes, |dht, now, hash| dht.get_peers(now, hash, false))
}

/// A look-up ends for who waits when the first peers are there; prints that, and the whole.
fn check_latencies(net: &mut Net, count: usize) {
    let reports = look_ups(net, count);
    let contacts: usize =
        (0..net.nodes.len()).filter(|at| net.is_honest(*at)).map(|at| net.dht(at).nodes(false).count()).sum();
    println!("{} datagrams so far, {} contacts per table", net.messages, contacts * 10 / 9 / net.nodes.len());
    let mut first: Vec<Duration> = reports.iter().filter_map(|report| report.first).collect();
    let mut whole: Vec<Duration> = reports.iter().map(|report| report.took).collect();
    let asked: usize = reports.iter().map(|report| report.asked).sum();
    println!(
        "{} nodes, a tenth of them dead, {count} look-ups, {} asked each",
        net.nodes.len(),
        asked / count
    );
    for (name, times) in [("first peers", &mut first), ("closest eight", &mut whole)] {
        let [p50, p95] = [0.5, 0.95].map(|share| quantile(times, share).as_millis());
        println!("  {name:<14} p50 {p50:>5} ms   p95 {p95:>5} ms");
    }
    assert!(quantile(&mut first, 0.5) < Duration::from_millis(400));
    assert!(quantile(&mut first, 0.95) < Duration::from_secs(1));
    let found = reports.iter().filter(|report| report.found).count();
    println!("  found {found} of {count}");
    assert!(found as f64 >= 0.999 * count as f64);
}

#[test]
fn peers_are_found_within_four_hundred_milliseconds() {
    check_latencies(&mut grown(500, 7), 100);
}

#[test]
#[ignore = "10,000 nodes: minutes, in release"]
fn peers_are_found_among_ten_thousand_nodes() {
    let mut net = grown(10_000, 11);
    check_latencies(&mut net, 1_000);
}

/// Items are stored; while `minutes` pass in which nodes come and go, they are read. The share found.
fn churn(net: &mut Net, items: usize, minutes: u64) -> f64 {
    let size = net.nodes.len();
    let item = |n: usize| Item::new(format!("i{n}e").into_bytes(), None, Vec::new()).expect("an item");
    let targets: Vec<Id> = (0..items).map(|n| item(n).target()).collect();
    let all: BTreeMap<Id, Item> = (0..items).map(|n| (item(n).target(), item(n))).collect();
    let stored =
        by_random_nodes(net, &targets, |dht, now, target| dht.put_item(now, all[&target].clone(), None));
    assert!(stored.iter().all(|report| report.stored >= 8), "stored at the closest eight");
    // A tenth of the nodes per minute, one at a time.
    let replaced = size as u64 / 10 * minutes;
    let step = Duration::from_secs(60 * minutes) / u32::try_from(replaced).expect("few");
    let every = (replaced / items as u64).max(1);
    let mut lookups = Vec::new();
    for n in 0..replaced {
        let victim = net.random_honest().expect("a node");
        net.kill(victim);
        net.join();
        net.run_until(net.now + step);
        if n % every == 0 {
            let (at, target) = (net.random_honest().expect("a node"), targets[lookups.len() % items]);
            lookups.push((at, net.with(at, |dht, now| dht.get_item(now, target, b""))));
        }
    }
    net.run_until(net.now + Duration::from_secs(10));
    // Who was replaced meanwhile has no report.
    let reports: Vec<Report> = net.reports(&lookups).into_iter().flatten().collect();
    let (found, sought) = (reports.iter().filter(|report| report.found).count(), reports.len());
    assert!(sought * 10 >= lookups.len() * 9, "{sought} of {} ended", lookups.len());
    println!(
        "{size} nodes, a tenth of them replaced per minute for {minutes} min: {found} of {sought} found"
    );
    found as f64 / sought as f64
}

#[test]
fn items_are_found_while_nodes_come_and_go() {
    assert!(churn(&mut grown(200, 3), 80, 4) >= 0.99);
}

#[test]
#[ignore = "10,000 nodes: minutes, in release"]
fn items_are_found_among_ten_thousand_nodes_that_come_and_go() {
    assert!(churn(&mut grown(10_000, 5), 1_000, 5) >= 0.99);
}

#[test]
fn the_size_of_the_network_is_known() {
    let net = grown(200, 9);
    let mut sizes: Vec<f64> = (0..200).filter_map(|at| net.dht(at).network_size(false)).collect();
    assert!(sizes.len() > 190, "most have an estimate: {}", sizes.len());
    sizes.sort_by(f64::total_cmp);
    let middle = sizes[sizes.len() / 2];
    assert!((160.0..240.0).contains(&middle), "{middle}");
}

/// The same seed gives the same trace, another one another.
#[test]
fn a_seed_determines_the_trace() {
    let trace = |seed| {
        let mut net = Net::new(seed, Config::default());
        net.grow(60, Duration::from_secs(10), Duration::from_secs(30));
        net.trace()
    };
    assert_eq!(trace(1), trace(1));
    assert_ne!(trace(1), trace(2));
}
