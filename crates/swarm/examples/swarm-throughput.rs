//! How many blocks per second a seed and a leecher machine pass through, together on one core, with
//! blocks of 16 KiB that are only named. Run by hand, in a release build:
//!
//! ```text
//! time cargo run --release -p peerage-swarm --example swarm-throughput -- [GiB] [pieces of MiB]
//! ```
//!
//! The time is the shell's: a pure crate reads no clock, in its examples neither.

use peerage_base::{ConnId, Instant, Rng};
use peerage_content::{Hashes, Info};
use peerage_swarm::{
    Bitfield, BlockVerdict, Bucket, Config, Content, Handshake, Local, Message, Output, PeerChange,
    StoreEvent, Swarm,
};
use std::sync::Arc;

/// Bytes that a driver reads at once: eight blocks.
const READ: u64 = 8 * 16384;
const CONN: ConnId = ConnId(1);

struct Side {
    swarm: Swarm,
    up: Bucket,
    down: Bucket,
}

fn side(info: &Arc<Info>, have: Bitfield, seed: u64) -> Side {
    let local = Local { peer_id: [seed as u8; 20], listen_port: 1 };
    let mut swarm = Swarm::new(Config::default(), local, info.hashes, Rng::from_number(seed));
    swarm.set_content(
        Instant::ZERO,
        Content { hashes: Hashes::new(info.clone()), have, priorities: Vec::new() },
    );
    let handshake = Handshake::new(info.hashes.primary(), [9; 20]);
    let addr = ([127, 0, 0, 1], 1).into();
    swarm.handle_peer(
        Instant::ZERO,
        CONN,
        PeerChange::Up { addr, outgoing: seed == 1, utp: false, handshake },
    );
    swarm.handle_peer(Instant::ZERO, CONN, PeerChange::Writable { bytes: 4 << 20 });
    Side { swarm, up: Bucket::new(None), down: Bucket::new(None) }
}

fn feed(side: &mut Side, now: Instant, mut bytes: &[u8]) {
    while let Some((len, rest)) = bytes.split_first_chunk::<4>() {
        let (frame, rest) = rest.split_at(u32::from_be_bytes(*len) as usize);
        if let Ok(message) = Message::decode(frame) {
            side.swarm.handle_message(now, CONN, message);
        }
        bytes = rest;
    }
}

#[allow(clippy::disallowed_methods, clippy::print_stdout)]
fn main() {
    let arg = |at: usize, default: u64| {
        std::env::args().nth(at).and_then(|arg| arg.parse().ok()).unwrap_or(default)
    };
    let (gib, piece_mib) = (arg(1, 32), arg(2, 1));
    let (total, piece_len) = (gib << 30, piece_mib << 20);
    let pieces = total.div_ceil(piece_len);
    let mut raw = format!("d6:lengthi{total}e4:name1:x12:piece lengthi{piece_len}e6:pieces{}:", pieces * 20)
        .into_bytes();
    raw.resize(raw.len() + pieces as usize * 20, 7);
    raw.push(b'e');
    let info = Arc::new(Info::parse(&raw).expect("a plain torrent"));
    let pieces = info.layout.pieces();
    let (mut seed, mut leech) =
        (side(&info, Bitfield::full(pieces), 2), side(&info, Bitfield::new(pieces), 1));
    let (mut now_micros, mut blocks, mut verify) = (0, 0u64, Vec::new());
    while !leech.swarm.is_done() {
        // A driver's turn: what the seed says, in reads of a bounded size.
        now_micros += 100;
        let now = Instant::from_micros(now_micros);
        if leech.swarm.poll_timeout().is_some_and(|(at, _)| at <= now) {
            leech.swarm.handle_timeout(now);
            seed.swarm.handle_timeout(now);
        }
        seed.swarm.pump(now, &mut seed.up, &mut seed.down);
        let (mut read, mut piece_written) = (0, None);
        loop {
            let output = seed.swarm.poll_output();
            let last = output.is_none();
            match output {
                Some(Output::Send { bytes, .. }) => feed(&mut leech, now, &bytes),
                Some(Output::SendBlock { block, .. }) => {
                    assert_eq!(leech.swarm.handle_block(now, CONN, block), BlockVerdict::Accept);
                    blocks += 1;
                    read += u64::from(block.len);
                    piece_written = Some(block.piece);
                }
                _ => {}
            }
            if read >= READ || last {
                if let Some(piece) = piece_written.take() {
                    let written = StoreEvent::Written { piece, begin: 0, len: read as u32 };
                    leech.swarm.handle_store(now, written);
                    read = 0;
                }
                for piece in verify.drain(..) {
                    leech.swarm.handle_store(now, StoreEvent::Verified { piece, ok: true, digests: None });
                }
                leech.swarm.pump(now, &mut leech.up, &mut leech.down);
                while let Some(output) = leech.swarm.poll_output() {
                    match output {
                        Output::Send { bytes, .. } => feed(&mut seed, now, &bytes),
                        Output::Verify { piece, .. } => verify.push(piece),
                        _ => {}
                    }
                }
            }
            if last {
                break;
            }
        }
        seed.swarm.handle_peer(now, CONN, PeerChange::Writable { bytes: 4 << 20 });
    }
    println!("{blocks} blocks");
}
