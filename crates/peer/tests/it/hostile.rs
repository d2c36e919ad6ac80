//! Whatever a peer sends, the machine neither panics nor grows nor spins.

use crate::common::{self, Bench, HASH, closed, global};
use peerage_base::{ConnId, Duration};
use peerage_peer::sim::Content;
use peerage_peer::{BlockVerdict, Config, Handshake, Output, PeerChange, TorrentParams};
use peerage_swarm::{Bitfield, Block, Message};
use proptest::prelude::*;

fn content() -> Content {
    Content::new(1, 1_000_000, 65_536)
}

/// A machine with a torrent (whole, empty, or known by its hash only) and one peer.
fn bench(content: &Content, kind: u8) -> (Bench, ConnId) {
    let mut bench = Bench::new(Config::default());
    let info = content.hashes.info();
    let mut params = TorrentParams::new(info.hashes);
    let have = if kind == 0 { Bitfield::full(content.pieces()) } else { Bitfield::new(content.pieces()) };
    params.content = (kind < 2).then(|| peerage_peer::Content {
        hashes: content.hashes.clone(),
        have,
        priorities: Vec::new(),
    });
    bench.add(params);
    let conn = bench.peer.accept(bench.now, global(1)).unwrap();
    bench.greet(conn, Handshake::new(info.hashes.primary(), [9; 20]).with_v2());
    bench.change(conn, PeerChange::Writable { bytes: 1 << 20 });
    (bench, conn)
}

fn number() -> impl Strategy<Value = u32> {
    prop_oneof![
        0u32..20,
        Just(16_384),
        Just(65_536),
        Just(u32::MAX),
        Just(u32::MAX - 1),
        Just(1 << 31),
        any::<u32>()
    ]
}

fn block() -> impl Strategy<Value = Block> {
    (number(), number(), number()).prop_map(|(piece, begin, len)| Block { piece, begin, len })
}

/// Messages, half of them plausible.
fn message() -> impl Strategy<Value = Message> {
    let text = prop_oneof![
        Just(b"d1:md11:ut_metadatai2e6:ut_pexi1ee13:metadata_sizei400e4:reqqi5000e1:pi6881ee".to_vec()),
        Just(b"d8:msg_typei0e5:piecei0ee".to_vec()),
        Just(b"d8:msg_typei1e5:piecei0e10:total_sizei400eexxxxxxxxxxxxxxxxxxxxxxxxxxxx".to_vec()),
        Just(b"d5:added12:\x01\x02\x03\x04\x00\x05\x7f\x00\x00\x01\x00\x05e".to_vec()),
        prop::collection::vec(any::<u8>(), 0..80),
    ];
    prop_oneof![
        Just(Message::KeepAlive),
        Just(Message::Choke),
        Just(Message::Unchoke),
        Just(Message::Interested),
        Just(Message::NotInterested),
        Just(Message::HaveAll),
        Just(Message::HaveNone),
        number().prop_map(Message::Have),
        number().prop_map(Message::Suggest),
        number().prop_map(Message::AllowedFast),
        any::<u16>().prop_map(Message::Port),
        prop::collection::vec(any::<u8>(), 0..4).prop_map(Message::Bitfield),
        block().prop_map(Message::Request),
        block().prop_map(Message::Cancel),
        block().prop_map(Message::Reject),
        (0u8..9, text).prop_map(|(id, payload)| Message::Extended { id, payload }),
        (any::<[u8; 32]>(), number(), number(), number(), number()).prop_map(
            |(root, base_layer, index, length, proof_layers)| {
                Message::HashRequest(peerage_wire::HashRequest {
                    root,
                    base_layer,
                    index,
                    length,
                    proof_layers,
                })
            }
        ),
    ]
}

#[derive(Clone, Debug)]
enum Step {
    Message(Message),
    Bytes(Vec<u8>),
    Block(Block),
    /// The block that was asked for longest.
    Answer,
    Pass(u64),
    Room(u64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => message().prop_map(Step::Message),
        1 => prop::collection::vec(any::<u8>(), 0..100).prop_map(Step::Bytes),
        2 => block().prop_map(Step::Block),
        2 => Just(Step::Answer),
        1 => (0u64..60_000).prop_map(Step::Pass),
        1 => (0u64..100_000).prop_map(Step::Room),
    ]
}

