//! Round trips, canonical form, hostile bytes.

#![allow(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use super::superpeer::BloomBytes;
use super::*;
use core::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use peerage_base::Key;
use peerage_base::limits::{OVERLAY_ADDRS_MAX, OVERLAY_BLOOM_BYTES_MAX, OVERLAY_KEYS_MAX, OVERLAY_NODES_MAX};
use proptest::prelude::*;

fn node(seed: u8) -> Node {
    Node { id: Key([seed; 20]), addr: SocketAddr::from((Ipv6Addr::from([seed.max(1); 16]), 7)) }
}

/// One of each kind, with full lists.
fn samples() -> Vec<Frame> {
    let (transaction, guid, ttl) = (0x0102_0304, 0x0102_0304_0506_0708, 9);
    let id = Key([7; 20]);
    let nodes: Vec<Node> = (0..OVERLAY_NODES_MAX as u8).map(node).collect();
    let addr = SocketAddr::from((Ipv4Addr::new(192, 0, 2, 1), 6881));
    let holders = vec![addr; OVERLAY_ADDRS_MAX];
    let keys = vec![id; OVERLAY_KEYS_MAX];
    let others = vec![nodes[3].addr; OVERLAY_ADDRS_MAX];
    let (capacity, degree, superpeer) = (10, 3, true);
    let (key, steps, walker, holder) = (id, 3, 2, addr);
    let bloom = BloomBytes(vec![0xA5; OVERLAY_BLOOM_BYTES_MAX]);
    let (closer, owners, successors) = (nodes.clone(), nodes.clone(), nodes.clone());
    let chord = [
        chord::Message::Ping { transaction },
        chord::Message::Pong { transaction, id },
        chord::Message::Find { transaction, target: id },
        chord::Message::Nodes { transaction, id, closer, owners },
        chord::Message::Neighbours { transaction },
        chord::Message::Beside { transaction, id, predecessor: Some(nodes[1]), successors },
        chord::Message::Beside { transaction, id, predecessor: None, successors: Vec::new() },
        chord::Message::Notify { id },
        chord::Message::Store { transaction, key },
        chord::Message::Stored { transaction },
        chord::Message::Get { transaction, key },
        chord::Message::Holders { transaction, holders: holders.clone() },
    ];
    let pastry = [
        pastry::Message::Ping { transaction },
        pastry::Message::Pong { transaction, id },
        pastry::Message::Route { transaction, target: id },
        pastry::Message::Hops { transaction, id, next: nodes.clone() },
        pastry::Message::Row { transaction, row: 4 },
        pastry::Message::Leaves { transaction },
        pastry::Message::Nearby { transaction },
        pastry::Message::Nodes { transaction, id, nodes: nodes.clone() },
        pastry::Message::Arrived { id },
        pastry::Message::Suspect { node: nodes[2] },
        pastry::Message::Store { transaction, key },
        pastry::Message::Stored { transaction },
        pastry::Message::Get { transaction, key },
        pastry::Message::Holders { transaction, holders },
    ];
    let link = [
        link::Message::Hello { capacity, degree, superpeer },
        link::Message::Welcome { capacity, degree, superpeer, others: others.clone() },
        link::Message::Full { others: others.clone() },
        link::Message::Ping { degree, superpeer },
        link::Message::Pong { degree, superpeer, others },
        link::Message::Bye {},
    ];
    let hops = 1;
    let flooding =
        [flooding::Message::Query { guid, key, ttl, hops }, flooding::Message::Hit { guid, holder, hops }];
    let ttl = 1024;
    let walk = [
        walk::Message::Query { guid, walker, key, source: addr, ttl, steps },
        walk::Message::Check { guid, walker },
        walk::Message::Go { guid, walker, go: true },
        walk::Message::Hit { guid, walker, key, holder, steps },
        walk::Message::Place { key, holder, ttl },
    ];
    let superpeer = [
        superpeer::Message::Publish { keys: keys.clone() },
        superpeer::Message::Table { bloom },
        superpeer::Message::Query { guid, key, ttl: 3, hops },
        superpeer::Message::Hit { guid, holder, hops },
    ];
    let gia = [
        gia::Message::Index { added: keys, removed: vec![id] },
        gia::Message::Tokens { count: 4 },
        gia::Message::Query { guid, key, ttl, steps },
        gia::Message::Hit { guid, holder, steps },
    ];
    let mut frames: Vec<Frame> = chord.into_iter().map(Frame::Chord).collect();
    frames.extend(pastry.into_iter().map(Frame::Pastry));
    frames.extend(link.into_iter().map(Frame::Link));
    frames.extend(flooding.into_iter().map(Frame::Flooding));
    frames.extend(walk.into_iter().map(Frame::Walk));
    frames.extend(superpeer.into_iter().map(Frame::Superpeer));
    frames.extend(gia.into_iter().map(Frame::Gia));
    frames
}

#[test]
fn every_message_comes_back_and_fits() {
    for frame in samples() {
        let bytes = frame.encode();
        assert!(bytes.len() <= OVERLAY_FRAME_BYTES_MAX, "{frame:?}");
        assert_eq!(Frame::decode(&bytes), Ok(frame));
    }
}

