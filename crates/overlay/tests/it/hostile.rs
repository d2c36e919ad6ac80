//! Networks with liars (threats.md D1, D2).
//!
//! The large ones are run in release, by `.ci/run`:
//! `cargo test --release -p peerage-overlay -- --ignored --nocapture`

use crate::sim::{self, Lie, Net};
use peerage_base::{Duration, Key};
use peerage_overlay::kademlia::LookupConfig;
use peerage_overlay::mainline::{Config, Item};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

/// Every second node looks up along one path: the control.
fn grown(size: usize, seed: u64, enforce_ids: bool) -> Net {
    let config = Config { enforce_ids, ..Config::default() };
    let single =
        Config { lookup: LookupConfig { paths: 1, alpha: 4, ..LookupConfig::default() }, ..config.clone() };
    let mut net = Net::new(seed, config.clone());
    for index in 0..size {
        let addr = net.free_addr();
        net.join_at(addr, if index % 2 == 0 { config.clone() } else { single.clone() });
        net.run_until(net.now + Duration::from_secs(60) / u32::try_from(size).expect("a size"));
    }
    net.run_until(net.now + Duration::from_secs(100));
    net.told.clear();
    net
}

fn honest(net: &mut Net, parity: usize) -> usize {
    loop {
        let at = net.random_honest().expect("a node");
        if at % 2 == parity {
            return at;
        }
    }
}

/// Of `count` items that honest nodes store, how many honest nodes find; by parity of the node.
fn found(net: &mut Net, count: usize, parity: usize) -> usize {
    let mut found = 0;
    for _ in 0..count {
        let item =
            Item::new(format!("i{}e", net.rng.next_u32()).into_bytes(), None, Vec::new()).expect("an item");
        let (at, target) = (honest(net, parity), item.target());
        let lookup = net.with(at, |dht, now| dht.put_item(now, item, None));
        net.finish(&[(at, lookup)]);
        let at = honest(net, parity);
        let lookup = net.with(at, |dht, now| dht.get_item(now, target, b""));
        found += usize::from(net.finish(&[(at, lookup)])[0].found);
    }
    found
}

/// Shares of hostile nodes, and of look-ups that must succeed (threats.md D1).
const BYZANTINE: [(u64, f64); 4] = [(10, 0.99), (20, 0.97), (33, 0.90), (50, 0.65)];

fn byzantine(size: usize, seeds: std::ops::Range<u64>, count: usize, lie: Lie, enforce_ids: bool) {
    let mut sums = [[0; 2]; 4];
    let runs = usize::try_from(seeds.end - seeds.start).expect("few") * count;
    for seed in seeds {
        let mut net = grown(size, seed, enforce_ids);
        let mut order: Vec<usize> = (0..size).collect();
        net.rng.shuffle(&mut order);
        let mut hostile = 0;
        for ((percent, _), sums) in BYZANTINE.iter().zip(&mut sums) {
            let wanted = size * *percent as usize / 100;
            order[hostile..wanted].iter().for_each(|at| net.corrupt(*at, lie));
            hostile = wanted;
            for (parity, sum) in sums.iter_mut().enumerate() {
                *sum += found(&mut net, count, parity);
            }
        }
    }
    println!("{size} nodes, {runs} items: found, by the share of hostile nodes");
    println!("  hostile   4 paths   1 path   wanted");
    for ((percent, wanted), sums) in BYZANTINE.iter().zip(sums) {
        let [four, one] = sums.map(|sum| sum as f64 / runs as f64);
        println!("  {percent:>5} %   {four:>7.3}   {one:>6.3}   {wanted:>6.2}");
        assert!(four >= *wanted, "{percent} %: {four}");
    }
}

#[test]
fn items_are_found_among_liars_that_collude() {
    byzantine(250, 1..2, 60, Lie::Collude, true);
}

#[test]
fn items_are_found_among_liars_that_forge_identifiers() {
    byzantine(250, 2..3, 60, Lie::Forge, true);
}

