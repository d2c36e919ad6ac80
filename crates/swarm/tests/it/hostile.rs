//! Peers that break the rules: whatever they send, nothing panics, nothing that was not asked for is
//! accepted, nothing grows without bound, and the others are served.

use crate::net::{self, World};
use peerage_base::{ConnId, Duration, Instant, Rng, limits};
use peerage_swarm::{
    Block, BlockVerdict, Bucket, Config, Handshake, Local, Message, Output, PeerChange, Reason, StoreEvent,
    Swarm, upload::REQUESTS_IN_SLOW_MAX,
};
use peerage_wire::HashRequest;
use proptest::prelude::*;
use std::collections::BTreeSet;

const MIB: u64 = 1 << 20;
const PIECES: u32 = 10;
const PIECE_LEN: u32 = 65536;

/// Numbers where mistakes live.
fn number() -> impl Strategy<Value = u32> {
    prop_oneof![
        4 => 0..PIECES + 1,
        1 => prop::sample::select(vec![u32::MAX, u32::MAX - 1, 1 << 31, 16384, 65536, limits::PIECES_MAX]),
    ]
}

fn block() -> impl Strategy<Value = Block> {
    let begin = prop_oneof![4 => (0u32..5).prop_map(|at| at * 16384), 1 => number()];
    let len = prop_oneof![6 => Just(16384u32), 1 => number()];
    (number(), begin, len).prop_map(|(piece, begin, len)| Block { piece, begin, len })
}

fn hash_request() -> impl Strategy<Value = HashRequest> {
    (number(), number(), number(), number()).prop_map(|(base_layer, index, length, proof_layers)| {
        HashRequest { root: [1; 32], base_layer, index, length, proof_layers }
    })
}

fn payload() -> impl Strategy<Value = Vec<u8>> {
    let known: Vec<&[u8]> = vec![
        b"d8:msg_typei0e5:piecei0ee",
        b"d8:msg_typei0e5:piecei4294967295ee",
        b"d8:msg_typei1e5:piecei0e10:total_sizei100eexxxx",
        b"d8:msg_typei2e5:piecei0ee",
        b"d1:md11:ut_metadatai3e6:ut_pexi1ee13:metadata_sizei100e4:reqqi0ee",
        b"d1:md11:ut_metadatai0eee",
        b"d13:metadata_sizei-1ee",
        b"d5:added12:\x7f\x00\x00\x01\x00\x00\x0a\x00\x00\x01\x1a\xe1e",
        b"\x01",
        b"\x00\x00\x00\x02",
        b"\xff\xff\xff\xff",
        b"",
    ];
    prop_oneof![
        4 => prop::sample::select(known).prop_map(<[u8]>::to_vec),
        1 => prop::collection::vec(any::<u8>(), 0..40),
    ]
}

fn message() -> impl Strategy<Value = Message> {
    prop_oneof![
        1 => Just(Message::KeepAlive),
        1 => Just(Message::Choke),
        3 => Just(Message::Unchoke),
        2 => Just(Message::Interested),
        1 => Just(Message::NotInterested),
        2 => number().prop_map(Message::Have),
        1 => prop::collection::vec(any::<u8>(), 0..4).prop_map(Message::Bitfield),
        1 => Just(Message::Bitfield(vec![0xff, 0xc0])),
        4 => block().prop_map(Message::Request),
        1 => block().prop_map(Message::Cancel),
        1 => Just(Message::HaveAll),
        1 => Just(Message::HaveNone),
        1 => number().prop_map(Message::Suggest),
        2 => block().prop_map(Message::Reject),
        1 => number().prop_map(Message::AllowedFast),
        3 => (0u8..9, payload()).prop_map(|(id, payload)| Message::Extended { id, payload }),
        1 => hash_request().prop_map(Message::HashRequest),
        1 => (hash_request(), 0usize..4).prop_map(|(request, count)| Message::Hashes { request, hashes: vec![[2; 32]; count] }),
        1 => hash_request().prop_map(Message::HashReject),
        1 => Just(Message::Unknown(99)),
    ]
}

#[derive(Clone, Debug)]
enum Step {
    Up {
        conn: u64,
        fast: bool,
    },
    Down {
        conn: u64,
    },
    Say {
        conn: u64,
        message: Message,
    },
    Block {
        conn: u64,
        block: Block,
    },
    /// A block that was asked for, if any was.
    Answer {
        conn: u64,
        at: usize,
    },
    Room {
        conn: u64,
        bytes: u64,
    },
    Store(StoreEvent),
    Verify {
        ok: bool,
        digests: bool,
    },
    Wait {
        millis: u64,
    },
    Content,
    Pause,
    Resume,
    Ban {
        conn: u64,
    },
}

