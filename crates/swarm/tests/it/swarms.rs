//! Small swarms: liars among the peers, and each extension at work.

use crate::net::{self, World};
use peerage_base::{ConnId, Duration};
use peerage_content::Version;
use peerage_swarm::{
    Bitfield, Block, Config, Content, Event, Message, PauseReason, Priority, Reason, WebSeedId,
};
use std::collections::{BTreeMap, BTreeSet};

const MIB: u64 = 1 << 20;

fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// The numbers of the nodes that a node banned.
fn banned(world: &World, node: usize) -> BTreeSet<usize> {
    let number = |addr: &std::net::SocketAddr| {
        world.nodes.iter().position(|node| node.addr.ip() == addr.ip()).unwrap()
    };
    world.nodes[node].banned.iter().map(number).collect()
}

/// threats.md W1, without the disconnects: half of 32 seeders spoil 5 % of their blocks.
#[test]
fn liars_are_banned_and_honest_peers_are_not() {
    let mut world = World::new(1, net::info(64 * MIB, 524_288), millis(20));
    let leech = world.leech(Config::default());
    for number in 1..=32 {
        let seed = world.seed(Config::default());
        world.nodes[seed].line = Some(MIB);
        world.nodes[seed].lies = if number % 2 == 0 { 0.05 } else { 0.0 };
        world.connect(leech, seed);
    }
    let done = world.run(Duration::from_secs(180), |world| world.nodes[leech].swarm.is_done());
    assert!(done);
    let banned = banned(&world, leech);
    assert!(banned.iter().all(|node| world.nodes[*node].lies > 0.0), "{banned:?}");
    assert!(banned.len() >= 12, "{banned:?}");
}

/// threats.md W2: one honest peer among 19 that lie always, or now and then. Counters of trust never
/// ban the latter; digests of blocks do.
#[test]
fn one_honest_peer_wins_against_nineteen_poisoners() {
    for lies in [1.0, 0.33, 0.1, 0.01] {
        let mut world = World::new(3, net::info(16 * MIB, 262_144), millis(10));
        let leech = world.leech(Config::default());
        for number in 0..20 {
            let seed = world.seed(Config::default());
            world.nodes[seed].line = Some(2 * MIB);
            world.nodes[seed].lies = if number == 7 { 0.0 } else { lies };
            world.connect(leech, seed);
        }
        let done = world.run(Duration::from_secs(120), |world| world.nodes[leech].swarm.is_done());
        let stats = world.nodes[leech].swarm.stats().clone();
        assert!(done, "lies {lies}: {stats:?}");
        let banned = banned(&world, leech);
        assert!(!banned.contains(&8), "the honest one");
        assert!(stats.downloaded + stats.wasted <= 3 * 16 * MIB, "lies {lies}: {stats:?}");
        assert!(stats.pieces_failed <= 19 * 4, "lies {lies}: {stats:?}");
        assert!(lies < 0.1 || banned.len() >= 10, "lies {lies}: {banned:?}");
    }
}

#[test]
fn peers_of_peers_become_known() {
    let mut world = World::new(1, net::info(MIB, 65536), millis(10));
    let nodes: Vec<usize> = (0..3).map(|_| world.leech(Config::default())).collect();
    world.connect(nodes[0], nodes[1]);
    world.connect(nodes[2], nodes[1]);
    world.run(Duration::from_secs(10), |_| false);
    let heard =
        |node: usize| world.nodes[node].candidates.iter().map(|addr| addr.to_string()).collect::<Vec<_>>();
    assert_eq!(heard(nodes[0]), ["10.0.0.2:6881"]);
    assert_eq!(heard(nodes[2]), ["10.0.0.0:6881"]);
    assert_eq!(heard(nodes[1]), [] as [String; 0]);
}

