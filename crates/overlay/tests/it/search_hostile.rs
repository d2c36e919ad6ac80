//! Search machines among hostile nodes: any bytes in any state, lies, floods.

use peerage_base::{Duration, Instant, Key, Rng};
use peerage_overlay::chord::{self, Chord};
use peerage_overlay::flooding::{self, Flooding};
use peerage_overlay::gia::{self, Gia};
use peerage_overlay::links::Neighbour;
use peerage_overlay::pastry::{self, Pastry};
use peerage_overlay::search::{Local, Machine, Output};
use peerage_overlay::superpeer::{self, Superpeer};
use peerage_overlay::walk::{self, Walk};
use peerage_wire::overlay::{
    Frame, Node, chord as chord_wire, flooding as flooding_wire, gia as gia_wire, link,
    pastry as pastry_wire, superpeer as superpeer_wire, walk as walk_wire,
};
use proptest::prelude::*;
use std::net::SocketAddr;

fn addr(index: u8) -> SocketAddr {
    SocketAddr::from(([11, 0, 0, index], 4000))
}

fn key(byte: u8) -> Key<20> {
    Key([byte; 20])
}

fn local() -> Local {
    Local { id: key(0x80), addr: addr(0), capacity: 100 }
}

fn neighbours() -> Vec<(SocketAddr, Neighbour)> {
    (1..=4).map(|index| (addr(index), Neighbour::new(100, 4, index % 2 == 0))).collect()
}

/// Each machine among four others.
fn machines() -> Vec<Machine> {
    let (now, rng) = (Instant::ZERO, || Rng::from_number(9));
    let node = |index: u8| Node { id: key(index * 40), addr: addr(index) };
    let mut ring = Chord::new(chord::Config::default(), local(), rng());
    ring.settle(now, Some(node(3)), &[node(4), node(1)], [node(1), node(2)]);
    let mut prefix = Pastry::new(pastry::Config::default(), local(), rng());
    prefix.settle(now, (1..=4).map(|index| (node(index), Duration::from_millis(20))));
    let mut flood = Flooding::new(flooding::Config::default(), local(), rng());
    flood.settle(now, neighbours());
    let mut walks = Walk::new(walk::Config::default(), local(), rng());
    walks.settle(now, neighbours());
    let mut above = Superpeer::new(superpeer::Config::default(), local(), rng());
    above.settle(now, true, neighbours());
    let mut leaf = Superpeer::new(superpeer::Config::default(), local(), rng());
    leaf.settle(now, false, neighbours());
    let mut biased = Gia::new(gia::Config::default(), local(), rng());
    biased.settle(now, neighbours());
    vec![ring.into(), prefix.into(), flood.into(), walks.into(), above.into(), leaf.into(), biased.into()]
}

/// All outputs now.
fn drain(machine: &mut Machine) -> Vec<Output> {
    core::iter::from_fn(|| machine.poll_output()).collect()
}

/// To whom frames go, and what they are.
fn sent(machine: &mut Machine) -> Vec<(SocketAddr, Frame)> {
    let frames = drain(machine).into_iter().filter_map(|output| match output {
        Output::Send { to, bytes, .. } => Some((to, Frame::decode(&bytes).expect("our own frame"))),
        _ => None,
    });
    frames.collect()
}

fn give(machine: &mut Machine, now: Instant, from: SocketAddr, frame: &Frame) -> Vec<(SocketAddr, Frame)> {
    drain(machine);
    machine.handle_frame(now, from, &frame.encode());
    sent(machine)
}

