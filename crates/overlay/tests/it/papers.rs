//! Published results, reproduced with the machines themselves and real frames. Numbers are the papers'.
//!
//! Small versions run with the other tests. The papers' sizes are run in release, by `.ci/run`:
//! `cargo test --release -p peerage-overlay -- papers:: --ignored --nocapture --test-threads 1`

use crate::net::Net;
use crate::rings::{self, chord_ring, lookup, pastry_ring, places, successor};
use peerage_base::{Duration, Key, Rng};
use peerage_overlay::chord;
use peerage_overlay::pastry::{self, Pastry};
use peerage_overlay::search::{Machine, Output};

/// Hops of `count` look-ups from random nodes for random keys on settled rings of `2^k` nodes, a new ring after
/// each 100 look-ups per node. A look-up ends at the key's predecessor. Those that end where they begin are left out,
/// as in the figure, whose least is 1.
fn chord_hops(k: u32, count: usize, rings: usize) -> Vec<u32> {
    let mut rng = Rng::from_number(u64::from(k));
    // One successor: no short cut by the successor list.
    let config = chord::Config { successors: 1, ..chord::Config::default() };
    let mut hops = Vec::new();
    for _ in 0..rings {
        let nodes = places(1 << k, &mut rng);
        let mut ring = chord_ring(&nodes, &config, false);
        for _ in 0..count / rings {
            let (from, key) = (rng.index(1 << k), Key::random(&mut rng));
            let (owners, report) = lookup(&mut ring, |_| true, from, key);
            assert_eq!(owners.first(), Some(successor(&nodes, &key)));
            hops.push(report.hops);
        }
    }
    hops.retain(|hops| *hops > 0);
    hops
}

fn mean(values: &[u32]) -> f64 {
    values.iter().map(|value| f64::from(*value)).sum::<f64>() / values.len() as f64
}

/// Chord, IEEE/ACM ToN 2003, figure 10(a): mean path length by `k`, from 3 on. Digitised, within 0.005.
const CHORD_FIG_10: [f64; 12] =
    [1.719, 2.090, 2.491, 2.959, 3.391, 3.880, 4.380, 4.889, 5.360, 5.849, 6.350, 6.869];

/// Figure 10(b): shares of path lengths 1 to 12 at 4,096 nodes.
const CHORD_FIG_10_B: [f64; 12] =
    [0.0033, 0.0180, 0.0571, 0.1288, 0.2124, 0.2254, 0.1938, 0.1094, 0.0412, 0.0092, 0.0012, 0.0002];

fn chord_figure_10(ks: core::ops::RangeInclusive<u32>, per_node: usize) {
    println!("Chord, figure 10(a): k, paper, here");
    for k in ks {
        // Rings of few nodes differ much from each other.
        let rings = if k <= 7 { 40 } else { 2 };
        let hops = chord_hops(k, (per_node << k).max(4_000), rings);
        let paper = CHORD_FIG_10[k as usize - 3];
        println!("  {k:>2}  {paper:.3}  {:.3}", mean(&hops));
        assert!((mean(&hops) - paper).abs() <= 0.1, "k = {k}");
        if k == 12 {
            let share =
                |length: u32| hops.iter().filter(|hops| **hops == length).count() as f64 / hops.len() as f64;
            let shares = (1..).map(share).zip(CHORD_FIG_10_B);
            let variation = shares.map(|(here, paper)| (here - paper).abs()).sum::<f64>() / 2.0;
            println!("  figure 10(b): total variation {variation:.4}");
            assert!(variation < 0.03);
        }
    }
}

#[test]
fn chord_path_lengths_of_small_rings() {
    chord_figure_10(3..=8, 1);
}

#[test]
#[ignore = "half a minute in release: .ci/run"]
fn chord_path_lengths() {
    chord_figure_10(3..=12, 100);
}

/// Chord, table II: share of failed nodes, path length, time-outs. 1,000 nodes, 20 successors, no stabilisation.
const CHORD_TABLE_II: [(f64, f64, f64); 6] = [
    (0.0, 3.84, 0.0),
    (0.1, 4.03, 0.60),
    (0.2, 4.22, 1.17),
    (0.3, 4.44, 2.02),
    (0.4, 4.69, 3.23),
    (0.5, 5.09, 5.10),
];

fn chord_table_ii(count: usize) {
    let mut rng = Rng::from_number(2);
    let config = chord::Config { timeout: Duration::from_millis(1), ..chord::Config::default() };
    println!("Chord, table II: failed, path length (paper, here), time-outs (paper, here)");
    for (failed, path, timeouts) in CHORD_TABLE_II {
        let (mut hops, mut dead_met, mut unresolved) = (Vec::new(), Vec::new(), 0);
        for _ in 0..4 {
            let nodes = places(1000, &mut rng);
            let mut ring = chord_ring(&nodes, &config, true);
            let dead: Vec<bool> = (0..1000).map(|_| rng.unit() < failed).collect();
            let living: Vec<_> =
                nodes.iter().zip(&dead).filter(|(_, dead)| !**dead).map(|(node, _)| *node).collect();
            for _ in 0..count / 4 {
                let (from, key) =
                    (rings::index(rng.choose(&living).expect("some").addr), Key::random(&mut rng));
                let (owners, report) = lookup(&mut ring, |at| !dead[at], from, key);
                // The first living one of those named is the key's owner; to reach it may take the list's others.
                let owner = owners.iter().find(|owner| !dead[rings::index(owner.addr)]);
                unresolved += usize::from(owner != Some(successor(&living, &key)));
                hops.push(report.hops);
                dead_met.push(report.timeouts);
            }
        }
        let (here, here_dead) = (mean(&hops), mean(&dead_met));
        println!("  {failed:.1}  {path:.2} {here:.2}  {timeouts:.2} {here_dead:.2}  unresolved {unresolved}");
        assert_eq!(unresolved, 0);
        assert!((here - path).abs() <= 0.15 && (here_dead - timeouts).abs() <= 0.3, "{failed}");
    }
}