#[test]
fn piece_layers_come_from_peers_when_only_the_info_is_known() {
    let (info, hashes) = net::torrent(Version::V2, &[12 * MIB + 5, 100, 300_000, 16384, 9 * MIB], 16384);
    let mut world = World::new(1, info.clone(), millis(10));
    world.hashes = Some(hashes);
    let (seed, leech) = (world.seed(Config::default()), world.leech(Config::default()));
    world.connect(leech, seed);
    world.run_to_end(60);
    let layers = world.nodes[leech]
        .events
        .iter()
        .filter(|(_, event)| matches!(event, Event::PieceLayer { .. }))
        .count();
    assert_eq!(layers, 3, "those of the files that are longer than a piece");
    let files: BTreeSet<usize> = world.nodes[leech]
        .events
        .iter()
        .filter_map(|(_, event)| if let Event::FileDone { file } = event { Some(*file) } else { None })
        .collect();
    assert_eq!(files, (0..5).collect());
}

/// A flood of requests for hashes by a peer that reads nothing: what waits for it stays small.
#[test]
fn answers_to_hash_requests_are_bounded() {
    let (info, hashes) = net::torrent(Version::V2, &[128 * MIB], 16384);
    let root = info.layout.files()[0].root.unwrap();
    let mut world = World::new(1, info, millis(10));
    world.hashes = Some(hashes);
    let seed = world.seed(Config::default());
    let conn = ConnId(900);
    world.connect_test(seed, conn);
    let request = peerage_wire::HashRequest { root, base_layer: 0, index: 0, length: 8192, proof_layers: 0 };
    let mut answered = 0;
    for _ in 0..30 {
        world.nodes[seed].swarm.handle_message(world.now, conn, Message::HashRequest(request));
    }
    let (mut up, mut down) = (peerage_swarm::Bucket::new(None), peerage_swarm::Bucket::new(None));
    world.nodes[seed].swarm.pump(world.now, &mut up, &mut down);
    while let Some(output) = world.nodes[seed].swarm.poll_output() {
        if let peerage_swarm::Output::Send { bytes, .. } = output {
            answered += bytes.len();
        }
    }
    assert!((200_000..1_000_000).contains(&answered), "{answered} bytes at once");
    for _ in 0..100 {
        world.nodes[seed].swarm.handle_message(world.now, conn, Message::HashRequest(request));
    }
    world.drain(seed);
    assert!(
        matches!(world.nodes[seed].closed[..], [(_, Reason::Flood(_))]),
        "{:?}",
        world.nodes[seed].closed
    );
}

#[test]
fn a_peer_with_made_up_hashes_is_banned() {
    let (info, hashes) = net::torrent(Version::V2, &[MIB], 16384);
    let mut world = World::new(1, info, millis(10));
    world.hashes = Some(hashes);
    let (seed, leech) = (world.seed(Config::default()), world.leech(Config::default()));
    let liar = world.add_bare(Config::default());
    let (conn, _) = world.connect(leech, liar);
    world.inject(leech, conn, Message::HaveAll);
    let asked = world.nodes[leech].said.iter().find_map(|(_, message)| match message {
        Message::HashRequest(request) => Some(*request),
        _ => None,
    });
    let request = asked.unwrap();
    world.inject(leech, conn, Message::Hashes { request, hashes: vec![[3; 32]; 64] });
    assert_eq!(world.nodes[leech].banned.len(), 1);
    assert!(world.nodes[leech].closed.contains(&(conn, Reason::BadMetadata)));
    world.connect(leech, seed);
    assert!(world.run(Duration::from_secs(20), |world| world.nodes[leech].swarm.is_done()));
}

#[test]
fn pads_are_never_asked_for_and_all_versions_complete() {
    for version in [Version::V1, Version::V2, Version::Hybrid] {
        let (info, hashes) = net::torrent(version, &[40_000, 1, 200_000, 65536, 0, 70_001], 65536);
        let mut world = World::new(2, info.clone(), millis(5));
        world.hashes = Some(hashes);
        let (seed, leech) = (world.seed(Config::default()), world.leech(Config::default()));
        world.connect(leech, seed);
        world.run_to_end(20);
        assert_eq!(world.nodes[leech].swarm.stats().downloaded, info.layout.total_len());
        for block in &world.nodes[leech].asked {
            assert!(
                info.layout.spans(block.piece, block.begin, block.len).all(|span| !span.pad),
                "{block:?}"
            );
        }
    }
}

