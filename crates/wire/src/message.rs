//! Messages of the peer wire after the handshake: BEP 3, 5 (port), 6 (fast), 10 (extended) and
//! 52 (hashes).
//!
//! ```text
//! | length: u32 | id: u8 | payload |        big-endian; length 0 is a keep-alive
//! ```
//!
//! `piece` (id 7) is not a [`Message`]: its payload is bulk data, which [`crate::frame`] leaves in
//! the receive buffer and [`piece_header`] begins on the way out.

#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::unwrap_used)]

use crate::read::Reader;
use peerage_base::limits::{BLOCK_LEN, MESSAGE_BYTES_MAX, PIECES_MAX};

/// Bytes before the data of a `piece` message: length, id, piece, begin.
pub const PIECE_HEADER_LEN: usize = 13;

/// Hashes that one `hashes` message may carry: libtorrent asks for at most 512 and their proof;
/// some slack for others.
pub const HASHES_MAX: u32 = 8192;

/// A byte range of one piece: what is requested and transferred.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Block {
    /// Index of the piece.
    pub piece: u32,
    /// First byte within the piece.
    pub begin: u32,
    /// Bytes.
    pub len: u32,
}

/// Which hashes of a file's Merkle tree are asked for (BEP 52).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HashRequest {
    /// Root of the file's tree.
    pub root: [u8; 32],
    /// Layer of the hashes: 0 holds the leaves of 16 KiB.
    pub base_layer: u32,
    /// Index of the first hash within the layer.
    pub index: u32,
    /// Number of hashes: a power of two, at least 2.
    pub length: u32,
    /// Layers of proof wanted above the base layer.
    pub proof_layers: u32,
}

/// One message, owned. `piece` is missing on purpose, see the module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// Length 0: only shows that the sender lives.
    KeepAlive,
    /// Id 0: the sender serves no requests.
    Choke,
    /// Id 1: the sender serves requests.
    Unchoke,
    /// Id 2: the sender wants something we have.
    Interested,
    /// Id 3: the sender wants nothing we have.
    NotInterested,
    /// Id 4: the sender has this piece now.
    Have(u32),
    /// Id 5: the pieces the sender has, high bit first. Spare bits are not checked here, since the
    /// number of pieces is not known here.
    Bitfield(Vec<u8>),
    /// Id 6: asks for a block.
    Request(Block),
    /// Id 8: takes a request back.
    Cancel(Block),
    /// Id 9: UDP port of the sender's DHT node (BEP 5).
    Port(u16),
    /// Id 13: suggests a piece (BEP 6).
    Suggest(u32),
    /// Id 14: the sender has every piece (BEP 6).
    HaveAll,
    /// Id 15: the sender has no piece (BEP 6).
    HaveNone,
    /// Id 16: a request will not be served (BEP 6).
    Reject(Block),
    /// Id 17: this piece may be requested while choked (BEP 6).
    AllowedFast(u32),
    /// Id 20: a message of the extension protocol (BEP 10); id 0 is its handshake. See
    /// [`crate::extension`].
    Extended {
        /// The number that the receiver gave to the extension.
        id: u8,
        /// The extension's own bytes.
        payload: Vec<u8>,
    },
    /// Id 21: asks for hashes (BEP 52).
    HashRequest(HashRequest),
    /// Id 22: hashes, base layer first, then proof (BEP 52).
    Hashes {
        /// The request this answers.
        request: HashRequest,
        /// The hashes.
        hashes: Vec<[u8; 32]>,
    },
    /// Id 23: a hash request will not be served (BEP 52).
    HashReject(HashRequest),
    /// Any other id: to be ignored. Its payload is not kept, and it is never sent.
    Unknown(u8),
}

/// Why bytes are not a message. Every one is a reason to disconnect.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The payload does not have the length which its id demands.
    #[error("message {id} with a length of {len} bytes")]
    Length {
        /// The message's id.
        id: u8,
        /// Its length, id included.
        len: usize,
    },
    /// A `piece` message, which only the splitter handles.
    #[error("a piece message where a control message was expected")]
    Piece,
}

