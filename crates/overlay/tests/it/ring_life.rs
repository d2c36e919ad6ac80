//! Rings that form by joining, keep their order while nodes come and go, and find what was published.

use crate::net::{Net, addr};
use peerage_base::{Duration, Key};
use peerage_overlay::chord::{self, Chord};
use peerage_overlay::pastry::{self, Pastry};
use peerage_overlay::search::{Local, Machine};

type Make = fn(Local, u64) -> Machine;

fn chord(local: Local, seed: u64) -> Machine {
    let (stabilise_min, stabilise_max) = (Duration::from_secs(4), Duration::from_secs(8));
    let config = chord::Config { stabilise_min, stabilise_max, successors: 10, ..chord::Config::default() };
    Chord::new(config, local, peerage_base::Rng::from_number(seed)).into()
}

fn pastry(local: Local, seed: u64) -> Machine {
    let config = pastry::Config { upkeep: Duration::from_secs(6), ..pastry::Config::default() };
    Pastry::new(config, local, peerage_base::Rng::from_number(seed)).into()
}

/// A node joins through a random other one.
fn join(net: &mut Net, make: Make) -> usize {
    let others = net.alive();
    let local = net.local(1);
    let seed = net.rng.next_u64();
    let at = net.add(make(local, seed));
    if let Some(via) = net.rng.choose(&others).copied() {
        net.with(at, |machine, now| machine.join(now, addr(via)));
    }
    at
}

fn grown(make: Make, count: usize) -> Net {
    let mut net = Net::new(7);
    for _ in 0..count {
        join(&mut net, make);
        net.run_for(Duration::from_secs(1));
    }
    net.run_for(Duration::from_secs(120));
    net
}

/// The living in the order of the ring.
fn order(net: &Net) -> Vec<(Key<20>, usize)> {
    let id = |at: &usize| match net.nodes[*at].as_ref() {
        Some(Machine::Chord(chord)) => chord.table().own().id,
        Some(Machine::Pastry(pastry)) => pastry.table().own().id,
        other => panic!("{other:?}"),
    };
    let mut order: Vec<(Key<20>, usize)> = net.alive().iter().map(|at| (id(at), *at)).collect();
    order.sort_unstable();
    order
}

/// Nodes that do not know who is beside them.
fn wrong(net: &Net) -> usize {
    let order = order(net);
    let count = order.len();
    let beside = |place: usize| (order[(place + count - 1) % count].0, order[(place + 1) % count].0);
    let right = |place: usize| {
        let (before, after) = beside(place);
        match net.nodes[order[place].1].as_ref() {
            Some(Machine::Chord(chord)) => {
                let table = chord.table();
                table.predecessor().map(|node| node.id) == Some(before)
                    && table.successors().first().map(|node| node.id) == Some(after)
            }
            Some(Machine::Pastry(pastry)) => {
                let leaves: Vec<_> = pastry.table().leaves().map(|node| node.id).collect();
                leaves.contains(&before) && leaves.contains(&after)
            }
            other => panic!("{other:?}"),
        }
    };
    (0..count).filter(|place| !right(*place)).count()
}

/// Objects published by random nodes.
fn published(net: &mut Net, count: usize) -> Vec<Key<20>> {
    let keys: Vec<Key<20>> = (0..count).map(|_| Key::random(&mut net.rng)).collect();
    for key in &keys {
        let living = net.alive();
        let at = *net.rng.choose(&living).expect("some");
        net.with(at, |machine, now| machine.publish(now, *key));
    }
    net.run_for(Duration::from_secs(20));
    keys
}

/// How many of the keys are found, each by a random node.
fn found(net: &mut Net, keys: &[Key<20>]) -> usize {
    let living = net.alive();
    let wanted: Vec<(usize, Key<20>)> =
        keys.iter().map(|key| (*net.rng.choose(&living).expect("some"), *key)).collect();
    net.search(&wanted, Duration::from_secs(60)).iter().filter(|(found, _)| *found).count()
}

fn a_ring_lives(make: Make) {
    let mut net = grown(make, 100);
    assert_eq!(wrong(&net), 0, "after joining");
    let keys = published(&mut net, 100);
    assert_eq!(found(&mut net, &keys), 100);
    let absent: Vec<_> = (0..20).map(|_| Key::random(&mut net.rng)).collect();
    assert_eq!(found(&mut net, &absent), 0);
    // A fifth fails at once; holders among them, whose records others still keep.
    let mut living = net.alive();
    net.rng.shuffle(&mut living);
    living[..20].iter().for_each(|at| net.kill(*at));
    assert!(found(&mut net, &keys) >= 90, "at once, round the dead");
    net.run_for(Duration::from_secs(240));
    assert_eq!(wrong(&net), 0, "after failures");
    // One goes and one comes each 2 seconds: half the network within 80 s.
    for _ in 0..40 {
        let living = net.alive();
        let victim = *net.rng.choose(&living).expect("some");
        net.kill(victim);
        join(&mut net, make);
        net.run_for(Duration::from_secs(2));
    }
    net.run_for(Duration::from_secs(240));
    assert_eq!(wrong(&net), 0, "after comings and goings");
    let keys = published(&mut net, 100);
    assert_eq!(found(&mut net, &keys), 100, "after comings and goings");
}

#[test]
fn a_chord_ring_lives() {
    a_ring_lives(chord);
}

#[test]
fn a_pastry_ring_lives() {
    a_ring_lives(pastry);
}

/// A tenth of all frames is lost: what is asked is asked elsewhere.
#[test]
fn rings_bear_losses() {
    for make in [chord as Make, pastry] {
        let mut net = grown(make, 50);
        net.loss = 0.1;
        let keys = published(&mut net, 50);
        let found = found(&mut net, &keys);
        println!("{found} of 50 with a tenth of frames lost");
        assert!(found >= 40, "{found}");
    }
}

/// A node that comes back at its address under another key is not asked again and again under the old one.
#[test]
fn a_return_under_another_key_costs_little() {
    for make in [chord as Make, pastry] {
        let mut net = grown(make, 30);
        let local = Local { id: Key::random(&mut net.rng), addr: addr(7), capacity: 1 };
        net.nodes[7] = Some(make(local, 99));
        net.with(7, |machine, now| machine.join(now, addr(3)));
        let before = net.frames;
        net.run_for(Duration::from_secs(60));
        let each = (net.frames - before) / 30;
        assert!(each < 600, "{each} frames for each node in a minute");
        assert_eq!(wrong(&net), 0);
    }
}
