//! Targets of `wire`.

use crate::Outcome;
use peerage_base::Duration;
use peerage_base::Rng;
use peerage_base::limits::{
    COORDINATE_MS_MAX, GOSSIP_FRAME_BYTES_MAX, GOSSIP_IHAVES_MAX, GOSSIP_MEMBERS_MAX, KRPC_BYTES_MAX,
    KRPC_NODES_MAX, KRPC_SAMPLES_MAX, KRPC_TRANSACTION_BYTES_MAX, KRPC_VALUES_MAX, LSD_BYTES_MAX,
    LSD_HASHES_MAX, PEX_PEERS_MAX, SWIM_UPDATES_MAX, TRACKER_PEERS_MAX,
};
use peerage_wire::bencode::{self, Encoder, Kind, Limits, Value};
use peerage_wire::coordinates::Coordinates;
use peerage_wire::extension::{
    self, Extended, Handshake as ExtensionHandshake, Holepunch, MetadataMessage, Pex,
};
use peerage_wire::frame::{FRAME_LEN_MAX, Frame, Splitter};
use peerage_wire::gossip::{Broadcast, Frame as GossipFrame, Membership, Message as Gossip};
use peerage_wire::krpc::{self, Body, DecodeError};
use peerage_wire::lsd::{self, Announce};
use peerage_wire::mse::{Established, Listener, Methods, Opener, Progress};
use peerage_wire::start::Start;
use peerage_wire::stun::{self, Message as Stun};
use peerage_wire::tracker::http::{self, ReplyError};
use peerage_wire::tracker::udp::{Family, Reply, Request};
use peerage_wire::tracker::{INTERVAL_MAX, INTERVAL_MIN, SCRAPE_HASHES_MAX, TEXT_CHARS_MAX};
use peerage_wire::{Handshake, Message, overlay, text, utp};

/// Strict documents are canonical: encoded again, they are the same bytes. What strict decoding
/// accepts, lenient decoding accepts with the same meaning.
pub fn bencode(bytes: &[u8]) -> Outcome {
    let lenient = bencode::decode(bytes, Limits::TORRENT);
    if let Ok(document) = bencode::decode(bytes, Limits::TORRENT.strict()) {
        assert_eq!(encoded(document.root()), bytes);
        assert!(lenient.is_ok());
    }
    if let Ok(document) = &lenient {
        walk(document.root(), bytes, 0);
    }
    Outcome::of(&lenient)
}

/// The rest follows the document; the document alone decodes to itself.
pub fn bencode_prefix(bytes: &[u8]) -> Outcome {
    let decoded = bencode::decode_prefix(bytes, Limits::MESSAGE.strict());
    if let Ok((document, rest)) = &decoded {
        let raw = document.root().raw();
        assert_eq!([raw, rest].concat(), bytes);
        assert!(bencode::decode(raw, Limits::MESSAGE.strict()).is_ok());
    }
    Outcome::of(&decoded)
}

fn encoded(value: Value<'_>) -> Vec<u8> {
    let mut encoder = Encoder::new();
    encode(value, &mut encoder);
    encoder.finish()
}

fn encode(value: Value<'_>, out: &mut Encoder) {
    match value.kind() {
        Kind::Int => out.int(value.as_int().expect("an integer")),
        Kind::Bytes => out.bytes(value.as_bytes().expect("a string")),
        Kind::List => {
            out.list(|list| value.as_list().expect("a list").iter().for_each(|item| encode(item, list)))
        }
        Kind::Dict => out.dict(|dict| {
            for (key, value) in value.as_dict().expect("a dictionary") {
                dict.entry(key, |encoder| encode(value, encoder));
            }
        }),
    }
}

/// Every value has its kind's getter, lies within its parent, and is found by its key.
fn walk(value: Value<'_>, source: &[u8], depth: usize) {
    assert!(depth <= Limits::TORRENT.depth);
    assert_eq!(source.get(value.span()), Some(value.raw()));
    let getters = [
        value.as_int().is_some(),
        value.as_bytes().is_some(),
        value.as_list().is_some(),
        value.as_dict().is_some(),
    ];
    assert_eq!(getters.iter().filter(|has| **has).count(), 1);
    let inside = |child: Value<'_>| {
        assert!(value.span().start < child.span().start && child.span().end < value.span().end);
        walk(child, source, depth + 1);
    };
    value.as_list().into_iter().flatten().for_each(inside);
    for (index, (key, child)) in value.as_dict().into_iter().flatten().enumerate() {
        inside(child);
        // A look-up takes linear time.
        if index < 16 {
            assert!(value.get(key).is_some());
        }
    }
}