/// Numbers of the messages on the wire.
pub(crate) mod id {
    pub(crate) const CHOKE: u8 = 0;
    pub(crate) const UNCHOKE: u8 = 1;
    pub(crate) const INTERESTED: u8 = 2;
    pub(crate) const NOT_INTERESTED: u8 = 3;
    pub(crate) const HAVE: u8 = 4;
    pub(crate) const BITFIELD: u8 = 5;
    pub(crate) const REQUEST: u8 = 6;
    pub(crate) const PIECE: u8 = 7;
    pub(crate) const CANCEL: u8 = 8;
    pub(crate) const PORT: u8 = 9;
    pub(crate) const SUGGEST: u8 = 13;
    pub(crate) const HAVE_ALL: u8 = 14;
    pub(crate) const HAVE_NONE: u8 = 15;
    pub(crate) const REJECT: u8 = 16;
    pub(crate) const ALLOWED_FAST: u8 = 17;
    pub(crate) const EXTENDED: u8 = 20;
    pub(crate) const HASH_REQUEST: u8 = 21;
    pub(crate) const HASHES: u8 = 22;
    pub(crate) const HASH_REJECT: u8 = 23;
}

const HASH_REQUEST_LEN: usize = 1 + 32 + 4 * 4;

/// Bytes of an extended message. Metadata pieces (16 KiB and a dictionary) are the largest that
/// Peerage takes part in; the rest is slack for long handshakes.
const EXTENDED_LEN_MAX: usize = 256 * 1024;

/// Bytes of a message with an unknown id, which is read and ignored.
const UNKNOWN_LEN_MAX: usize = 64 * 1024;

/// The lengths, id included, that a message with this id may have: smallest and largest. The
/// splitter refuses others when it has five bytes of them, before it buffers the rest.
pub(crate) fn length_range(id: u8) -> (usize, usize) {
    let (min, max) = match id {
        id::CHOKE | id::UNCHOKE | id::INTERESTED | id::NOT_INTERESTED | id::HAVE_ALL | id::HAVE_NONE => {
            (1, 1)
        }
        id::HAVE | id::SUGGEST | id::ALLOWED_FAST => (5, 5),
        id::PORT => (3, 3),
        id::REQUEST | id::CANCEL | id::REJECT => (13, 13),
        // Clients refuse longer blocks, and an empty one answers no request.
        id::PIECE => (10, (BLOCK_LEN as usize).saturating_add(9)),
        id::BITFIELD => (1, (PIECES_MAX as usize).div_ceil(8).saturating_add(1)),
        id::EXTENDED => (2, EXTENDED_LEN_MAX),
        id::HASH_REQUEST | id::HASH_REJECT => (HASH_REQUEST_LEN, HASH_REQUEST_LEN),
        id::HASHES => {
            (HASH_REQUEST_LEN, (HASHES_MAX as usize).saturating_mul(32).saturating_add(HASH_REQUEST_LEN))
        }
        _ => (1, UNKNOWN_LEN_MAX),
    };
    (min, if max < MESSAGE_BYTES_MAX { max } else { MESSAGE_BYTES_MAX })
}

impl Message {
    /// Reads one message: id and payload, without the length prefix. Empty is a keep-alive.
    ///
    /// # Errors
    /// A length that does not fit the id; `piece`.
    pub fn decode(frame: &[u8]) -> Result<Self, Error> {
        let Some((&id, payload)) = frame.split_first() else {
            return Ok(Self::KeepAlive);
        };
        if id == id::PIECE {
            return Err(Error::Piece);
        }
        let wrong = Error::Length { id, len: frame.len() };
        let (min, max) = length_range(id);
        if frame.len() < min || frame.len() > max {
            return Err(wrong);
        }
        Self::decode_payload(id, payload).ok_or(wrong)
    }

    /// `None` when the payload is too short or has bytes left over.
    fn decode_payload(id: u8, payload: &[u8]) -> Option<Self> {
        let mut reader = Reader::new(payload);
        let message = match id {
            id::CHOKE => Self::Choke,
            id::UNCHOKE => Self::Unchoke,
            id::INTERESTED => Self::Interested,
            id::NOT_INTERESTED => Self::NotInterested,
            id::HAVE => Self::Have(reader.u32()?),
            id::BITFIELD => return Some(Self::Bitfield(payload.to_vec())),
            id::REQUEST => Self::Request(block(&mut reader)?),
            id::CANCEL => Self::Cancel(block(&mut reader)?),
            id::PORT => Self::Port(reader.u16()?),
            id::SUGGEST => Self::Suggest(reader.u32()?),
            id::HAVE_ALL => Self::HaveAll,
            id::HAVE_NONE => Self::HaveNone,
            id::REJECT => Self::Reject(block(&mut reader)?),
            id::ALLOWED_FAST => Self::AllowedFast(reader.u32()?),
            id::EXTENDED => {
                return Some(Self::Extended { id: reader.u8()?, payload: reader.rest().to_vec() });
            }
            id::HASH_REQUEST => Self::HashRequest(hash_request(&mut reader)?),
            id::HASHES => {
                let request = hash_request(&mut reader)?;
                let (hashes, rest) = reader.rest().as_chunks::<32>();
                return rest.is_empty().then(|| Self::Hashes { request, hashes: hashes.to_vec() });
            }
            id::HASH_REJECT => Self::HashReject(hash_request(&mut reader)?),
            _ => return Some(Self::Unknown(id)),
        };
        reader.is_empty().then_some(message)
    }