#[test]
#[ignore = "1,000 nodes, 20 seeds: minutes, in release"]
fn items_are_found_among_a_thousand_with_liars() {
    byzantine(1_000, 1..21, 50, Lie::Collude, true);
    byzantine(1_000, 1..21, 50, Lie::Forge, true);
}

/// threats.md D2: identifiers ground for one key. `nets` is the number of /24 networks they are in.
fn crowded(size: usize, seed: u64, ground: usize, nets: u32) -> (bool, bool) {
    // Where identifiers follow from addresses they cannot be ground: here they do not.
    let mut net = grown(size, seed, false);
    let item = Item::new(format!("i{seed}e").into_bytes(), None, Vec::new()).expect("an item");
    let target = item.target();
    let mut distances: Vec<(Key<20>, usize)> =
        (0..size).map(|at| (net.dht(at).id(false).distance(&target), at)).collect();
    distances.sort_unstable();
    let closer = distances[0].0.common_bits(&Key([0; 20])) + 1;
    for n in 0..ground as u32 {
        let ip = Ipv4Addr::from(0x5F00_0000 | (n % nets) << 8 | (1 + n / nets));
        let id = target.random_beside(closer, &mut net.rng);
        let liar = net.add_liar(SocketAddr::new(IpAddr::V4(ip), 6881), Some(id));
        // They make themselves known around the key, and elsewhere.
        for (_, at) in &distances[..60.min(size)] {
            net.knock(liar, *at);
        }
        for _ in 0..40 {
            let at = net.rng.index(size);
            net.knock(liar, at);
        }
        net.run_until(net.now + Duration::from_millis(500));
    }
    net.run_until(net.now + Duration::from_secs(30));
    let at = honest(&mut net, 0);
    let lookup = net.with(at, |dht, now| dht.put_item(now, item, None));
    let put = net.finish(&[(at, lookup)]).remove(0);
    let at = honest(&mut net, 0);
    let lookup = net.with(at, |dht, now| dht.get_item(now, target, b""));
    let got = net.finish(&[(at, lookup)]).remove(0);
    (put.crowded, got.found)
}

#[test]
fn a_crowded_key_is_seen_and_read() {
    for (ground, nets) in [(20, 20), (100, 10)] {
        let results: Vec<_> = (0..4).map(|seed| crowded(250, seed, ground, nets)).collect();
        let seen = results.iter().filter(|(seen, _)| *seen).count();
        let found = results.iter().filter(|(_, found)| *found).count();
        println!("{ground} ground identifiers in {nets} networks: seen {seen}, found {found} of 4");
        assert_eq!((seen, found), (4, 4));
    }
}

/// threats.md D5, first half: every bootstrap node is dead.
#[test]
fn a_saved_table_is_enough_to_come_back() {
    let mut net = grown(100, 4, true);
    for _ in 0..20 {
        let index = honest(&mut net, 0);
        let saved = net.dht(index).snapshot();
        net.kill(index);
        let addr = net.free_addr();
        let newcomer = net.add(addr, Config::default());
        net.with(newcomer, |dht, now| {
            dht.bootstrap(now, ["203.0.114.1:1".parse().expect("an address")]);
            assert!(dht.restore(now, &saved, true).expect("a table") > 20);
        });
        net.run_until(net.now + Duration::from_secs(30));
        let known = net.dht(newcomer).nodes(false).count();
        assert!(known >= 16, "{known} contacts after 30 s");
    }
}