/// 68 bytes with the right start, or nothing.
pub fn handshake(bytes: &[u8]) -> Outcome {
    let decoded = Handshake::decode(bytes);
    if let Ok(handshake) = &decoded {
        assert_eq!(handshake.encode(), bytes);
    }
    Outcome::of(&decoded)
}

/// A message that is not ignored encodes to the same bytes.
pub fn peer_message(frame: &[u8]) -> Outcome {
    let decoded = Message::decode(frame);
    if let Ok(message) = &decoded
        && !matches!(message, Message::Unknown(_))
    {
        let mut out = Vec::new();
        message.encode(&mut out);
        assert_eq!(out.get(4..), Some(frame));
    }
    Outcome::of(&decoded)
}

/// A stream in one read and byte by byte gives the same frames; what is not consumed is less than
/// what the splitter still wants.
pub fn frame_splitter(stream: &[u8]) -> Outcome {
    let (whole, error) = split(stream, stream.len().max(1));
    let (parts, parts_error) = split(stream, 1 + stream.len() % 23);
    assert_eq!((&whole, error), (&parts, parts_error));
    if error || whole.is_empty() { Outcome::Refused } else { Outcome::Accepted }
}

/// Frames as bytes, and whether an error ended the stream.
fn split(stream: &[u8], read_size: usize) -> (Vec<Vec<u8>>, bool) {
    let (mut splitter, mut frames, mut buf) = (Splitter::new(), Vec::new(), Vec::new());
    for read in stream.chunks(read_size) {
        buf.extend_from_slice(read);
        loop {
            let Ok(next) = splitter.next(&buf) else { return (frames, true) };
            let Some((frame, consumed)) = next else { break };
            let range = match frame {
                Frame::Handshake(range) | Frame::Message(range) => range,
                Frame::Block { block, data } => {
                    assert_eq!(block.len as usize, data.len());
                    assert!((1..=16 * 1024).contains(&block.len));
                    data
                }
            };
            frames.push(buf.get(range).expect("within the buffer").to_vec());
            buf.drain(..consumed);
        }
        assert!(buf.len() < splitter.wanted() && splitter.wanted() <= FRAME_LEN_MAX);
    }
    (frames, false)
}

/// Any message of the extension protocol: the first byte is its number.
pub fn extended(bytes: &[u8]) -> Outcome {
    let Some((id, payload)) = bytes.split_first() else { return Outcome::Refused };
    let decoded = extension::decode(id % 9, payload);
    if let Ok(Extended::DontHave(piece)) = decoded {
        assert_eq!(extension::encode_dont_have(piece), payload);
    }
    Outcome::of(&decoded)
}

/// What is accepted can be sent and read again.
pub fn extension_handshake(payload: &[u8]) -> Outcome {
    let decoded = ExtensionHandshake::decode(payload);
    if let Ok(handshake) = &decoded {
        assert_eq!(ExtensionHandshake::decode(&handshake.encode()).as_ref(), Ok(handshake));
        assert_ne!((handshake.port, handshake.reqq), (Some(0), Some(0)));
    }
    Outcome::of(&decoded)
}

/// Round trip; a piece has at most 16 KiB.
pub fn ut_metadata(payload: &[u8]) -> Outcome {
    let decoded = MetadataMessage::decode(payload);
    if let Ok(message) = &decoded {
        assert_eq!(MetadataMessage::decode(&message.encode()).as_ref(), Ok(message));
        assert!(!matches!(message, MetadataMessage::Data { bytes, .. } if bytes.len() > 16 * 1024));
    }
    Outcome::of(&decoded)
}

/// Round trip up to the order of families; bounded.
pub fn ut_pex(payload: &[u8]) -> Outcome {
    let decoded = Pex::decode(payload);
    if let Ok(pex) = &decoded {
        assert!(pex.added.len() <= PEX_PEERS_MAX && pex.dropped.len() <= PEX_PEERS_MAX);
        let mut expected = pex.clone();
        expected.added.sort_by_key(|peer| peer.addr.is_ipv6());
        expected.dropped.sort_by_key(|addr| addr.is_ipv6());
        assert_eq!(Pex::decode(&pex.encode()), Ok(expected));
    }
    Outcome::of(&decoded)
}