#[test]
fn chord_with_failed_nodes() {
    chord_table_ii(4_000);
}

#[test]
#[ignore = "some seconds in release: .ci/run"]
fn chord_with_failed_nodes_at_the_papers_size() {
    chord_table_ii(10_000);
}

/// Pastry, Middleware 2001, figure 5: shares of routes of 0 to 6 hops among 100,000 nodes.
const PASTRY_FIG_5: [f64; 7] = [0.0, 0.0006, 0.0156, 0.1643, 0.6449, 0.1745, 0.0];

#[test]
#[ignore = "half a minute and 2 GB in release: .ci/run"]
fn pastry_path_lengths_of_100_000_nodes() {
    let mut rng = Rng::from_number(5);
    let nodes = places(100_000, &mut rng);
    let mut ring = pastry_ring(&nodes, &pastry::Config::default(), &mut rng);
    let hops: Vec<u32> = (0..200_000)
        .map(|_| {
            let (from, key) = (rng.index(nodes.len()), Key::random(&mut rng));
            lookup(&mut ring, |_| true, from, key).1.hops
        })
        .collect();
    println!("Pastry, figure 5: hops, paper, here");
    for (length, paper) in PASTRY_FIG_5.into_iter().enumerate() {
        let here = hops.iter().filter(|hops| **hops as usize == length).count() as f64 / hops.len() as f64;
        println!("  {length}  {paper:.4}  {here:.4}");
    }
    println!("  mean 3.977 {:.3}", mean(&hops));
    assert!((mean(&hops) - 3.98).abs() <= 0.1);
    assert!(hops.iter().all(|hops| *hops <= 5));
}

/// A settled Pastry network on which time goes on.
fn pastry_net(count: usize) -> Net {
    let mut net = Net::new(10);
    let nodes = places(count, &mut net.rng);
    let ring = pastry_ring(&nodes, &pastry::Config::default(), &mut net.rng);
    ring.into_iter().for_each(|pastry| _ = net.add(pastry));
    net
}

/// Mean hops of `count` routes between living nodes; with `learn`, what was found dead is told and repaired.
fn pastry_mean_hops(net: &mut Net, count: usize, learn: bool) -> f64 {
    let living = net.alive();
    if !learn {
        let alive: Vec<bool> = net.nodes.iter().map(Option::is_some).collect();
        // Copies, since the dead have none: they are not asked.
        let any = net.nodes.iter().flatten().next().cloned();
        let machine = |node: &Option<Machine>| match node.as_ref().or(any.as_ref()) {
            Some(Machine::Pastry(pastry)) => Pastry::clone(pastry),
            other => panic!("{other:?}"),
        };
        let mut ring: Vec<Pastry> = net.nodes.iter().map(machine).collect();
        let one = |rng: &mut Rng| {
            let (from, key) = (*rng.choose(&living).expect("some"), Key::random(rng));
            lookup(&mut ring, |at| alive[at], from, key).1.hops
        };
        let mut one = one;
        let hops: Vec<u32> = (0..count).map(|_| one(&mut net.rng)).collect();
        return mean(&hops);
    }
    net.told.clear();
    for _ in 0..count {
        let (from, key) = (*net.rng.choose(&living).expect("some"), Key::random(&mut net.rng));
        net.with(from, |machine, now| match machine {
            Machine::Pastry(pastry) => _ = pastry.lookup(now, key),
            other => panic!("{other:?}"),
        });
        net.run_for(Duration::from_millis(1));
    }
    net.run_for(Duration::from_secs(20));
    let hops = net.told.iter().filter_map(|(_, output)| match output {
        Output::Closest { report, .. } => Some(report.hops),
        _ => None,
    });
    mean(&hops.collect::<Vec<u32>>())
}

/// Pastry, figure 10: a tenth of the nodes fails silently; mean hops before, after, and once look-ups and upkeep have
/// repaired the tables.
fn pastry_failures(count: usize, routes: usize) -> [f64; 3] {
    let mut net = pastry_net(count);
    let before = pastry_mean_hops(&mut net, routes, false);
    let mut order: Vec<usize> = (0..count).collect();
    net.rng.shuffle(&mut order);
    order[..count / 10].iter().for_each(|at| net.kill(*at));
    let after = pastry_mean_hops(&mut net, routes, false);
    pastry_mean_hops(&mut net, routes, true);
    net.run_for(Duration::from_secs(300));
    let repaired = pastry_mean_hops(&mut net, routes, false);
    println!(
        "Pastry, figure 10, {count} nodes: {before:.3} before, {after:.3} failed, {repaired:.3} repaired"
    );
    [before, after, repaired]
}

#[test]
fn pastry_repairs_itself() {
    let [before, after, repaired] = pastry_failures(400, 1_000);
    assert!(after > before && (repaired - before).abs() < (after - before) * 0.6);
}

#[test]
#[ignore = "some seconds in release: .ci/run"]
fn pastry_repairs_itself_at_the_papers_size() {
    let [before, after, repaired] = pastry_failures(5_000, 20_000);
    println!("  paper: 2.73, 2.96, 2.74");
    assert!((after - before - 0.23).abs() <= 0.1, "0.23 hops more in the paper");
    assert!((repaired - before - 0.01).abs() <= 0.1, "0.01 hops more in the paper");
}