#[test]
fn super_seeding_sends_about_one_copy() {
    let mut world = World::new(1, net::info(64 * MIB, 524_288), millis(10));
    let seed = world.seed(Config { super_seeding: true, ..Config::default() });
    world.nodes[seed].line = Some(8 * MIB);
    (0..4).for_each(|_| _ = world.leech(Config::default()));
    for node in 1..5 {
        world.nodes[node].line = Some(50 * MIB);
    }
    world.connect_all();
    let seconds = world.run_to_end(100);
    let copies = world.copies_sent(seed);
    assert!(copies <= 1.1, "{copies} copies in {seconds} s");
    assert!(seconds < 8.0 * 1.5, "{seconds}");
}

#[test]
fn a_lone_peer_is_not_kept_waiting_by_a_super_seed() {
    let mut world = World::new(1, net::info(8 * MIB, 262_144), millis(10));
    let seed = world.seed(Config { super_seeding: true, ..Config::default() });
    let leech = world.leech(Config::default());
    world.connect(leech, seed);
    assert!(world.run_to_end(60) < 20.0);
}

#[test]
fn web_seeds_help_and_a_lying_one_is_given_up() {
    for lies in [0.0, 0.3] {
        let mut world = World::new(1, net::info(32 * MIB, MIB as u32), millis(10));
        let (seed, leech) = (world.seed(Config::default()), world.leech(Config::default()));
        world.nodes[seed].line = Some(4 * MIB);
        world.nodes[leech].web_lies = lies;
        assert_eq!(world.nodes[leech].swarm.add_web_seed(world.now), Some(WebSeedId(0)));
        world.connect(leech, seed);
        let seconds = world.run_to_end(60);
        let requests = world.nodes[leech].web_requests.len();
        assert!(world.nodes[leech].banned.is_empty());
        if lies == 0.0 {
            assert!(seconds < 4.0, "{seconds}: 8 s without, 2.3 s at best");
        } else {
            assert!(requests < 12, "{requests} requests to a liar");
        }
    }
}

#[test]
fn a_web_seed_alone_is_enough() {
    let mut world = World::new(1, net::info(8 * MIB + 77, 262_144), millis(10));
    let leech = world.leech(Config::default());
    world.nodes[leech].swarm.add_web_seed(world.now);
    world.drain(leech);
    let seconds = world.run_to_end(60);
    assert!(seconds < 4.0, "{seconds}");
    let asked: u64 = world.nodes[leech].web_requests.iter().map(|(_, _, len)| u64::from(*len)).sum();
    assert_eq!(asked, 8 * MIB + 77, "each byte once");
}

/// A piece that failed once is fetched from one source alone, in several requests: the web seed goes on
/// where it was.
#[test]
fn a_web_seed_finishes_a_large_piece_that_a_liar_spoiled() {
    let mut world = World::new(1, net::info(8 * MIB, 8 * MIB as u32), millis(10));
    let leech = world.leech(Config::default());
    let liar = world.seed(Config::default());
    world.nodes[liar].lies = 1.0;
    world.connect(leech, liar);
    world.run(Duration::from_secs(60), |world| !world.nodes[leech].banned.is_empty());
    assert_eq!(world.nodes[leech].swarm.stats().pieces_failed, 1);
    world.nodes[leech].swarm.add_web_seed(world.now);
    world.drain(leech);
    assert!(world.run(Duration::from_secs(60), |world| world.nodes[leech].swarm.is_done()));
    let asked: u64 = world.nodes[leech].web_requests.iter().map(|(_, _, len)| u64::from(*len)).sum();
    assert_eq!(asked, 8 * MIB, "each byte once");
}