#[test]
fn every_cut_and_every_addition_is_refused() {
    for frame in samples() {
        let bytes = frame.encode();
        for len in 0..bytes.len() {
            assert!(Frame::decode(&bytes[..len]).is_err(), "{frame:?} cut to {len}");
        }
        assert!(Frame::decode(&[&bytes[..], &[0]].concat()).is_err(), "{frame:?} and more");
    }
}

/// The bytes of one message, written down by hand from the module's diagram.
#[test]
fn a_known_frame() {
    let message = flooding::Message::Hit { guid: 5, holder: "192.0.2.1:6881".parse().unwrap(), hops: 3 };
    let bytes = [1, 4, 2, 0, 0, 0, 0, 0, 0, 0, 5, 4, 192, 0, 2, 1, 0x1A, 0xE1, 3];
    assert_eq!(Frame::Flooding(message).encode(), bytes);
}

#[test]
fn other_versions_protocols_and_kinds_are_told_apart() {
    assert_eq!(Frame::decode(&[]), Err(DecodeError::Malformed));
    assert_eq!(Frame::decode(&[2, 1, 1]), Err(DecodeError::Version(2)));
    assert_eq!(Frame::decode(&[1, 99, 1]), Err(DecodeError::Protocol(99)));
    assert_eq!(Frame::decode(&[1, 1, 99]), Err(DecodeError::Malformed));
    let long = vec![1; OVERLAY_FRAME_BYTES_MAX + 1];
    assert_eq!(Frame::decode(&long), Err(DecodeError::TooLong(long.len())));
}

#[test]
fn counts_beyond_their_maximum_are_refused_though_the_bytes_are_there() {
    let list = |protocol: u8, kind: u8, prefix: usize, count: u8, item: &[u8]| {
        let mut bytes = vec![VERSION, protocol, kind];
        bytes.extend(vec![0; prefix]);
        bytes.push(count);
        bytes.extend(item.repeat(usize::from(count)));
        bytes
    };
    let addr = [4, 192, 0, 2, 1, 0, 80];
    let full = list(1, 11, 4, OVERLAY_ADDRS_MAX as u8, &addr);
    assert!(Frame::decode(&full).is_ok());
    assert_eq!(
        Frame::decode(&list(1, 11, 4, OVERLAY_ADDRS_MAX as u8 + 1, &addr)),
        Err(DecodeError::Malformed)
    );
    assert_eq!(
        Frame::decode(&list(6, 1, 0, OVERLAY_KEYS_MAX as u8 + 1, &[7; 20])),
        Err(DecodeError::Malformed)
    );
    let node = [&[7; 20][..], &addr].concat();
    assert_eq!(
        Frame::decode(&list(2, 4, 24, OVERLAY_NODES_MAX as u8 + 1, &node)),
        Err(DecodeError::Malformed)
    );
    let mut bloom = vec![VERSION, 6, 2];
    bloom.extend(1025_u16.to_be_bytes());
    bloom.extend([0; 1025]);
    assert_eq!(Frame::decode(&bloom), Err(DecodeError::Malformed));
}

#[test]
fn addresses_have_one_form() {
    let hit = |addr: &[u8]| [&[1, 4, 2, 0, 0, 0, 0, 0, 0, 0, 5][..], addr, &[3]].concat();
    assert!(Frame::decode(&hit(&[4, 1, 2, 3, 4, 0, 1])).is_ok());
    // Port 0, a mapped address, a family that there is not.
    assert!(Frame::decode(&hit(&[4, 1, 2, 3, 4, 0, 0])).is_err());
    let mapped = [&[6][..], &[0; 10], &[0xFF, 0xFF, 1, 2, 3, 4, 0, 1]].concat();
    assert!(Frame::decode(&hit(&mapped)).is_err());
    assert!(Frame::decode(&hit(&[5, 1, 2, 3, 4, 0, 1])).is_err());
}

#[test]
fn lists_that_are_too_long_lose_their_end() {
    let keys = vec![Key([1; 20]); OVERLAY_KEYS_MAX + 50];
    let bytes = Frame::Superpeer(superpeer::Message::Publish { keys }).encode();
    let Ok(Frame::Superpeer(superpeer::Message::Publish { keys })) = Frame::decode(&bytes) else {
        panic!("no frame");
    };
    assert_eq!(keys.len(), OVERLAY_KEYS_MAX);
}

proptest! {
    /// Whatever is read is written again as the same bytes: there is one encoding.
    #[test]
    fn what_is_read_is_canonical(protocol in 1_u8..=7, kind in 1_u8..=14, body: Vec<u8>) {
        let bytes = [&[VERSION, protocol, kind][..], &body].concat();
        if let Ok(frame) = Frame::decode(&bytes) {
            prop_assert_eq!(frame.encode(), bytes);
        }
    }

    /// The same, from frames with a few bytes changed, which get farther.
    #[test]
    fn changed_frames_are_read_or_refused(which: prop::sample::Index, at: prop::sample::Index, byte: u8) {
        let frames = samples();
        let mut bytes = frames[which.index(frames.len())].encode();
        let at = at.index(bytes.len());
        bytes[at] = byte;
        if let Ok(frame) = Frame::decode(&bytes) {
            prop_assert_eq!(frame.encode(), bytes);
        }
    }
}
