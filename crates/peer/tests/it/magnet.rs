//! The metadata comes from peers, liars among them (BEP 9, threats.md P5).

use peerage_base::{Duration, Rng};
use peerage_peer::sim::{Behaviour, Content, How, Net, NodeId, NodeSpec, Tamper};
use peerage_swarm::Message;
use peerage_wire::extension::{self, Extended, LOCAL_IDS, MetadataMessage};

const KIB: u64 = 1024;
const MIB: u64 = 1024 * KIB;

/// Changes metadata messages that a node sends; the rest passes.
fn change(message: Message, act: impl FnOnce(MetadataMessage) -> Option<MetadataMessage>) -> Option<Message> {
    let Message::Extended { id, payload } = &message else { return Some(message) };
    // All nodes here use our own numbers.
    match extension::decode(*id, payload) {
        Ok(Extended::Metadata(metadata)) if Some(*id) == LOCAL_IDS.metadata => {
            act(metadata).map(|changed| Message::Extended { id: *id, payload: changed.encode() })
        }
        _ => Some(message),
    }
}

fn announce_size(message: Message, size: &str) -> Option<Message> {
    let Message::Extended { id: 0, payload } = &message else { return Some(message) };
    let key = b"13:metadata_sizei";
    let Some(at) = payload.windows(key.len()).position(|window| window == key) else { return Some(message) };
    let begin = at + key.len();
    let end = begin + payload[begin..].iter().position(|byte| *byte == b'e').unwrap();
    let payload = [&payload[..begin], size.as_bytes(), &payload[end..]].concat();
    Some(Message::Extended { id: 0, payload })
}

fn wrong_bytes(rng: &mut Rng, message: Message) -> Option<Message> {
    change(message, |metadata| match metadata {
        MetadataMessage::Data { piece, total_size, mut bytes } => {
            let at = rng.index(bytes.len());
            bytes[at] ^= 0x55;
            Some(MetadataMessage::Data { piece, total_size, bytes })
        }
        other => Some(other),
    })
}

fn short_bytes(_: &mut Rng, message: Message) -> Option<Message> {
    change(message, |metadata| match metadata {
        MetadataMessage::Data { piece, total_size, bytes } => {
            Some(MetadataMessage::Data { piece, total_size, bytes: bytes[..bytes.len() / 2].to_vec() })
        }
        other => Some(other),
    })
}

fn changing_size(rng: &mut Rng, message: Message) -> Option<Message> {
    change(message, |metadata| match metadata {
        MetadataMessage::Data { piece, bytes, .. } => {
            Some(MetadataMessage::Data { piece, total_size: rng.next_u32(), bytes })
        }
        other => Some(other),
    })
}

fn silent(_: &mut Rng, message: Message) -> Option<Message> {
    change(message, |_| None)
}

fn refuses(_: &mut Rng, message: Message) -> Option<Message> {
    change(message, |metadata| match metadata {
        MetadataMessage::Data { piece, .. } => Some(MetadataMessage::Reject { piece }),
        other => Some(other),
    })
}

const LIES: [Tamper; 9] = [
    wrong_bytes,
    short_bytes,
    changing_size,
    silent,
    refuses,
    |_, message| announce_size(message, "4294967296"),
    |_, message| announce_size(message, "0"),
    |_, message| announce_size(message, "-1"),
    |_, message| announce_size(message, "31457280"),
];

/// Metadata of about 50 KiB: four of BEP 9's pieces.
fn content(seed: u64) -> Content {
    Content::new(seed, 40 * MIB as usize, 16 * KIB as u32)
}

fn metadata_time(seed: u64, lies: &[Tamper]) -> f64 {
    let mut net = Net::new(seed);
    let content = content(seed);
    let mut tampers: Vec<Option<Tamper>> = lies.iter().copied().map(Some).collect();
    tampers.insert(seed as usize % (lies.len() + 1), None);
    let add = |net: &mut Net, tamper| {
        let id = net.add(NodeSpec {
            behaviour: Behaviour { tamper, ..Behaviour::default() },
            ..NodeSpec::with_rates(4 * MIB, 4 * MIB)
        });
        net.share(id, &content);
        id
    };
    let seeds: Vec<NodeId> = tampers.iter().map(|tamper| add(&mut net, *tamper)).collect();
    let leecher = net.add(NodeSpec::with_rates(4 * MIB, 4 * MIB));
    let torrent = net.fetch(leecher, &content, How::Magnet, &seeds, false);
    let known = |net: &Net| net.peer(leecher).swarm(torrent).is_some_and(peerage_swarm::Swarm::has_content);
    assert!(net.run_until(Duration::from_secs(30), known), "seed {seed}: no metadata in 30 s");
    let took = net.now().as_secs_f64();
    assert!(net.run_until_done(Duration::from_secs(120), &[leecher]), "seed {seed}");
    assert!(net.has_exactly(leecher, &content));
    let honest = net.addr(seeds[seed as usize % seeds.len()]).ip();
    assert!(
        net.banned(leecher).iter().all(|(addr, _)| addr.ip() != honest),
        "seed {seed}: the honest peer was banned"
    );
    took
}

#[test]
fn one_honest_peer_among_nine_liars_of_nine_kinds() {
    for seed in 0..10 {
        println!("seed {seed}: metadata after {:.2} s", metadata_time(seed, &LIES));
    }
}

#[test]
fn one_honest_peer_among_nine_liars_of_one_kind() {
    for (kind, lie) in LIES.iter().enumerate() {
        println!("kind {kind}: metadata after {:.2} s", metadata_time(3, &[*lie; 9]));
    }
}
