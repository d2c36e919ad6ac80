#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use super::*;
use proptest::prelude::*;

/// The transaction of every vector in RFC 5769.
const TRANSACTION: Transaction = [0xb7, 0xe7, 0xa7, 0x01, 0xbc, 0x34, 0xd6, 0x86, 0xfa, 0x87, 0xdf, 0xae];

fn hex(text: &str) -> Vec<u8> {
    let digits: String = text.split_whitespace().collect();
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
    digits.as_bytes().chunks(2).map(byte).collect()
}

/// RFC 5769, section 2.1: a request of ICE, with PRIORITY (0x0024), which STUN alone does not know.
fn sample_request() -> Vec<u8> {
    hex("00010058 2112a442 b7e7a701 bc34d686 fa87dfae 80220010 5354554e 20746573 7420636c 69656e74
         00240004 6e0001ff 80290008 932ff9b1 51263b36 00060009 6576746a 3a683676 59202020
         00080014 9aeaa70c bfd8cb56 781ef2b5 b2d3f249 c1b571a2 80280004 e57a3bcf")
}

/// RFC 5769, section 2.2.
fn sample_v4() -> Vec<u8> {
    hex("0101003c 2112a442 b7e7a701 bc34d686 fa87dfae 8022000b 74657374 20766563 746f7220
         00200008 0001a147 e112a643 00080014 2b91f599 fd9e90c3 8c7489f9 2af9ba53 f06be7d7
         80280004 c07d4c96")
}

/// RFC 5769, section 2.3.
fn sample_v6() -> Vec<u8> {
    hex("01010048 2112a442 b7e7a701 bc34d686 fa87dfae 8022000b 74657374 20766563 746f7220
         00200014 0002a147 0113a9fa a5d3f179 bc25f4b5 bed2b9d9 00080014 a382954e 4be67bf1
         1784c97c 8292c275 bfe3ed41 80280004 c8fb0b4c")
}

#[test]
fn the_answers_of_rfc_5769_are_read() {
    for (packet, mapped) in
        [(sample_v4(), "192.0.2.1:32853"), (sample_v6(), "[2001:db8:1234:5678:11:2233:4455:6677]:32853")]
    {
        let mapped = mapped.parse().unwrap();
        let expected = Message::Success { transaction: TRANSACTION, mapped };
        assert_eq!(Message::decode(&packet), Ok(expected));
        // Ours is the same attribute without the others: it stands in the vector as it is.
        let ours = expected.encode();
        assert!(packet.windows(ours.len() - REQUEST_BYTES).any(|part| part == &ours[REQUEST_BYTES..]));
        assert_eq!(ours[4..REQUEST_BYTES], packet[4..REQUEST_BYTES]);
    }
}

#[test]
fn a_request_of_ice_is_not_understood_and_one_of_stun_is() {
    assert_eq!(Message::decode(&sample_request()), Err(DecodeError::Unknown(0x0024)));
    let request = Message::Request { transaction: TRANSACTION };
    let packet = request.encode();
    assert_eq!(packet, hex("00010000 2112a442 b7e7a701 bc34d686 fa87dfae"));
    assert_eq!((packet.len(), Message::decode(&packet)), (REQUEST_BYTES, Ok(request)));
    // With the optional SOFTWARE of the vector.
    let named =
        hex("00010014 2112a442 b7e7a701 bc34d686 fa87dfae 80220010 5354554e 20746573 7420636c 69656e74");
    assert_eq!(Message::decode(&named), Ok(request));
}

#[test]
fn old_servers_answer_in_plain() {
    let packet = hex("0101000c 2112a442 b7e7a701 bc34d686 fa87dfae 00010008 00018055 c0000201");
    let mapped = "192.0.2.1:32853".parse().unwrap();
    assert_eq!(Message::decode(&packet), Ok(Message::Success { transaction: TRANSACTION, mapped }));
    // Where both are there, the hidden one is right: the plain one may have been rewritten on the way.
    let both = hex("01010018 2112a442 b7e7a701 bc34d686 fa87dfae 00010008 00010001 0a000001
                    00200008 0001a147 e112a643");
    assert_eq!(Message::decode(&both), Ok(Message::Success { transaction: TRANSACTION, mapped }));
}

#[test]
fn refusals_have_a_code() {
    let unknown = Message::Error { transaction: TRANSACTION, code: 420 };
    assert_eq!(Message::decode(&unknown.encode()), Ok(unknown));
    assert_eq!(unknown.encode()[REQUEST_BYTES..], hex("00090004 00000414"));
    for code in ["00000200", "00000764", "00000464"] {
        let packet = hex(&format!("01110008 2112a442 b7e7a701 bc34d686 fa87dfae 00090004 {code}"));
        assert_eq!(Message::decode(&packet), Err(DecodeError::Attribute), "{code}");
    }
}

#[test]
fn what_is_no_stun_is_left_alone() {
    let good = sample_v4();
    let mut cookie = good.clone();
    cookie[4] ^= 1;
    let mut bits = good.clone();
    bits[0] |= 0x80;
    let longer = [&good[..], &[0; 4]].concat();
    for packet in [&cookie[..], &bits, &longer, &good[..good.len() - 4], &good[..19], &[], &[0; 2000]] {
        assert_eq!(Message::decode(packet), Err(DecodeError::NotStun));
    }
    assert!(is_stun(&good) && !is_stun(&cookie) && !is_stun(&bits) && !is_stun(&good[..19]));
    // The other protocols that may share a port: KRPC begins with `d`, uTP with its type and version 1.
    assert!(!is_stun(b"d1:ad2:id20:abcdefghij0123456789e1:q4:ping1:t2:aa1:y1:qe"));
    assert!(!is_stun(&[0x41; 20]));
}

#[test]
fn broken_attributes_are_refused() {
    for (body, error) in [
        ("00200009 0001a147 e112a643", DecodeError::Attribute),
        ("00200008 0003a147 e112a643", DecodeError::Attribute),
        ("0020000c 0001a147 e112a643 00000000", DecodeError::Attribute),
        ("8022ffff", DecodeError::Attribute),
        ("80220000", DecodeError::Empty),
        ("7fff0000", DecodeError::Unknown(0x7fff)),
    ] {
        let body = hex(body);
        let length = u16::try_from(body.len()).unwrap().to_be_bytes();
        let packet = [&[1, 1], &length[..], &COOKIE.to_be_bytes(), &TRANSACTION, &body].concat();
        assert_eq!(Message::decode(&packet), Err(error), "{body:?}");
    }
    let indication = hex("00110000 2112a442 b7e7a701 bc34d686 fa87dfae");
    assert_eq!(Message::decode(&indication), Err(DecodeError::Kind(0x0011)));
}

proptest! {
    #[test]
    fn what_is_written_is_read_back(transaction: Transaction, ip: IpAddr, port: u16, code in 300u16..700) {
        let mapped = SocketAddr::new(ip.to_canonical(), port);
        for message in [
            Message::Request { transaction },
            Message::Success { transaction, mapped },
            Message::Error { transaction, code },
        ] {
            prop_assert_eq!(Message::decode(&message.encode()), Ok(message));
        }
    }

    #[test]
    fn no_change_of_a_good_packet_panics(at in 0usize..92, flip: u8, cut in 0usize..93) {
        let mut packet = sample_v6();
        packet[at] ^= flip;
        let _ = Message::decode(&packet[..cut.min(packet.len())]);
    }
}