/// Round trip.
pub fn ut_holepunch(payload: &[u8]) -> Outcome {
    let decoded = Holepunch::decode(payload);
    if let Ok(message) = decoded
        && message != Holepunch::Unknown
    {
        assert_eq!(Holepunch::decode(&message.encode()), Ok(message));
    }
    Outcome::of(&decoded)
}

/// What a connection begins with is told once and for all, by its first 20 bytes at most.
pub fn start(stream: &[u8]) -> Outcome {
    let mut told = Start::Unknown;
    for len in 0..=stream.len().min(64) {
        let now = peerage_wire::start::start(&stream[..len]);
        assert!(told == Start::Unknown || told == now, "{told:?} became {now:?}");
        assert!(now != Start::Unknown || len < 20);
        told = now;
    }
    if matches!(told, Start::Plain | Start::Tls) { Outcome::Accepted } else { Outcome::Refused }
}

fn bounded(interval: Duration) -> bool {
    (INTERVAL_MIN..=INTERVAL_MAX).contains(&interval)
}

fn harmless(text: &str) -> bool {
    text.chars().count() <= TEXT_CHARS_MAX && !text.chars().any(char::is_control)
}

/// Bounded in everything; what is accepted can be answered by our own tracker and read again.
pub fn tracker_announce_reply(body: &[u8]) -> Outcome {
    let decoded = http::parse_announce_reply(body);
    match &decoded {
        Ok(reply) => {
            assert!(bounded(reply.interval) && reply.min_interval.is_none_or(bounded));
            assert!(reply.peers.len() <= TRACKER_PEERS_MAX);
            assert!(reply.warning.as_deref().is_none_or(harmless));
            for compact in [true, false] {
                let again = http::parse_announce_reply(&http::encode_announce_reply(reply, compact));
                let mut again = again.expect("our own reply");
                let mut expected = reply.clone();
                again.peers.sort();
                expected.peers.sort();
                // A scope or flow of an IPv6 address has no place in a reply, nor does it come from one.
                assert_eq!(again, expected);
            }
        }
        Err(ReplyError::Failure { reason, .. }) => assert!(harmless(reason)),
        Err(_) => {}
    }
    Outcome::of(&decoded)
}

/// At most as many swarms as may be asked for.
pub fn tracker_scrape_reply(body: &[u8]) -> Outcome {
    let decoded = http::parse_scrape_reply(body);
    assert!(decoded.as_ref().is_ok_and(|entries| entries.len() <= SCRAPE_HASHES_MAX) || decoded.is_err());
    Outcome::of(&decoded)
}

/// What our tracker reads, our client writes.
pub fn tracker_announce_query(bytes: &[u8]) -> Outcome {
    let Ok(query) = str::from_utf8(bytes) else { return Outcome::Refused };
    let decoded = http::parse_announce_query(query);
    if let Ok(query) = &decoded {
        let mut expected = query.request.clone();
        expected.left = expected.left.min(i64::MAX as u64);
        let again = http::parse_announce_query(&http::announce_query(&query.request));
        assert_eq!(again.map(|query| query.request), Ok(expected));
    }
    Outcome::of(&decoded)
}

/// What our tracker reads, our client writes.
pub fn tracker_scrape_query(bytes: &[u8]) -> Outcome {
    let Ok(query) = str::from_utf8(bytes) else { return Outcome::Refused };
    let decoded = http::parse_scrape_query(query);
    if let Ok(hashes) = &decoded {
        assert!((1..=SCRAPE_HASHES_MAX).contains(&hashes.len()));
        assert_eq!(http::parse_scrape_query(&http::scrape_query(hashes)).as_ref(), Ok(hashes));
    }
    Outcome::of(&decoded)
}

/// A scrape URL differs from the announce URL only by the one word.
pub fn tracker_url(bytes: &[u8]) -> Outcome {
    let Ok(url) = str::from_utf8(bytes) else { return Outcome::Refused };
    assert!(http::append_query(url, "a=1").ends_with("a=1"));
    let Some(scrape) = http::scrape_url(url) else { return Outcome::Refused };
    assert_eq!(scrape.len() + 2, url.len());
    Outcome::Accepted
}

/// What our tracker accepts, our client could have written, but for options it does not use.
pub fn udp_tracker_request(packet: &[u8]) -> Outcome {
    let decoded = Request::decode(packet);
    if let Ok(request) = &decoded {
        let mut expected = request.clone();
        if let Request::Announce { request, .. } = &mut expected {
            request.left = request.left.min(i64::MAX as u64);
        }
        assert_eq!(Request::decode(&request.encode()), Ok(expected));
    }
    Outcome::of(&decoded)
}