/// Requests among what was sent on a connection.
fn requests(outputs: &[Output], conn: ConnId) -> Vec<Block> {
    let bytes = common::sent(outputs, conn);
    let (mut splitter, mut rest, mut found) =
        (peerage_wire::frame::Splitter::past_handshake(), &bytes[..], Vec::new());
    while let Ok(Some((frame, consumed))) = splitter.next(rest) {
        if let peerage_wire::frame::Frame::Message(range) = frame
            && let Ok(Message::Request(block)) = Message::decode(&rest[range])
        {
            found.push(block);
        }
        rest = &rest[consumed..];
    }
    found
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn arbitrary_frames_never_panic(kind in 0u8..3, steps in prop::collection::vec(step(), 1..120)) {
        let content = content();
        let (mut bench, conn) = bench(&content, kind);
        let mut asked: Vec<Block> = Vec::new();
        for step in steps {
            let outputs = match step {
                Step::Message(message) => {
                    let mut bytes = Vec::new();
                    message.encode(&mut bytes);
                    bench.peer.handle_frame(bench.now, conn, &bytes[4.min(bytes.len())..]);
                    bench.drain()
                }
                Step::Bytes(bytes) => {
                    bench.peer.handle_frame(bench.now, conn, &bytes);
                    bench.drain()
                }
                Step::Block(block) => {
                    let wanted = asked.contains(&block);
                    let verdict = bench.peer.handle_block(bench.now, conn, block);
                    prop_assert!(wanted || verdict == BlockVerdict::Drop, "{block:?} was not asked for");
                    asked.retain(|other| *other != block);
                    bench.drain()
                }
                Step::Answer if !asked.is_empty() => {
                    let block = asked.remove(0);
                    bench.peer.handle_block(bench.now, conn, block);
                    bench.drain()
                }
                Step::Answer => Vec::new(),
                Step::Pass(millis) => bench.pass(Duration::from_millis(millis)),
                Step::Room(bytes) => bench.change(conn, PeerChange::Writable { bytes }),
            };
            asked.extend(requests(&outputs, conn));
            for output in &outputs {
                if let Output::SendBlock { block, .. } = output {
                    prop_assert!(content.hashes.info().layout.contains(*block));
                    prop_assert_eq!(kind, 0, "only a seed has something to send");
                }
                let inward = matches!(output, Output::Dial { addr, .. } if addr.ip().is_loopback());
                prop_assert!(!inward);
            }
        }
        bench.pass(Duration::from_secs(600));
    }
}

/// W6: a million requests; the queue stays bounded, and another peer keeps its share.
#[test]
fn a_flood_of_requests_leaves_half_of_the_line_to_another_peer() {
    let content = content();
    let (mut bench, flooder) = bench(&content, 0);
    let honest = bench.peer.accept(bench.now, global(2)).unwrap();
    bench.greet(honest, Handshake::new(content.hashes.info().hashes.primary(), [8; 20]));
    let frame = |message: Message| {
        let mut bytes = Vec::new();
        message.encode(&mut bytes);
        bytes[4..].to_vec()
    };
    let request =
        |i: u32| frame(Message::Request(Block { piece: i / 4 % 15, begin: i % 4 * 16_384, len: 16_384 }));
    let mut served = [0u32; 2];
    let mut flooding = true;
    bench.peer.set_rates(bench.now, Some(4 << 20), None);
    for conn in [flooder, honest] {
        bench.peer.handle_frame(bench.now, conn, &frame(Message::Interested));
    }
    bench.pass(Duration::from_secs(1));
    for round in 0..1000u32 {
        for i in 0..1000 {
            bench.peer.handle_frame(bench.now, flooder, &request(round * 1000 + i));
        }
        if round % 8 == 0 {
            for i in 0..16 {
                bench.peer.handle_frame(bench.now, honest, &request(round * 4 + i));
            }
        }
        for conn in [flooder, honest] {
            bench.peer.handle_peer(bench.now, conn, PeerChange::Writable { bytes: 64 * 1024 });
        }
        let outputs = bench.pass(Duration::from_millis(10));
        flooding &= closed(&outputs, flooder).is_none();
        assert_eq!(closed(&outputs, honest), None);
        for output in outputs {
            if let Output::SendBlock { conn, .. } = output {
                served[usize::from(conn == honest)] += 1;
            }
        }
        let waiting = bench.peer.swarm(peerage_base::TorrentId(0)).unwrap().stats().requests_in;
        assert!(waiting as usize <= 2 * peerage_base::limits::REQUESTS_IN_MAX, "{waiting}");
    }
    println!("blocks served: {served:?}, the flooder stayed: {flooding}");
    assert!(served[1] * 10 >= served[0] * 4 || !flooding, "{served:?}");
    assert!(served[1] > 500, "{served:?}");
}

/// W7: lies about what a peer has, each with its verdict.
#[test]
fn lies_about_pieces_end_the_connection() {
    let content = content();
    let pieces = content.pieces();
    let bytes = pieces.div_ceil(8) as usize;
    let spare = |last: u8| [vec![0; bytes - 1], vec![last]].concat();
    let table: Vec<(Message, bool)> = vec![
        (Message::Bitfield(vec![0; bytes]), true),
        (Message::Bitfield(vec![0; bytes + 1]), false),
        (Message::Bitfield(vec![0; bytes - 1]), false),
        (Message::Bitfield(spare(0x7f)), pieces.is_multiple_of(8)),
        (Message::Have(0), true),
        (Message::Have(pieces - 1), true),
        (Message::Have(pieces), false),
        (Message::Have(u32::MAX), false),
        (Message::HaveAll, true),
        (Message::HaveNone, true),
        (Message::Unchoke, true),
        (Message::Unknown(99), true),
    ];
    for (message, fine) in table {
        let (mut bench, conn) = bench(&content, 1);
        let mut frame = Vec::new();
        message.encode(&mut frame);
        bench.peer.handle_frame(bench.now, conn, frame.get(4..).unwrap_or_default());
        let outputs = bench.drain();
        assert_eq!(closed(&outputs, conn).is_none(), fine, "{message:?}");
    }
    let (mut bench, conn) = bench(&content, 1);
    bench.peer.handle_frame(bench.now, conn, &[4, 0, 0]);
    assert!(closed(&bench.drain(), conn).is_some(), "a short have");
    let _ = HASH;
}
