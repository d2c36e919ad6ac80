#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use super::*;
use proptest::prelude::*;

fn member(n: u8) -> Member {
    let addr = match n % 3 {
        0 => None,
        1 => Some(SocketAddr::new([10, 0, 0, n].into(), 7731)),
        _ => Some(SocketAddr::new([u16::from(n); 8].into(), 1)),
    };
    Member { id: PeerId([n; 32]), addr }
}

fn update(n: u8) -> Update {
    let health = [Health::Alive, Health::Suspect, Health::Dead][usize::from(n) % 3];
    Update { member: member(n), incarnation: u32::from(n) << 20, health }
}

/// One of each.
fn every() -> Vec<Message> {
    let members: Vec<Member> = (0..8).map(member).collect();
    let updates: Vec<Update> = (0..6).map(update).collect();
    let mut all: Vec<Message> = [
        Membership::Join { addr: member(1).addr },
        Membership::Join { addr: None },
        Membership::ForwardJoin { member: member(2), ttl: 6 },
        Membership::Neighbor { urgent: true, addr: member(2).addr },
        Membership::NeighborReply { accepted: false },
        Membership::Disconnect,
        Membership::Shuffle { origin: member(3), ttl: 6, members: members.clone() },
        Membership::ShuffleReply { members },
    ]
    .map(Message::Membership)
    .into();
    all.extend(
        [
            Broadcast::Gossip { round: 3, payload: b"news".to_vec() },
            Broadcast::Gossip { round: 0, payload: Vec::new() },
            Broadcast::IHave { messages: vec![([1; 32], 1), ([2; 32], u16::MAX)] },
            Broadcast::Graft { message: Some([7; 32]) },
            Broadcast::Graft { message: None },
            Broadcast::Prune,
        ]
        .map(Message::Broadcast),
    );
    all.extend(
        [
            LivenessBody::Ping { number: 1 },
            LivenessBody::PingReq { number: 2, target: member(4) },
            LivenessBody::Ack { number: u32::MAX },
        ]
        .map(|body| Message::Liveness(Liveness { body, updates: updates.clone() })),
    );
    all
}

#[test]
fn what_is_written_is_read_and_no_other_length_is() {
    for message in every() {
        let frame = Frame { topic: [9; 32], message };
        let bytes = frame.encode();
        assert_eq!(Frame::decode(&bytes).as_ref(), Ok(&frame));
        let open_ended = matches!(frame.message, Message::Broadcast(Broadcast::Gossip { .. }));
        for len in 0..bytes.len() {
            let cut = Frame::decode(&bytes[..len]);
            let shorter = open_ended && len >= 36
                || matches!(
                    cut,
                    Ok(Frame { message: Message::Broadcast(Broadcast::Graft { message: None }), .. })
                );
            assert!(shorter || cut == Err(GossipError::Length), "{len} of {frame:?}: {cut:?}");
        }
        let longer = [&bytes[..], &[0]].concat();
        assert!(open_ended || Frame::decode(&longer) == Err(GossipError::Length), "{frame:?}");
    }
}

#[test]
fn the_layout_is_the_documented_one() {
    let frame = Frame {
        topic: [0xAA; 32],
        message: Message::Membership(Membership::ForwardJoin { member: member(1), ttl: 6 }),
    };
    let expected = [&[1, 1][..], &[0xAA; 32], &[1; 32], &[4, 10, 0, 0, 1, 0x1E, 0x33], &[6]].concat();
    assert_eq!(frame.encode(), expected);
}

#[test]
fn other_versions_kinds_values_and_too_much_are_refused_by_name() {
    let frame = |kind: u8, body: &[u8]| [&[VERSION, kind][..], &[0; 32], body].concat();
    assert_eq!(Frame::decode(&[2; 40]), Err(GossipError::Version(2)));
    for kind in [7, 15, 20, 31, 35, 255] {
        assert_eq!(Frame::decode(&frame(kind, &[0; 64])), Err(GossipError::Kind(kind)));
    }
    assert_eq!(Frame::decode(&frame(3, &[2])), Err(GossipError::Value), "neither yes nor no");
    assert_eq!(Frame::decode(&frame(0, &[5, 0, 0, 0, 0, 0, 0])), Err(GossipError::Value), "no family");
    let members = u8::try_from(GOSSIP_MEMBERS_MAX + 1).unwrap();
    assert_eq!(Frame::decode(&frame(6, &[members])), Err(GossipError::TooMuch));
    let ihaves = u8::try_from(GOSSIP_IHAVES_MAX + 1).unwrap();
    assert_eq!(Frame::decode(&frame(17, &[ihaves])), Err(GossipError::TooMuch));
    assert_eq!(Frame::decode(&frame(32, &[0, 0, 0, 0, 255])), Err(GossipError::TooMuch));
    let long = vec![0; 2 + GOSSIP_PAYLOAD_BYTES_MAX + 1];
    assert_eq!(Frame::decode(&frame(16, &long)), Err(GossipError::TooMuch));
    assert!(Frame::decode(&frame(16, &long[1..])).is_ok());
    let health = [&[0, 0, 0, 0, 1][..], &[1; 32], &[0], &[0, 0, 0, 0], &[3]].concat();
    assert_eq!(Frame::decode(&frame(34, &health)), Err(GossipError::Value));
}

proptest! {
    #[test]
    fn what_is_accepted_has_one_form(kind in 0..40_u8, body in prop::collection::vec(0..8_u8, 0..400)) {
        let bytes = [&[VERSION, kind][..], &[7; 32], &body].concat();
        if let Ok(frame) = Frame::decode(&bytes) {
            prop_assert_eq!(frame.encode(), bytes);
        }
    }
}