/// A slow peer's first messages are more than a table of fixed size: all that it announced counts.
#[test]
fn announcements_before_the_metadata_are_all_remembered() {
    let pieces = 6000;
    let mut world = World::new(1, net::info(u64::from(pieces) * 16384, 16384), millis(1));
    let (leech, other) = (world.add_bare(Config::default()), world.add_bare(Config::default()));
    let (conn, _) = world.connect(leech, other);
    for piece in (0..pieces).rev() {
        world.inject(leech, conn, Message::Have(piece));
    }
    let content = world.content(peerage_swarm::Bitfield::new(pieces));
    world.nodes[leech].swarm.set_content(world.now, content);
    let info = world.nodes[leech].swarm.peers().into_iter().find(|peer| peer.conn == conn).unwrap();
    assert_eq!(info.pieces, pieces);
}

#[test]
fn only_what_is_selected_is_fetched() {
    let (info, hashes) = net::torrent(Version::Hybrid, &[MIB, 2 * MIB, 3 * MIB], 65536);
    let mut world = World::new(1, info.clone(), millis(10));
    world.hashes = Some(hashes.clone());
    let (seed, leech) = (world.seed(Config::default()), world.add_bare(Config::default()));
    let priorities = info
        .layout
        .files()
        .iter()
        .map(|file| if file.len == 2 * MIB { Priority::High } else { Priority::Skip });
    let content =
        Content { hashes, have: Bitfield::new(info.layout.pieces()), priorities: priorities.collect() };
    world.nodes[leech].swarm.set_content(world.now, content);
    world.connect(leech, seed);
    world.run_to_end(20);
    assert_eq!(world.nodes[leech].swarm.stats().downloaded, 2 * MIB);
    let (now, all) = (world.now, []);
    world.nodes[leech].swarm.set_priorities(now, &all);
    assert!(!world.nodes[leech].swarm.is_done());
    world.connect(leech, seed);
    world.run_to_end(20);
    assert_eq!(world.nodes[leech].swarm.stats().downloaded, 6 * MIB);
}

#[test]
fn sequential_mode_delivers_in_order() {
    let mut world = World::new(1, net::info(16 * MIB, 262_144), millis(10));
    let leech = world.leech(Config { sequential: true, ..Config::default() });
    for _ in 0..3 {
        let seed = world.seed(Config::default());
        world.nodes[seed].line = Some(2 * MIB);
        world.connect(leech, seed);
    }
    world.run_to_end(20);
    let order: Vec<u32> = world.nodes[leech]
        .events
        .iter()
        .filter_map(|(_, event)| if let Event::PieceDone { piece } = event { Some(*piece) } else { None })
        .collect();
    let late = order.iter().enumerate().map(|(at, piece)| (at as i64 - i64::from(*piece)).abs()).max();
    assert!(late <= Some(8), "pieces far out of order: {order:?}");
}

#[test]
fn a_full_disk_pauses_and_resume_goes_on() {
    let mut world = World::new(1, net::info(16 * MIB, 262_144), millis(10));
    let (seed, leech) = (world.seed(Config::default()), world.leech(Config::default()));
    world.nodes[seed].line = Some(4 * MIB);
    world.connect(leech, seed);
    world.run(millis(1000), |_| false);
    world.nodes[leech].disk_full = true;
    world.run(millis(3000), |_| false);
    assert_eq!(world.nodes[leech].swarm.paused(), Some(PauseReason::DiskFull));
    let pauses =
        world.nodes[leech].events.iter().filter(|(_, event)| matches!(event, Event::Paused { .. })).count();
    assert_eq!(pauses, 1);
    let before = world.nodes[leech].swarm.stats().downloaded;
    world.run(millis(3000), |_| false);
    assert_eq!(world.nodes[leech].swarm.stats().downloaded, before);
    world.nodes[leech].disk_full = false;
    let now = world.now;
    world.nodes[leech].swarm.resume(now);
    world.drain(leech);
    world.run_to_end(20);
}