    /// Appends the message with its length prefix. [`Message::Unknown`] appends nothing.
    pub fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::KeepAlive => out.extend_from_slice(&[0; 4]),
            Self::Choke => put(out, id::CHOKE, &[]),
            Self::Unchoke => put(out, id::UNCHOKE, &[]),
            Self::Interested => put(out, id::INTERESTED, &[]),
            Self::NotInterested => put(out, id::NOT_INTERESTED, &[]),
            Self::Have(piece) => put(out, id::HAVE, &[&piece.to_be_bytes()]),
            Self::Bitfield(bits) => put(out, id::BITFIELD, &[bits]),
            Self::Request(block) => put_block(out, id::REQUEST, *block),
            Self::Cancel(block) => put_block(out, id::CANCEL, *block),
            Self::Port(port) => put(out, id::PORT, &[&port.to_be_bytes()]),
            Self::Suggest(piece) => put(out, id::SUGGEST, &[&piece.to_be_bytes()]),
            Self::HaveAll => put(out, id::HAVE_ALL, &[]),
            Self::HaveNone => put(out, id::HAVE_NONE, &[]),
            Self::Reject(block) => put_block(out, id::REJECT, *block),
            Self::AllowedFast(piece) => put(out, id::ALLOWED_FAST, &[&piece.to_be_bytes()]),
            Self::Extended { id, payload } => put(out, id::EXTENDED, &[&[*id], payload]),
            Self::HashRequest(request) => put_hash_request(out, id::HASH_REQUEST, request, &[]),
            Self::Hashes { request, hashes } => {
                put_hash_request(out, id::HASHES, request, hashes.as_flattened());
            }
            Self::HashReject(request) => put_hash_request(out, id::HASH_REJECT, request, &[]),
            Self::Unknown(_) => {}
        }
    }
}

/// What precedes the data of `block` in a `piece` message: length, id, piece, begin.
#[must_use]
pub fn piece_header(block: Block) -> [u8; PIECE_HEADER_LEN] {
    let [l0, l1, l2, l3] = block.len.saturating_add(9).to_be_bytes();
    let [p0, p1, p2, p3] = block.piece.to_be_bytes();
    let [b0, b1, b2, b3] = block.begin.to_be_bytes();
    [l0, l1, l2, l3, id::PIECE, p0, p1, p2, p3, b0, b1, b2, b3]
}

fn block(reader: &mut Reader<'_>) -> Option<Block> {
    Some(Block { piece: reader.u32()?, begin: reader.u32()?, len: reader.u32()? })
}

fn hash_request(reader: &mut Reader<'_>) -> Option<HashRequest> {
    Some(HashRequest {
        root: reader.array()?,
        base_layer: reader.u32()?,
        index: reader.u32()?,
        length: reader.u32()?,
        proof_layers: reader.u32()?,
    })
}

fn put(out: &mut Vec<u8>, id: u8, parts: &[&[u8]]) {
    let len = parts.iter().fold(1_usize, |sum, part| sum.saturating_add(part.len()));
    // A longer one cannot be built: payloads are bounded far below 4 GiB.
    out.extend_from_slice(&u32::try_from(len).unwrap_or(u32::MAX).to_be_bytes());
    out.push(id);
    parts.iter().for_each(|part| out.extend_from_slice(part));
}

fn put_block(out: &mut Vec<u8>, id: u8, block: Block) {
    let [p0, p1, p2, p3] = block.piece.to_be_bytes();
    let [b0, b1, b2, b3] = block.begin.to_be_bytes();
    let [l0, l1, l2, l3] = block.len.to_be_bytes();
    out.extend_from_slice(&[0, 0, 0, 13, id, p0, p1, p2, p3, b0, b1, b2, b3, l0, l1, l2, l3]);
}

fn put_hash_request(out: &mut Vec<u8>, id: u8, request: &HashRequest, hashes: &[u8]) {
    let [base, index, length, proof] =
        [request.base_layer, request.index, request.length, request.proof_layers].map(u32::to_be_bytes);
    put(out, id, &[&request.root, &base, &index, &length, &proof, hashes]);
}

#[cfg(test)]
mod tests;
