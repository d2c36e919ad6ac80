#![allow(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use super::*;
use crate::message::{Message, piece_header};
use crate::{Handshake, HashRequest};
use peerage_base::limits::{BLOCK_LEN, MESSAGE_BYTES_MAX};
use proptest::prelude::*;

/// A frame with its bytes, independent of the buffer.
#[derive(Clone, Debug, PartialEq)]
enum Owned {
    Handshake(Vec<u8>),
    Message(Vec<u8>),
    Block(Block, Vec<u8>),
}

fn owned(frame: Frame, buf: &[u8]) -> Owned {
    match frame {
        Frame::Handshake(range) => Owned::Handshake(buf[range].to_vec()),
        Frame::Message(range) => Owned::Message(buf[range].to_vec()),
        Frame::Block { block, data } => Owned::Block(block, buf[data].to_vec()),
    }
}

/// Feeds `stream` in reads of the given sizes, as a driver does.
fn split(stream: &[u8], mut read_sizes: impl Iterator<Item = usize>) -> Result<Vec<Owned>, Error> {
    let (mut splitter, mut buf, mut frames, mut at) = (Splitter::new(), Vec::new(), Vec::new(), 0);
    while at < stream.len() {
        let size = read_sizes.next().unwrap_or(1).clamp(1, stream.len() - at);
        buf.extend_from_slice(&stream[at..at + size]);
        at += size;
        while let Some((frame, consumed)) = splitter.next(&buf)? {
            frames.push(owned(frame, &buf));
            buf.drain(..consumed);
        }
        assert!(buf.len() < splitter.wanted(), "an incomplete frame wants more than there is");
        assert!(splitter.wanted() <= FRAME_LEN_MAX);
    }
    Ok(frames)
}

fn block_frame(block: Block) -> Vec<u8> {
    let data = (0..block.len).map(|i| (i.wrapping_mul(7) ^ block.begin) as u8);
    piece_header(block).into_iter().chain(data).collect()
}

fn sample() -> (Vec<u8>, Vec<Owned>) {
    let handshake = Handshake::new([1; 20], [2; 20]).encode().to_vec();
    let mut stream = handshake.clone();
    let mut expected = vec![Owned::Handshake(handshake)];
    let blocks = [
        Block { piece: 0, begin: 0, len: BLOCK_LEN },
        Block { piece: u32::MAX, begin: u32::MAX, len: 1 },
        Block { piece: 3, begin: 16384, len: 1000 },
    ];
    let messages = [
        Message::HaveAll,
        Message::KeepAlive,
        Message::Request(blocks[0]),
        Message::Extended { id: 1, payload: vec![7; 3000] },
        Message::Hashes { request: HashRequest::default(), hashes: vec![[3; 32]; 100] },
    ];
    for (message, block) in messages.iter().zip(blocks.iter().cycle()) {
        let start = stream.len();
        message.encode(&mut stream);
        expected.push(Owned::Message(stream[start + 4..].to_vec()));
        let frame = block_frame(*block);
        expected.push(Owned::Block(*block, frame[13..].to_vec()));
        stream.extend(frame);
    }
    (stream, expected)
}

proptest! {
    #[test]
    fn frames_do_not_depend_on_the_reads(sizes in prop::collection::vec(1..5000_usize, 1..50)) {
        let (stream, expected) = sample();
        prop_assert_eq!(split(&stream, sizes.into_iter().cycle()), Ok(expected));
    }

    #[test]
    fn arbitrary_bytes_are_consumed_or_refused(tail in prop::collection::vec(any::<u8>(), 0..400), size in 1..100_usize) {
        let stream = [&Handshake::new([1; 20], [2; 20]).encode()[..], &tail].concat();
        let in_parts = split(&stream, core::iter::repeat(size));
        prop_assert_eq!(in_parts, split(&stream, core::iter::repeat(1)));
    }
}

#[test]
fn byte_by_byte_and_all_at_once() {
    let (stream, expected) = sample();
    assert_eq!(split(&stream, core::iter::repeat(1)), Ok(expected.clone()));
    assert_eq!(split(&stream, core::iter::once(stream.len())), Ok(expected));
}

#[test]
fn another_protocol_is_refused_at_its_first_byte() {
    for start in [&b"GET / HTTP/1.1"[..], b"\x16\x03\x01", b"\0", b"\x13BitTorrent protocoL"] {
        let refused = Splitter::new().next(start);
        assert_eq!(refused, Err(Error::Handshake(handshake::Error::Protocol)), "{}", start.escape_ascii());
    }
    assert_eq!(Splitter::new().next(b"\x13Bit"), Ok(None));
}

/// P4 (CVE-2026-57080): five bytes suffice to refuse a length; nothing is buffered for it.
#[test]
fn every_length_prefix_is_judged_by_five_bytes() {
    let lengths = [0, 1, 2, 9, 10, 13, BLOCK_LEN + 9, BLOCK_LEN + 10, MESSAGE_BYTES_MAX as u32];
    let hostile = [MESSAGE_BYTES_MAX as u32 + 1, 1 << 31, u32::MAX - 1, u32::MAX, i32::MAX as u32];
    for id in 0..=u8::MAX {
        for len in lengths.iter().chain(&hostile).copied() {
            let mut splitter = Splitter::past_handshake();
            let start = [&len.to_be_bytes()[..], &[id]].concat();
            let (min, max) = length_range(id);
            let result = splitter.next(&start);
            if len == 0 {
                assert_eq!(result, Ok(Some((Frame::Message(4..4), 4))));
            } else if (min..=max).contains(&(len as usize)) {
                assert!(result.is_ok(), "id {id} length {len}");
                assert!(splitter.wanted() <= FRAME_LEN_MAX);
            } else if len as usize > MESSAGE_BYTES_MAX {
                assert_eq!(result, Err(Error::TooLong(len)));
            } else {
                assert_eq!(result, Err(Error::Length { id, len }));
            }
        }
    }
    for len in hostile {
        assert!(Splitter::past_handshake().next(&len.to_be_bytes()).is_err(), "four bytes are enough");
    }
}

#[test]
fn a_block_is_1_byte_to_16_kib() {
    for (len, accepted) in [(0, false), (1, true), (BLOCK_LEN, true), (BLOCK_LEN + 1, false)] {
        let frame = block_frame(Block { piece: 1, begin: 2, len });
        let result = Splitter::past_handshake().next(&frame);
        assert_eq!(result.is_ok(), accepted, "{len}");
        if accepted {
            let expected = Frame::Block { block: Block { piece: 1, begin: 2, len }, data: 13..frame.len() };
            assert_eq!(result, Ok(Some((expected, frame.len()))));
        }
    }
}

#[test]
fn no_message_is_longer_than_the_buffer_that_is_promised() {
    let longest = (0..=u8::MAX).map(|id| length_range(id).1).max().unwrap();
    assert_eq!(longest + 4, FRAME_LEN_MAX);
}
