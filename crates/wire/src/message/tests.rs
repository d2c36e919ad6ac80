#![allow(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use super::*;
use proptest::prelude::*;

const BLOCK: Block = Block { piece: 1, begin: 0x4000, len: 0x4000 };
const HASHES: HashRequest =
    HashRequest { root: [0xAB; 32], base_layer: 0, index: 512, length: 2, proof_layers: 9 };

fn encoded(message: &Message) -> Vec<u8> {
    let mut out = Vec::new();
    message.encode(&mut out);
    out
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The bytes that BEP 3, 5, 6, 10 and 52 describe.
#[test]
fn golden_vectors() {
    let hash_request = format!("{}{}", "ab".repeat(32), "00000000000002000000000200000009");
    let vectors = [
        (Message::KeepAlive, "00000000".into()),
        (Message::Choke, "0000000100".into()),
        (Message::Unchoke, "0000000101".into()),
        (Message::Interested, "0000000102".into()),
        (Message::NotInterested, "0000000103".into()),
        (Message::Have(0x01020304), "000000050401020304".into()),
        (Message::Bitfield(vec![0xFF, 0x80]), "0000000305ff80".into()),
        (Message::Request(BLOCK), "0000000d06000000010000400000004000".into()),
        (Message::Cancel(BLOCK), "0000000d08000000010000400000004000".into()),
        (Message::Port(6881), "00000003091ae1".into()),
        (Message::Suggest(9), "000000050d00000009".into()),
        (Message::HaveAll, "000000010e".into()),
        (Message::HaveNone, "000000010f".into()),
        (Message::Reject(BLOCK), "0000000d10000000010000400000004000".into()),
        (Message::AllowedFast(9), "000000051100000009".into()),
        (Message::Extended { id: 0, payload: b"de".to_vec() }, "00000004140064 65".replace(' ', "")),
        (Message::HashRequest(HASHES), format!("0000003115{hash_request}")),
        (
            Message::Hashes { request: HASHES, hashes: vec![[1; 32], [2; 32]] },
            format!("0000007116{hash_request}{}{}", "01".repeat(32), "02".repeat(32)),
        ),
        (Message::HashReject(HASHES), format!("0000003117{hash_request}")),
    ];
    for (message, expected) in vectors {
        let bytes = encoded(&message);
        assert_eq!(hex(&bytes), expected, "{message:?}");
        assert_eq!(Message::decode(&bytes[4..]), Ok(message));
    }
    assert_eq!(hex(&piece_header(BLOCK)), "00004009070000000100004000");
}

#[test]
fn each_id_accepts_its_lengths_only() {
    for id in 0..=u8::MAX {
        let (min, max) = length_range(id);
        assert!(min <= max && max <= MESSAGE_BYTES_MAX, "{id}");
        for len in [1, 2, 3, 4, 5, 6, 12, 13, 14, 48, 49, 50, 80, 81, 82, max, max + 1] {
            let mut frame = vec![0; len];
            frame[0] = id;
            let verdict = Message::decode(&frame);
            let whole_hashes = id != super::id::HASHES || len < 49 || (len - 49) % 32 == 0;
            if id == super::id::PIECE {
                assert_eq!(verdict, Err(Error::Piece));
            } else if (min..=max).contains(&len) && whole_hashes {
                assert!(verdict.is_ok(), "id {id} length {len}: {verdict:?}");
            } else {
                assert_eq!(verdict, Err(Error::Length { id, len }));
            }
        }
    }
}

#[test]
fn unknown_ids_are_named_and_never_sent() {
    for id in [10, 11, 12, 18, 19, 24, 250, 255] {
        assert_eq!(Message::decode(&[id, 1, 2, 3]), Ok(Message::Unknown(id)));
    }
    assert_eq!(encoded(&Message::Unknown(99)), []);
}

fn block() -> impl Strategy<Value = Block> {
    any::<[u32; 3]>().prop_map(|[piece, begin, len]| Block { piece, begin, len })
}

fn hash_request() -> impl Strategy<Value = HashRequest> {
    (any::<[u8; 32]>(), any::<[u32; 4]>()).prop_map(|(root, [base_layer, index, length, proof_layers])| {
        HashRequest { root, base_layer, index, length, proof_layers }
    })
}

fn message() -> impl Strategy<Value = Message> {
    let bytes = || prop::collection::vec(any::<u8>(), 0..100);
    prop_oneof![
        prop::sample::select(vec![
            Message::KeepAlive,
            Message::Choke,
            Message::Unchoke,
            Message::Interested,
            Message::NotInterested,
            Message::HaveAll,
            Message::HaveNone,
        ]),
        any::<u32>().prop_map(Message::Have),
        any::<u32>().prop_map(Message::Suggest),
        any::<u32>().prop_map(Message::AllowedFast),
        any::<u16>().prop_map(Message::Port),
        bytes().prop_map(Message::Bitfield),
        block().prop_map(Message::Request),
        block().prop_map(Message::Cancel),
        block().prop_map(Message::Reject),
        (any::<u8>(), bytes()).prop_map(|(id, payload)| Message::Extended { id, payload }),
        hash_request().prop_map(Message::HashRequest),
        hash_request().prop_map(Message::HashReject),
        (hash_request(), prop::collection::vec(any::<[u8; 32]>(), 0..5))
            .prop_map(|(request, hashes)| Message::Hashes { request, hashes }),
    ]
}

proptest! {
    #[test]
    fn round_trip(message in message()) {
        let bytes = encoded(&message);
        let len = u32::from_be_bytes(bytes[..4].try_into().unwrap()) as usize;
        prop_assert_eq!(len, bytes.len() - 4);
        prop_assert_eq!(Message::decode(&bytes[4..]), Ok(message));
    }

    #[test]
    fn what_is_accepted_is_canonical(frame in prop::collection::vec(any::<u8>(), 0..200), id in 0..25u8) {
        let frame = [vec![id], frame].concat();
        if let Ok(message) = Message::decode(&frame) && message != Message::Unknown(id) {
            prop_assert_eq!(&encoded(&message)[4..], &frame[..]);
        }
    }
}