#[test]
fn a_lost_piece_is_refused_and_fetched_again() {
    let mut world = World::new(1, net::info(4 * MIB, 262_144), millis(10));
    let (seed, other, leech) =
        (world.seed(Config::default()), world.seed(Config::default()), world.leech(Config::default()));
    world.connect(leech, seed);
    let now = world.now;
    world.nodes[seed].swarm.handle_store(now, peerage_swarm::StoreEvent::Lost { piece: 3 });
    world.drain(seed);
    world.run(Duration::from_secs(3), |_| false);
    assert_eq!(world.nodes[leech].swarm.stats().left, 262_144, "all but the lost piece");
    assert!(world.nodes[seed].blocks_sent.keys().all(|block| block.piece != 3));
    world.connect(leech, other);
    world.run_to_end(20);
    assert_eq!(world.nodes[seed].swarm.have().unwrap().count(), 16, "the seed got it back from its leecher");
}

#[test]
fn a_lost_piece_that_is_good_again_is_served_again() {
    let mut world = World::new(1, net::info(4 * MIB, 262_144), millis(10));
    let (seed, leech) = (world.seed(Config::default()), world.leech(Config::default()));
    world.nodes[seed].swarm.set_priorities(world.now, &[Priority::Skip]);
    world.connect(leech, seed);
    let now = world.now;
    for piece in [3, 4] {
        world.nodes[seed].swarm.handle_store(now, peerage_swarm::StoreEvent::Lost { piece });
    }
    world.drain(seed);
    world.run(Duration::from_secs(3), |_| false);
    assert_eq!(world.nodes[leech].swarm.stats().left, 2 * 262_144, "all but the lost pieces");
    assert!(world.nodes[seed].swarm.is_done(), "a seed wants nothing back");
    let now = world.now;
    // Twice, and one that was never lost: told of, each counts once.
    for piece in [3, 3, 4, 9] {
        world.nodes[seed].swarm.handle_store(now, peerage_swarm::StoreEvent::Regained { piece });
    }
    world.drain(seed);
    world.run_to_end(20);
    assert_eq!(world.nodes[seed].swarm.stats().pieces_done, 16);
}

#[test]
fn a_choked_newcomer_gets_the_allowed_pieces() {
    let mut world = World::new(1, net::info(16 * MIB, 262_144), millis(10));
    let seed = world.seed(Config { upload_slots: Some(0), ..Config::default() });
    let leech = world.leech(Config::default());
    world.connect(leech, seed);
    world.run(Duration::from_secs(60), |_| false);
    assert_eq!(world.nodes[leech].swarm.stats().pieces_done, 5);
    assert!(world.nodes[seed].closed.is_empty() && world.nodes[leech].closed.is_empty());
}

#[test]
fn seeds_are_told_of_no_pieces() {
    let mut world = World::new(1, net::info(8 * MIB, 262_144), millis(10));
    world.seed(Config::default());
    (0..3).for_each(|_| _ = world.leech(Config::default()));
    world.nodes[0].line = Some(4 * MIB);
    world.connect_all();
    world.run_to_end(30);
    for node in 1..4 {
        let haves = world.nodes[node].said.iter().filter(|(_, message)| matches!(message, Message::Have(_)));
        let mut per_conn: BTreeMap<ConnId, u32> = BTreeMap::new();
        haves.for_each(|(conn, _)| *per_conn.entry(*conn).or_default() += 1);
        assert_eq!(per_conn.len(), 2, "the two other leechers");
        assert!(per_conn.values().all(|haves| *haves <= 32), "each piece once");
    }
}

#[test]
fn requests_are_whole_pieces_in_order_from_a_fast_peer() {
    let mut world = World::new(1, net::info(64 * MIB, MIB as u32), millis(1));
    let leech = world.leech(Config::default());
    for _ in 0..3 {
        let seed = world.seed(Config::default());
        world.nodes[seed].line = Some(50 * MIB);
        world.connect(leech, seed);
    }
    world.run_to_end(20);
    let mut from: BTreeMap<u32, Vec<(usize, Block)>> = BTreeMap::new();
    for node in 1..4 {
        for block in world.nodes[node].blocks_sent.keys() {
            from.entry(block.piece).or_default().push((node, *block));
        }
    }
    let alone = from.values().filter(|blocks| blocks.iter().all(|(node, _)| *node == blocks[0].0)).count();
    assert!(alone >= 52, "{alone} of 64 pieces came from one peer");
}