/// Bounded; the family is the last byte's lowest bit.
pub fn udp_tracker_reply(bytes: &[u8]) -> Outcome {
    let Some((family, packet)) = bytes.split_last() else { return Outcome::Refused };
    let family = if family & 1 == 0 { Family::V4 } else { Family::V6 };
    let decoded = Reply::decode(packet, family);
    match &decoded {
        Ok(Reply::Announce { reply, .. }) => {
            assert!(bounded(reply.interval) && reply.peers.len() <= TRACKER_PEERS_MAX);
        }
        Ok(Reply::Scrape { entries, .. }) => assert!(entries.len() <= SCRAPE_HASHES_MAX),
        Ok(Reply::Error { message, .. }) => assert!(harmless(message)),
        Ok(Reply::Connect { .. }) | Err(_) => {}
    }
    Outcome::of(&decoded)
}

/// What is read can be written, and is the same when read again; only what looks like STUN is read.
pub fn stun(packet: &[u8]) -> Outcome {
    let decoded = Stun::decode(packet);
    if let Ok(message) = &decoded {
        assert!(stun::is_stun(packet));
        assert_eq!(Stun::decode(&message.encode()), Ok(*message));
    }
    Outcome::of(&decoded)
}

/// There is one encoding: what is read is written again as the same bytes.
pub fn overlay_frame(packet: &[u8]) -> Outcome {
    let decoded = overlay::Frame::decode(packet);
    if let Ok(frame) = &decoded {
        assert_eq!(frame.encode(), packet);
    }
    Outcome::of(&decoded)
}

/// Nothing that steers a terminal comes out, and no more than asked for.
pub fn printable(bytes: &[u8]) -> Outcome {
    let (first, rest) = bytes.split_first().unwrap_or((&0, &[]));
    let text = text::printable(rest, usize::from(*first));
    assert!(text.chars().count() <= usize::from(*first) && !text.chars().any(char::is_control));
    assert_eq!(text::printable(text.as_bytes(), usize::from(*first)), text);
    if text.contains(char::REPLACEMENT_CHARACTER) { Outcome::Refused } else { Outcome::Accepted }
}

/// Both sides of an encrypted start, with bytes between them changed: four bytes of the input each name
/// the direction, the place and what is flipped there; the first byte is the size of the chunks. Whatever
/// comes: both agree, or one says why not.
pub fn mse(bytes: &[u8]) -> Outcome {
    let (chunk, edits) = bytes.split_first().map_or((1, bytes), |(chunk, edits)| (*chunk, edits));
    let edits: Vec<(bool, usize, u8)> = edits
        .chunks_exact(4)
        .map(|edit| (edit[0] & 1 == 0, usize::from(u16::from_be_bytes([edit[1], edit[2]])), edit[3]))
        .collect();
    let mut rng = Rng::from_number(u64::from(chunk));
    let (mut opener, first) = Opener::new([7; 20], Methods::PlainFirst, b"early".to_vec(), rng.fork());
    let mut listener = Listener::new(vec![[6; 20], [7; 20]], Methods::Rc4First, rng.fork());
    let (mut opened, mut listened): (Option<Established>, Option<Established>) = (None, None);
    let (mut to_listener, mut to_opener) = (first, Vec::new());
    let (mut seen_listener, mut seen_opener) = (0, 0);
    let len = usize::from(chunk).max(1) * 8;
    while !to_listener.is_empty() || !to_opener.is_empty() {
        let part = edited(&mut to_listener, len, &mut seen_listener, &edits, true);
        if listened.is_none() {
            match listener.receive(&part) {
                Ok(Progress::Send(out)) => to_opener.extend(out),
                Ok(Progress::Done(out, done)) => {
                    to_opener.extend(out);
                    listened = Some(done);
                }
                Err(_) => return Outcome::Refused,
            }
        }
        let part = edited(&mut to_opener, len, &mut seen_opener, &edits, false);
        if opened.is_none() {
            match opener.receive(&part) {
                Ok(Progress::Send(out)) => to_listener.extend(out),
                Ok(Progress::Done(out, done)) => {
                    to_listener.extend(out);
                    opened = Some(done);
                }
                Err(_) => return Outcome::Refused,
            }
        }
    }
    match (opened, listened) {
        (Some(opened), Some(listened)) => {
            assert_eq!(listened.info_hash, [7; 20]);
            assert!(!edits.is_empty() || opened.method == listened.method);
            assert!(!edits.is_empty() || listened.early == b"early");
            Outcome::Accepted
        }
        _ => Outcome::Refused,
    }
}