/// Frames of all protocols from a few numbers, so that they meet state: guids, keys and addresses repeat.
fn frame() -> impl Strategy<Value = Frame> {
    let small = 0_u8..6;
    let parts = (0_usize..30, small.clone(), small.clone(), any::<u8>(), any::<u16>(), any::<bool>());
    parts.prop_map(|(which, a, b, byte, word, flag)| {
        let (guid, transaction, id) = (u64::from(a), u32::from(a), key(b * 40));
        let (holder, node) = (addr(byte % 8), Node { id: key(byte), addr: addr(b) });
        let nodes = vec![node, Node { id, addr: addr(byte) }];
        let (walker, key, steps, ttl) = (b, id, word, word);
        let others = vec![addr(byte), "10.0.0.1:80".parse().expect("an address")];
        let (degree, superpeer, capacity) = (word, flag, u32::from(word));
        match which {
            0 => Frame::Chord(chord_wire::Message::Find { transaction, target: key }),
            1 => Frame::Chord(chord_wire::Message::Notify { id }),
            2 => Frame::Chord(chord_wire::Message::Store { transaction, key }),
            3 => Frame::Chord(chord_wire::Message::Get { transaction, key }),
            4 => Frame::Chord(chord_wire::Message::Nodes {
                transaction,
                id,
                closer: nodes.clone(),
                owners: nodes,
            }),
            5 => Frame::Pastry(pastry_wire::Message::Route { transaction, target: key }),
            6 => Frame::Pastry(pastry_wire::Message::Arrived { id }),
            7 => Frame::Pastry(pastry_wire::Message::Suspect { node }),
            8 => Frame::Pastry(pastry_wire::Message::Row { transaction, row: byte }),
            9 => Frame::Pastry(pastry_wire::Message::Hops { transaction, id, next: nodes }),
            10 => Frame::Link(link::Message::Hello { capacity, degree, superpeer }),
            11 => Frame::Link(link::Message::Welcome { capacity, degree, superpeer, others }),
            12 => Frame::Link(link::Message::Full { others }),
            13 => Frame::Link(link::Message::Ping { degree, superpeer }),
            14 => Frame::Link(link::Message::Pong { degree, superpeer, others }),
            15 => Frame::Link(link::Message::Bye {}),
            16 => Frame::Flooding(flooding_wire::Message::Query { guid, key, ttl: byte, hops: b }),
            17 => Frame::Flooding(flooding_wire::Message::Hit { guid, holder, hops: byte }),
            18 => Frame::Walk(walk_wire::Message::Query { guid, walker, key, source: holder, ttl, steps }),
            19 => Frame::Walk(walk_wire::Message::Check { guid, walker }),
            20 => Frame::Walk(walk_wire::Message::Go { guid, walker, go: flag }),
            21 => Frame::Walk(walk_wire::Message::Hit { guid, walker, key, holder, steps }),
            22 => Frame::Walk(walk_wire::Message::Place { key, holder, ttl }),
            23 => Frame::Superpeer(superpeer_wire::Message::Publish { keys: vec![key; 3] }),
            24 => Frame::Superpeer(superpeer_wire::Message::Table {
                bloom: superpeer_wire::BloomBytes(vec![byte; usize::from(b) * 100]),
            }),
            25 => Frame::Superpeer(superpeer_wire::Message::Query { guid, key, ttl: byte, hops: b }),
            26 => Frame::Superpeer(superpeer_wire::Message::Hit { guid, holder, hops: byte }),
            27 => Frame::Gia(gia_wire::Message::Index { added: vec![key], removed: vec![id] }),
            28 => Frame::Gia(gia_wire::Message::Tokens { count: byte }),
            _ => Frame::Gia(gia_wire::Message::Query { guid, key, ttl, steps }),
        }
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever comes from whomever and whenever: no panic, no frame to a private address or to itself, and each
    /// search ends, once.
    #[test]
    fn anything_at_any_time(
        steps in prop::collection::vec((frame(), 0_u8..8, 0_u64..2_000, 0_u8..12), 1..120),
    ) {
        for mut machine in machines() {
            let (mut now, mut begun, mut ended) = (Instant::ZERO, 0, 0);
            let mut check = |machine: &mut Machine| {
                for output in drain(machine) {
                    match output {
                        Output::Send { to, .. } => {
                            assert_ne!(to, addr(0));
                            assert_eq!(to.ip().to_string().split('.').next(), Some("11"));
                        }
                        Output::Found { .. } | Output::NotFound { .. } => ended += 1,
                        Output::Published { .. } | Output::Closest { .. } => {}
                    }
                }
            };
            for (frame, from, later_ms, command) in &steps {
                now += Duration::from_millis(*later_ms);
                // Nothing comes from our own address: transports see to that.
                machine.handle_frame(now, addr(from + 1), &frame.encode());
                match command {
                    0 => {
                        machine.search(now, key(from.wrapping_mul(40)));
                        begun += 1;
                    }
                    1 => _ = machine.publish(now, key(from.wrapping_mul(40))),
                    2 => machine.withdraw(&key(from.wrapping_mul(40))),
                    3 => machine.join(now, addr(from + 1)),
                    _ => {}
                }
                machine.handle_timeout(now);
                check(&mut machine);
            }
            for _ in 0..400 {
                now = machine.poll_timeout().map_or(now, |(at, _)| at).max(now);
                machine.handle_timeout(now);
                check(&mut machine);
            }
            prop_assert_eq!(begun, ended, "{:?}", machine.stats());
        }
    }

    #[test]
    fn any_bytes(bytes in prop::collection::vec(any::<u8>(), 0..200), from in 1_u8..8) {
        for mut machine in machines() {
            machine.handle_frame(Instant::ZERO, addr(from), &bytes);
            drain(&mut machine);
        }
    }
}

fn flooding_query(ttl: u8, guid: u64) -> Frame {
    Frame::Flooding(flooding_wire::Message::Query { guid, key: key(1), ttl, hops: 0 })
}

#[test]
fn a_flood_goes_no_farther_than_allowed_and_each_query_once() {
    let mut node = machines().swap_remove(2);
    let passed = give(&mut node, Instant::ZERO, addr(1), &flooding_query(255, 1));
    assert_eq!(passed.len(), 3, "to all but the sender");
    for (_, frame) in passed {
        let Frame::Flooding(flooding_wire::Message::Query { ttl, hops, .. }) = frame else {
            panic!("{frame:?}")
        };
        assert!(ttl + hops <= 7 && hops == 1, "{ttl} {hops}");
    }
    assert!(give(&mut node, Instant::ZERO, addr(2), &flooding_query(7, 1)).is_empty(), "a copy");
    assert!(give(&mut node, Instant::ZERO, addr(99), &flooding_query(7, 2)).is_empty(), "a stranger's");
    assert!(give(&mut node, Instant::ZERO, addr(1), &flooding_query(1, 3)).is_empty(), "its time is over");
    let passed = (10..10_000)
        .filter(|guid| !give(&mut node, Instant::ZERO, addr(3), &flooding_query(7, *guid)).is_empty());
    assert_eq!(passed.count(), 100, "a second's worth");
}

#[test]
fn hits_that_nobody_waits_for_are_dropped() {
    let hit = |guid| Frame::Flooding(flooding_wire::Message::Hit { guid, holder: addr(9), hops: 1 });
    let mut node = machines().swap_remove(2);
    give(&mut node, Instant::ZERO, addr(1), &flooding_query(7, 1));
    assert!(give(&mut node, Instant::ZERO, addr(1), &hit(1)).is_empty(), "from whom the query came");
    assert!(give(&mut node, Instant::ZERO, addr(2), &hit(2)).is_empty(), "of no query");
    assert_eq!(give(&mut node, Instant::ZERO, addr(2), &hit(1)).len(), 1, "the control");
}

#[test]
fn gia_takes_no_query_without_a_token() {
    let query = |guid| Frame::Gia(gia_wire::Message::Query { guid, key: key(1), ttl: 9, steps: 0 });
    let mut node = machines().swap_remove(6);
    give(&mut node, Instant::ZERO, addr(1), &query(1));
    assert_eq!((node.stats().queries, node.stats().refused), (0, 1));
    let at = node.poll_timeout().expect("tokens").0;
    drain(&mut node);
    node.handle_timeout(at);
    let tokens = sent(&mut node).into_iter().filter_map(|(to, frame)| match frame {
        Frame::Gia(gia_wire::Message::Tokens { count }) if to == addr(1) => Some(u64::from(count)),
        _ => None,
    });
    let tokens: u64 = tokens.sum();
    assert!(tokens > 0);
    for guid in 2..100 {
        give(&mut node, at, addr(1), &query(guid));
    }
    assert_eq!(node.stats().queries, tokens);
}

#[test]
fn a_suspicion_about_a_stranger_makes_us_ask_nobody() {
    let mut node = machines().swap_remove(1);
    let suspect = |index: u8, id: u8| {
        Frame::Pastry(pastry_wire::Message::Suspect { node: Node { id: key(id), addr: addr(index) } })
    };
    assert!(give(&mut node, Instant::ZERO, addr(1), &suspect(77, 3)).is_empty());
    assert!(give(&mut node, Instant::ZERO, addr(1), &suspect(2, 3)).is_empty(), "under another key");
    assert_eq!(give(&mut node, Instant::ZERO, addr(1), &suspect(2, 80)).len(), 1, "the control");
}

/// Who answers under another key than it was named by is not believed, whatever it says.
#[test]
fn a_node_under_another_key_is_not_believed() {
    let mut node = machines().swap_remove(0);
    let search = node.search(Instant::ZERO, key(0x7F));
    let mut asked = sent(&mut node);
    for _ in 0..50 {
        let Some((to, frame)) = asked.pop() else { break };
        let Frame::Chord(chord_wire::Message::Find { transaction, .. }) = frame else { continue };
        let owners = vec![Node { id: key(0x7F), addr: addr(66) }];
        let lie = chord_wire::Message::Nodes { transaction, id: key(0x7E), closer: Vec::new(), owners };
        node.handle_frame(Instant::ZERO, to, &Frame::Chord(lie).encode());
        let outputs = drain(&mut node);
        assert!(!outputs.iter().any(|output| matches!(output, Output::Send { to, .. } if *to == addr(66))));
        asked.extend(outputs.into_iter().filter_map(|output| match output {
            Output::Send { to, bytes, .. } => Frame::decode(&bytes).ok().map(|frame| (to, frame)),
            _ => None,
        }));
    }
    let _ = search;
}

/// A leaf is not searched through, and a superpeer's leaves tell of no more objects than allowed.
#[test]
fn leaves_carry_nothing_and_tell_no_more_than_allowed() {
    let query = Frame::Superpeer(superpeer_wire::Message::Query { guid: 1, key: key(1), ttl: 4, hops: 0 });
    let mut leaf = machines().swap_remove(5);
    assert!(give(&mut leaf, Instant::ZERO, addr(2), &query).is_empty());
    let mut above = machines().swap_remove(4);
    let mut rng = Rng::from_number(1);
    for _ in 0..100 {
        let keys = (0..100).map(|_| Key::random(&mut rng)).collect();
        give(
            &mut above,
            Instant::ZERO,
            addr(1),
            &Frame::Superpeer(superpeer_wire::Message::Publish { keys }),
        );
    }
    assert_eq!(above.stats().refused, 90, "of 100 frames, the first ten have room");
}
