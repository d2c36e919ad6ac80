//! Settled rings, and look-ups on them with real frames and no time on the way: for what papers counted in hops.

#![allow(dead_code, reason = "each test uses its part")]

use peerage_base::{Duration, Instant, Key, Rng};
use peerage_overlay::chord::{self, Chord};
use peerage_overlay::pastry::{self, Pastry};
use peerage_overlay::search::{Local, Output, Report};
use peerage_wire::overlay::{Id, Node};
use std::net::SocketAddr;

/// Addresses on the internet, one for each index.
pub fn addr(index: usize) -> SocketAddr {
    let index = u32::try_from(index).expect("few");
    let [_, a, b, c] = index.to_be_bytes();
    SocketAddr::from(([11, a, b, c], 4000))
}

pub fn index(addr: SocketAddr) -> usize {
    let std::net::IpAddr::V4(ip) = addr.ip() else { panic!("{addr}") };
    let [_, a, b, c] = ip.octets();
    u32::from_be_bytes([0, a, b, c]) as usize
}

/// `count` nodes at random places, in the order of the ring.
pub fn places(count: usize, rng: &mut Rng) -> Vec<Node> {
    let mut ids: Vec<Id> = (0..count).map(|_| Key::random(rng)).collect();
    ids.sort_unstable();
    ids.into_iter().enumerate().map(|(at, id)| Node { id, addr: addr(at) }).collect()
}

/// The number `2^bit` after `id`, by another way than the crate's.
fn plus(id: &Id, bit: usize) -> Id {
    let mut bytes = id.0;
    let mut carry = 1_u16 << (bit % 8);
    for byte in bytes[..=19 - bit / 8].iter_mut().rev() {
        let sum = u16::from(*byte) + carry;
        *byte = sum as u8;
        carry = sum >> 8;
    }
    Key(bytes)
}

/// The first node at or after a key: the definition.
pub fn successor<'a>(nodes: &'a [Node], key: &Id) -> &'a Node {
    &nodes[nodes.partition_point(|node| node.id < *key) % nodes.len()]
}

pub fn local(node: &Node) -> Local {
    Local { id: node.id, addr: node.addr, capacity: 1 }
}

/// A ring that has long been quiet.
pub fn chord_ring(nodes: &[Node], config: &chord::Config, predecessors: bool) -> Vec<Chord> {
    let count = nodes.len();
    let make = |(at, node): (usize, &Node)| {
        let mut chord = Chord::new(config.clone(), local(node), Rng::from_number(at as u64));
        let next: Vec<Node> =
            (1..=config.successors.min(count - 1)).map(|step| nodes[(at + step) % count]).collect();
        let fingers = (100..160).map(|bit| *successor(nodes, &plus(&node.id, bit)));
        let fingers: Vec<Node> = fingers.filter(|finger| finger != node).collect();
        let before = predecessors.then_some(nodes[(at + count - 1) % count]);
        chord.settle(Instant::ZERO, before, &next, fingers);
        chord
    };
    nodes.iter().enumerate().map(make).collect()
}

/// Nodes with complete tables, as after a long quiet time. Which of those that fit a place is there is chance.
pub fn pastry_ring(nodes: &[Node], config: &pastry::Config, rng: &mut Rng) -> Vec<Pastry> {
    let count = nodes.len();
    let half = config.leaves / 2;
    let rtt = Duration::from_millis(50);
    let mut make = |(at, node): (usize, &Node)| {
        let mut pastry = Pastry::new(config.clone(), local(node), Rng::from_number(at as u64));
        let beside =
            (1..=half.min(count - 1)).flat_map(|step| [(at + step) % count, (at + count - step) % count]);
        let mut known: Vec<Node> = beside.map(|at| nodes[at]).collect();
        for row in 0..40 {
            let mut others = 0;
            for digit in 0..16_u8 {
                let (low, high) = range(&node.id, row, digit);
                let first = nodes.partition_point(|node| node.id < low);
                let end = nodes.partition_point(|node| node.id <= high);
                let own = (first..end).contains(&at);
                others += end - first;
                if !own && end > first {
                    known.push(nodes[first + rng.index(end - first)]);
                }
            }
            if others <= 1 {
                break;
            }
        }
        pastry.settle(Instant::ZERO, known.into_iter().map(|node| (node, rtt)));
        pastry
    };
    nodes.iter().enumerate().map(&mut make).collect()
}

/// The first and the last key that share `row` digits with `id` and have `digit` next.
fn range(id: &Id, row: usize, digit: u8) -> (Id, Id) {
    let (mut low, mut high) = ([0; 20], [0xFF; 20]);
    for at in 0..=row {
        let value = if at == row {
            digit
        } else if at % 2 == 0 {
            id.0[at / 2] >> 4
        } else {
            id.0[at / 2] & 15
        };
        let (shift, keep) = if at % 2 == 0 { (4, 0x0F) } else { (0, 0xF0) };
        low[at / 2] = low[at / 2] & keep | value << shift;
        high[at / 2] = high[at / 2] & keep | value << shift;
    }
    (Key(low), Key(high))
}

/// What look-ups need of a machine.
pub trait Ring: Clone {
    fn lookup(&mut self, now: Instant, target: Id);
    fn frame(&mut self, now: Instant, from: SocketAddr, bytes: &[u8]);
    fn timeout(&mut self, now: Instant);
    fn output(&mut self) -> Option<Output>;
    fn wake(&self) -> Instant;
}

macro_rules! ring {
    ($name:ident) => {
        impl Ring for $name {
            fn lookup(&mut self, now: Instant, target: Id) {
                $name::lookup(self, now, target);
            }
            fn frame(&mut self, now: Instant, from: SocketAddr, bytes: &[u8]) {
                self.handle_frame(now, from, bytes);
            }
            fn timeout(&mut self, now: Instant) {
                self.handle_timeout(now);
            }
            fn output(&mut self) -> Option<Output> {
                self.poll_output()
            }
            fn wake(&self) -> Instant {
                self.poll_timeout().map_or(Instant::FAR_FUTURE, |(at, _)| at)
            }
        }
    };
}
ring!(Chord);
ring!(Pastry);

/// One look-up by a copy of the node `from`, so that it learns nothing for the next one. `alive` says who answers.
pub fn lookup<R: Ring>(
    ring: &mut [R],
    alive: impl Fn(usize) -> bool,
    from: usize,
    target: Id,
) -> (Vec<Node>, Report) {
    let mut asker = ring[from].clone();
    let mut now = Instant::ZERO;
    asker.lookup(now, target);
    loop {
        match asker.output() {
            Some(Output::Closest { nodes, report, .. }) => return (nodes, report),
            Some(Output::Send { to: at, bytes, .. }) if alive(index(at)) => {
                let other = &mut ring[index(at)];
                other.frame(now, addr(from), &bytes);
                while let Some(output) = other.output() {
                    let Output::Send { to, bytes, .. } = output else { panic!("{output:?}") };
                    if index(to) == from {
                        asker.frame(now, at, &bytes);
                    }
                }
            }
            Some(_) => {}
            None => {
                now = asker.wake();
                assert!(now < Instant::FAR_FUTURE, "it waits for nothing");
                asker.timeout(now);
            }
        }
    }
}