fn step() -> impl Strategy<Value = Step> {
    let conn = 0u64..4;
    prop_oneof![
        4 => (conn.clone(), any::<bool>()).prop_map(|(conn, fast)| Step::Up { conn, fast }),
        1 => conn.clone().prop_map(|conn| Step::Down { conn }),
        30 => (conn.clone(), message()).prop_map(|(conn, message)| Step::Say { conn, message }),
        6 => (conn.clone(), block()).prop_map(|(conn, block)| Step::Block { conn, block }),
        20 => (conn.clone(), 0usize..50).prop_map(|(conn, at)| Step::Answer { conn, at }),
        4 => (conn.clone(), number()).prop_map(|(conn, bytes)| Step::Room { conn, bytes: u64::from(bytes) * 1000 }),
        2 => block().prop_map(|block| {
            Step::Store(StoreEvent::Written { piece: block.piece, begin: block.begin, len: block.len })
        }),
        1 => (block(), any::<bool>()).prop_map(|(block, full_disk)| {
            Step::Store(StoreEvent::Failed { piece: block.piece, begin: block.begin, len: block.len, full_disk, written: false })
        }),
        1 => (number(), any::<bool>()).prop_map(|(piece, ok)| Step::Store(StoreEvent::Verified { piece, ok, digests: None })),
        1 => number().prop_map(|piece| Step::Store(StoreEvent::Lost { piece })),
        6 => (prop::bool::weighted(0.6), any::<bool>()).prop_map(|(ok, digests)| Step::Verify { ok, digests }),
        4 => prop::sample::select(vec![1u64, 300, 11_000, 70_000, 200_000]).prop_map(|millis| Step::Wait { millis }),
        2 => Just(Step::Content),
        1 => Just(Step::Pause),
        2 => Just(Step::Resume),
        1 => conn.prop_map(|conn| Step::Ban { conn }),
    ]
}

/// What the peers were asked for, from the bytes sent to them.
#[derive(Default)]
struct Ledger {
    asked: BTreeSet<(ConnId, Block)>,
    verify: Vec<u32>,
}