fn edited(
    from: &mut Vec<u8>,
    len: usize,
    seen: &mut usize,
    edits: &[(bool, usize, u8)],
    to_listener: bool,
) -> Vec<u8> {
    let mut part: Vec<u8> = from.drain(..len.min(from.len())).collect();
    for (of_listener, at, flip) in edits {
        if *of_listener == to_listener
            && let Some(byte) = at.checked_sub(*seen).and_then(|at| part.get_mut(at))
        {
            *byte ^= flip;
        }
    }
    *seen += part.len();
    part
}

/// What is read is bounded, and written again it is read as the same message, in canonical form.
pub fn krpc(bytes: &[u8]) -> Outcome {
    let decoded = krpc::decode(bytes);
    assert!(bytes.len() <= KRPC_BYTES_MAX || decoded.is_err());
    match &decoded {
        Ok(message) => {
            assert!(message.transaction.len() <= KRPC_TRANSACTION_BYTES_MAX);
            if let Body::Response(reply) = &message.body {
                assert!(reply.nodes.len() <= 2 * KRPC_NODES_MAX && reply.values.len() <= KRPC_VALUES_MAX);
                assert!(reply.samples.iter().all(|samples| samples.hashes.len() <= KRPC_SAMPLES_MAX));
            }
            let written = message.encode();
            // Numbers and unusual forms may grow a packet beyond what is read; such are rare.
            if written.len() <= KRPC_BYTES_MAX {
                assert_eq!(krpc::decode(&written).as_ref(), Ok(message));
            }
        }
        Err(DecodeError::BadQuery { transaction, .. }) => {
            assert!(transaction.len() <= KRPC_TRANSACTION_BYTES_MAX);
        }
        Err(_) => {}
    }
    Outcome::of(&decoded)
}

/// Bounded; what is accepted can be sent and read again.
pub fn lsd(datagram: &[u8]) -> Outcome {
    let decoded = Announce::decode(datagram);
    if let Ok(announce) = &decoded {
        assert!(announce.port != 0 && datagram.len() <= LSD_BYTES_MAX);
        assert!((1..=LSD_HASHES_MAX).contains(&announce.info_hashes.len()));
        let written = announce.encode(lsd::GROUP_V6.into());
        assert!(written.len() <= LSD_BYTES_MAX);
        assert_eq!(Announce::decode(&written).as_ref(), Ok(announce));
    }
    Outcome::of(&decoded)
}

/// A frame has one form; lists and payloads are bounded.
pub fn gossip(bytes: &[u8]) -> Outcome {
    let decoded = GossipFrame::decode(bytes);
    if let Ok(frame) = &decoded {
        assert!(bytes.len() <= GOSSIP_FRAME_BYTES_MAX);
        assert_eq!(frame.encode(), bytes);
        match &frame.message {
            Gossip::Membership(
                Membership::Shuffle { members, .. } | Membership::ShuffleReply { members },
            ) => {
                assert!(members.len() <= GOSSIP_MEMBERS_MAX);
            }
            Gossip::Broadcast(Broadcast::IHave { messages }) => assert!(messages.len() <= GOSSIP_IHAVES_MAX),
            Gossip::Liveness(liveness) => assert!(liveness.updates.len() <= SWIM_UPDATES_MAX),
            _ => {}
        }
    }
    Outcome::of(&decoded)
}

/// What is accepted is finite and within bounds, and has one form.
pub fn coordinates(bytes: &[u8]) -> Outcome {
    let decoded = Coordinates::decode(bytes);
    if let Ok(place) = &decoded {
        assert_eq!(place.encode(), bytes);
        let (x, y, height) = place.place();
        assert!([x, y, height, place.error()].iter().all(|number| number.abs() <= COORDINATE_MS_MAX.into()));
    }
    Outcome::of(&decoded)
}

/// Known fields encode to the same bytes, but for extensions that are skipped.
pub fn utp(datagram: &[u8]) -> Outcome {
    let decoded = utp::Packet::decode(datagram);
    if let Ok(packet) = &decoded {
        let mut out = Vec::new();
        let bits = packet.selective_ack.map_or(&[][..], |ack| ack.bytes());
        packet.header.encode(bits, &mut out);
        out.extend_from_slice(packet.payload);
        assert_eq!(utp::Packet::decode(&out), Ok(*packet));
        assert!(out.len() <= datagram.len());
    }
    Outcome::of(&decoded)
}