/// threats.md D5, second half: one of two bootstrap nodes names liars only.
#[test]
fn a_hostile_bootstrap_node_does_not_keep_us_from_the_others() {
    let mut net = grown(100, 5, true);
    for _ in 0..30 {
        let at = honest(&mut net, 1);
        net.corrupt(at, Lie::Collude);
    }
    let liar = (0..100).find(|at| !net.is_honest(*at)).expect("a liar");
    for _ in 0..20 {
        let (good, addr) = (honest(&mut net, 0), net.free_addr());
        let bootstrap = [liar, good].map(|at| net.nodes[at].addr);
        let newcomer = net.add(addr, Config::default());
        net.with(newcomer, |dht, now| dht.bootstrap(now, bootstrap));
        net.run_until(net.now + Duration::from_secs(30));
        let known: Vec<_> = net.dht(newcomer).nodes(false).map(|node| node.addr).collect();
        let honest = net.nodes.iter().filter(|node| matches!(node.role, sim::Role::Honest(_)));
        let honest = honest.filter(|node| known.contains(&node.addr)).count();
        assert!(honest >= 8, "{honest} honest of {} contacts", known.len());
    }
}

/// threats.md D4: a hundred thousand addresses of eight /16 networks make themselves known, all of which
/// answer; after each restart the honest ones are still there.
#[test]
fn a_restart_is_not_an_eclipse() {
    let mut net = grown(100, 6, true);
    let index = honest(&mut net, 0);
    let before: Vec<_> = net.dht(index).nodes(false).map(|node| node.addr).collect();
    let mut rng = net.rng.fork();
    for n in 0..100_000_u32 {
        let ip = Ipv4Addr::from(0x5A00_0000 | (n % 8) << 16 | (n / 8 % 65_536));
        let from = SocketAddr::new(IpAddr::V4(ip), 6881);
        // Each pings, and answers the ping that it may get.
        net.with(index, |dht, now| sim::knock_and_answer(dht, now, from, &mut rng));
        if n % 1_000 == 0 {
            net.run_until(net.now + Duration::from_secs(1));
        }
    }
    let saved = net.dht(index).snapshot();
    for _ in 0..100 {
        let addr = net.free_addr();
        let restarted = net.add(addr, Config::default());
        net.with(restarted, |dht, now| dht.restore(now, &saved, true).expect("a table"));
        net.run_until(net.now + Duration::from_secs(5));
        let known: Vec<_> = net.dht(restarted).nodes(false).map(|node| node.addr).collect();
        let honest = before.iter().filter(|addr| known.contains(addr)).count();
        assert!(honest >= 8, "{honest} honest of {}", known.len());
        net.kill(restarted);
    }
}

/// threats.md D10: an hour in which nodes come and go.
#[test]
fn an_hour_of_comings_and_goings_leaves_no_trace() {
    let mut net = Net::new(8, Config::default());
    net.grow(60, Duration::from_secs(30), Duration::from_secs(60));
    let survivors: Vec<usize> = (0..6).collect();
    let size = |net: &Net| survivors.iter().map(|at| format!("{:?}", net.dht(*at)).len()).sum::<usize>();
    let mut sizes = Vec::new();
    for minute in 0..60 {
        for _ in 0..3 {
            let victim = net.random_honest().expect("a node");
            if !survivors.contains(&victim) {
                net.kill(victim);
                net.join();
            }
        }
        let (at, hash) = (net.random_honest().expect("a node"), Key::random(&mut net.rng));
        net.with(at, |dht, now| dht.announce(now, hash, Some(7), false));
        net.run_until(net.now + Duration::from_secs(60));
        if minute % 15 == 14 {
            sizes.push(size(&net));
        }
    }
    let alive: Vec<usize> = (0..net.nodes.len()).filter(|at| net.is_honest(*at)).collect();
    let addrs: Vec<_> = alive.iter().map(|at| net.nodes[*at].addr).collect();
    let degree = |at: &usize| net.dht(*at).nodes(false).filter(|node| addrs.contains(&node.addr)).count();
    let connected = alive.iter().filter(|at| degree(at) >= 8).count();
    println!(
        "state in characters after 15, 30, 45, 60 min: {sizes:?}; {connected} of {} know eight",
        alive.len()
    );
    assert!(connected * 10 >= alive.len() * 9);
    assert!(sizes[3] as f64 <= sizes[1] as f64 * 1.1, "the state does not grow: {sizes:?}");
}