impl Ledger {
    fn drain(&mut self, swarm: &mut Swarm) {
        while let Some(output) = swarm.poll_output() {
            match output {
                Output::Send { conn, bytes } => {
                    let mut rest = &bytes[..];
                    while let Some((len, after)) = rest.split_first_chunk::<4>() {
                        let (frame, after) = after.split_at(u32::from_be_bytes(*len) as usize);
                        match Message::decode(frame).unwrap() {
                            Message::Request(block) => {
                                self.asked.insert((conn, block));
                            }
                            Message::Cancel(block) => assert!(self.asked.contains(&(conn, block))),
                            _ => {}
                        }
                        rest = after;
                    }
                }
                Output::Verify { piece, .. } => self.verify.push(piece),
                _ => {}
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]
    #[test]
    fn whatever_peers_send_only_what_was_asked_for_is_accepted(
        steps in prop::collection::vec(step(), 1..300),
        begin_with_content in any::<bool>(),
        limited in any::<bool>(),
    ) {
        let info = net::info(u64::from(PIECES * PIECE_LEN) - 9, PIECE_LEN);
        let config = Config {
            upload_rate_max: limited.then_some(100_000),
            download_rate_max: limited.then_some(100_000),
            ..Config::default()
        };
        let mut swarm = Swarm::new(config, Local { peer_id: [1; 20], listen_port: 1 }, info.hashes, Rng::from_number(1));
        let world = World::new(1, info.clone(), Duration::ZERO);
        let mut have = peerage_swarm::Bitfield::new(PIECES);
        [0, 1].iter().for_each(|piece| _ = have.set(*piece));
        let mut now = Instant::from_micros(1);
        if begin_with_content {
            swarm.set_content(now, world.content(have.clone()));
        }
        let (mut up, mut down) = (Bucket::new(None), Bucket::new(None));
        let mut ledger = Ledger::default();
        let mut accepted: BTreeSet<(ConnId, Block)> = BTreeSet::new();
        for step in steps {
            match step {
                Step::Up { conn, fast } => {
                    let mut handshake = Handshake::new(info.hashes.primary(), [2; 20]);
                    handshake.reserved[7] = if fast { 4 } else { 0 };
                    let addr = ([10, 0, 0, conn as u8], 5).into();
                    swarm.handle_peer(now, ConnId(conn), PeerChange::Up { addr, outgoing: conn % 2 == 0, utp: false, handshake });
                    swarm.handle_peer(now, ConnId(conn), PeerChange::Writable { bytes: 100_000 });
                }
                Step::Down { conn } => swarm.handle_peer(now, ConnId(conn), PeerChange::Down),
                Step::Say { conn, message } => swarm.handle_message(now, ConnId(conn), message),
                Step::Block { conn, block } => {
                    let verdict = swarm.handle_block(now, ConnId(conn), block);
                    if verdict == BlockVerdict::Accept {
                        prop_assert!(ledger.asked.contains(&(ConnId(conn), block)), "never asked for");
                        accepted.insert((ConnId(conn), block));
                    }
                }
                Step::Answer { conn, at } => {
                    let mine: Vec<Block> =
                        ledger.asked.iter().filter(|(of, _)| *of == ConnId(conn)).map(|(_, block)| *block).collect();
                    if let Some(block) = mine.get(at % mine.len().max(1)) {
                        swarm.handle_block(now, ConnId(conn), *block);
                    }
                }
                Step::Room { conn, bytes } => swarm.handle_peer(now, ConnId(conn), PeerChange::Writable { bytes }),
                Step::Store(event) => swarm.handle_store(now, event),
                Step::Verify { ok, digests } => {
                    for piece in ledger.verify.drain(..) {
                        let digests = digests.then(|| vec![[if ok { 1 } else { 2 }; 32]; 4]);
                        swarm.handle_store(now, StoreEvent::Verified { piece, ok, digests });
                    }
                }
                Step::Wait { millis } => {
                    now += Duration::from_millis(millis);
                    swarm.handle_timeout(now);
                }
                Step::Content => swarm.set_content(now, world.content(have.clone())),
                Step::Pause => swarm.pause(now),
                Step::Resume => swarm.resume(now),
                Step::Ban { conn } => swarm.ban(now, ConnId(conn)),
            }
            swarm.pump(now, &mut up, &mut down);
            ledger.drain(&mut swarm);
            prop_assert!(swarm.poll_timeout().is_none_or(|(at, _)| at + Duration::from_secs(1) > now));
        }
    }
}

/// threats.md W6: a million requests from one peer; the queue stays within its bound, and another peer
/// keeps at least 40 % of the line.
#[test]
fn a_flood_of_requests_is_bounded_and_does_not_starve_others() {
    for fast in [true, false] {
        let mut world = World::new(1, net::info(64 * MIB, MIB as u32), Duration::from_millis(5));
        let (seed, honest, flooder) = (
            world.seed(Config { upload_rate_max: Some(4 * MIB), ..Config::default() }),
            world.leech(Config::default()),
            world.leech(Config::default()),
        );
        if !fast {
            world.nodes[flooder].handshake.reserved[7] = 0;
        }
        world.connect(honest, seed);
        let (_, conn) = world.connect(flooder, seed);
        world.inject(seed, conn, Message::Interested);
        world.run(Duration::from_millis(200), |_| false);
        for at in 0..1_000_000u32 {
            let block = Block { piece: at / 64 % 64, begin: at % 64 * 16384, len: 16384 };
            world.nodes[seed].swarm.handle_message(world.now, conn, Message::Request(block));
            if at % 1000 == 0 {
                world.drain(seed);
                let waiting: u32 = world.nodes[seed].swarm.peers().iter().map(|peer| peer.requests_in).sum();
                assert!(waiting as usize <= REQUESTS_IN_SLOW_MAX + limits::REQUESTS_IN_MAX);
                if fast {
                    assert!(waiting as usize <= 2 * limits::REQUESTS_IN_MAX);
                }
            }
            if at == 5000 {
                let before = world.nodes[honest].swarm.stats().downloaded;
                world.run(Duration::from_secs(4), |_| false);
                let got = world.nodes[honest].swarm.stats().downloaded - before;
                assert!(got >= 4 * 4 * MIB * 4 / 10, "the honest peer got {got}");
            }
        }
        world.drain(seed);
        assert!(world.nodes[seed].closed.contains(&(conn, Reason::RequestFlood)), "fast: {fast}");
        world.run(Duration::from_secs(30), |world| world.nodes[honest].swarm.is_done());
        assert!(world.nodes[honest].swarm.is_done());
    }
}

/// threats.md W7: single messages and what becomes of who sends them.
#[test]
fn lies_about_pieces_end_the_connection() {
    let ok = Vec::new();
    let table: Vec<(&str, bool, Vec<Message>, bool)> = vec![
        ("have of the last piece", true, vec![Message::Have(PIECES - 1)], true),
        ("have beyond the last piece", true, vec![Message::Have(PIECES)], false),
        ("have of the largest number", true, vec![Message::Have(u32::MAX)], false),
        ("bitfield of the right size", true, vec![Message::Bitfield(vec![0xff, 0xc0])], true),
        ("short bitfield", true, vec![Message::Bitfield(vec![0xff])], false),
        ("long bitfield", true, vec![Message::Bitfield(vec![0xff, 0xc0, 0])], false),
        ("empty bitfield", true, vec![Message::Bitfield(ok)], false),
        ("spare bit set", true, vec![Message::Bitfield(vec![0xff, 0xe0])], false),
        (
            "bitfields that grow",
            false,
            vec![Message::Bitfield(vec![1, 0]), Message::Bitfield(vec![3, 0])],
            true,
        ),
        ("bitfields many times", true, vec![Message::Bitfield(vec![0xff, 0xc0]); 1000], true),
        ("bitfield and have-all", true, vec![Message::Bitfield(vec![0, 0]), Message::HaveAll], true),
        ("have-all and have-none", true, vec![Message::HaveAll, Message::HaveNone], true),
        ("have-all", true, vec![Message::HaveAll], true),
        ("have-none", true, vec![Message::HaveNone], true),
        ("have-all without fast extension", false, vec![Message::HaveAll], false),
        ("have-none without fast extension", false, vec![Message::HaveNone], false),
        ("suggest without fast extension", false, vec![Message::Suggest(1)], false),
        ("reject without fast extension", false, vec![Message::Reject(Block::default())], false),
        ("allowed-fast without fast extension", false, vec![Message::AllowedFast(1)], false),
        ("suggest of no piece", true, vec![Message::Suggest(u32::MAX)], true),
        ("allowed-fast of no piece", true, vec![Message::AllowedFast(u32::MAX)], true),
        ("allowed-fast many times", true, (0..1000).map(Message::AllowedFast).collect(), true),
        ("reject of nothing asked", true, vec![Message::Reject(Block::default()); 100], true),
        ("one have many times", true, vec![Message::Have(3); 10_000], true),
        ("bad extension message", true, vec![Message::Extended { id: 0, payload: b"x".to_vec() }], false),
        ("unknown extension message", true, vec![Message::Extended { id: 77, payload: b"x".to_vec() }], true),
        ("unknown message", true, vec![Message::Unknown(200); 100], true),
        (
            "request while choked",
            true,
            vec![Message::Request(Block { piece: 0, begin: 0, len: 16384 })],
            true,
        ),
        ("request of no length", false, vec![Message::Request(Block { piece: 0, begin: 0, len: 0 })], false),
        ("request too long", false, vec![Message::Request(Block { piece: 0, begin: 0, len: 16385 })], false),
        (
            "request beyond the piece",
            false,
            vec![Message::Request(Block { piece: 0, begin: 65536, len: 1 })],
            false,
        ),
        (
            "request that overflows",
            false,
            vec![Message::Request(Block { piece: 0, begin: u32::MAX, len: 16384 })],
            false,
        ),
        (
            "invalid requests, refused",
            true,
            vec![Message::Request(Block { piece: 99, begin: 0, len: 1 }); 100],
            true,
        ),
        (
            "too many invalid requests",
            true,
            vec![Message::Request(Block { piece: 99, begin: 0, len: 1 }); 101],
            false,
        ),
        ("flapping choke", true, vec![vec![Message::Choke, Message::Unchoke]; 1000].concat(), false),
    ];
    assert!(table.len() >= 30);
    for (name, fast, messages, stays) in table {
        let mut world =
            World::new(1, net::info(u64::from(PIECES * PIECE_LEN) - 9, PIECE_LEN), Duration::from_millis(1));
        let (victim, liar) = (world.leech(Config::default()), world.add_bare(Config::default()));
        if !fast {
            world.nodes[liar].handshake.reserved[7] = 0;
        }
        let (conn, _) = world.connect(victim, liar);
        for message in messages {
            world.inject(victim, conn, message);
        }
        assert_eq!(world.nodes[victim].closed.is_empty(), stays, "{name}: {:?}", world.nodes[victim].closed);
    }
}

#[test]
fn a_silent_connection_is_closed_and_a_live_one_is_kept() {
    let mut world = World::new(1, net::info(MIB, 65536), Duration::from_millis(1));
    let (a, b) = (world.leech(Config::default()), world.leech(Config::default()));
    let (conn, other) = world.connect(a, b);
    world.run(Duration::from_secs(600), |_| false);
    assert!(world.nodes[a].closed.is_empty(), "keep-alives keep it: {:?}", world.nodes[a].closed);
    world.disconnect(b, other);
    world.nodes[a].closed.clear();
    world.run(Duration::from_secs(1), |_| false);
    assert!(world.nodes[a].swarm.peers().iter().all(|peer| peer.conn != conn));
    let handshake = world.nodes[b].handshake;
    let up = PeerChange::Up { addr: world.nodes[b].addr, outgoing: true, utp: false, handshake };
    world.nodes[a].swarm.handle_peer(world.now, ConnId(900), up);
    world.drain(a);
    world.run(Duration::from_secs(135), |_| false);
    assert_eq!(world.nodes[a].closed, [(ConnId(900), Reason::Idle)]);
}

#[test]
fn a_non_fast_peer_with_more_requests_than_we_advertise_gets_them_all() {
    let mut world = World::new(1, net::info(512 * MIB, MIB as u32), Duration::from_millis(5));
    let seed = world.seed(Config::default());
    let leech = world.add_bare(Config::default());
    world.nodes[leech].handshake.reserved[7] = 0;
    world.nodes[seed].line = Some(200 * MIB);
    let (_, conn) = world.connect(leech, seed);
    world.inject(seed, conn, Message::Interested);
    world.run(Duration::from_millis(100), |_| false);
    let total = 512 * 64;
    assert!(total > 2 * limits::REQUESTS_IN_MAX as u32);
    for at in 0..total {
        let block = Block { piece: at / 64, begin: at % 64 * 16384, len: 16384 };
        world.nodes[seed].swarm.handle_message(world.now, conn, Message::Request(block));
    }
    world.drain(seed);
    world.run(Duration::from_secs(10), |_| false);
    assert_eq!(world.nodes[leech].received, u64::from(total), "{:?}", world.nodes[seed].closed);
}

/// A client that refuses what exceeds its queue, whatever it said of its size, is still used to the full.
#[test]
fn a_peer_that_refuses_beyond_ten_requests_is_asked_for_ten() {
    let info = net::info(32 * MIB, 262_144);
    let mut world = World::new(1, info, Duration::from_millis(5));
    let (leech, conn) = (world.leech(Config::default()), ConnId(900));
    world.connect_test(leech, conn);
    for message in [Message::HaveAll, Message::Unchoke] {
        world.inject(leech, conn, message);
    }
    let (mut queue, mut seen, mut refusals, mut served) = (std::collections::VecDeque::new(), 0, 0, 0);
    for _ in 0..1000 {
        world.run(Duration::from_millis(10), |_| false);
        let asked: Vec<Block> = world.nodes[leech].asked[seen..].to_vec();
        seen += asked.len();
        for block in asked {
            if queue.len() < 10 {
                queue.push_back(block);
            } else {
                refusals += 1;
                world.inject(leech, conn, Message::Reject(block));
            }
        }
        for _ in 0..2 {
            let Some(block) = queue.pop_front() else { continue };
            world.inject_block(leech, conn, block);
            served += 1;
        }
    }
    assert!(served >= 1900, "{served} of 2000 turns were used");
    assert!(refusals < 300, "{refusals} refusals");
    assert_eq!(world.nodes[leech].swarm.stats().downloaded, served * 16384);
}

/// Silent peers, more than the copies that the endgame makes of a block at first, hold up nothing.
#[test]
fn silent_peers_do_not_hold_up_the_end() {
    let mut world = World::new(1, net::info(16 * MIB, 262_144), Duration::from_millis(5));
    let leech = world.leech(Config::default());
    for number in 0..10 {
        let seed = world.seed(Config::default());
        world.nodes[seed].line = Some(50 * MIB);
        world.nodes[seed].silent = number < 8;
        world.connect(leech, seed);
    }
    let took = world.run_to_end(60);
    assert!(took < 10.0, "{took} s");
}

/// A block of the wrong length ends its request: the right one may be asked for again.
#[test]
fn blocks_of_the_wrong_length_are_asked_for_again() {
    let mut world = World::new(1, net::info(MIB, 65536), Duration::from_millis(5));
    let (leech, conn) = (world.leech(Config::default()), ConnId(900));
    world.connect_test(leech, conn);
    for message in [Message::HaveAll, Message::Unchoke] {
        world.inject(leech, conn, message);
    }
    let first = world.nodes[leech].asked.clone();
    for block in &first {
        world.inject_block(leech, conn, Block { len: block.len - 1, ..*block });
    }
    let times = world.nodes[leech].asked.iter().filter(|block| **block == first[0]).count();
    assert_eq!((times, world.nodes[leech].swarm.stats().downloaded), (2, 0));
}
