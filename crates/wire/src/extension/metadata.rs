//! The info dictionary from peers (BEP 9).

use super::Error;
use crate::bencode::{self, Encoder, Limits};
use peerage_base::limits::METADATA_PIECE_LEN;

/// A message of `ut_metadata`. Sizes are as the peer claims them: the swarm judges them against
/// what it knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MetadataMessage {
    /// `msg_type` 0: asks for a piece of 16 KiB.
    Request {
        /// Index of the piece.
        piece: u32,
    },
    /// `msg_type` 1: a piece.
    Data {
        /// Index of the piece.
        piece: u32,
        /// Bytes of the whole info dictionary.
        total_size: u32,
        /// The piece: at most 16 KiB.
        bytes: Vec<u8>,
    },
    /// `msg_type` 2: the sender does not have it, or does not give it.
    Reject {
        /// Index of the piece.
        piece: u32,
    },
    /// Any other `msg_type`: to be ignored (BEP 9).
    Unknown,
}

/// The dictionary has three small integers; slack for others.
const LIMITS: Limits = Limits { depth: 8, tokens: 64, bytes: METADATA_PIECE_LEN + 1024, strict: false };

impl MetadataMessage {
    /// Reads a payload.
    ///
    /// # Errors
    /// Not bencode, a number missing or out of range, or more than 16 KiB of data.
    pub fn decode(payload: &[u8]) -> Result<Self, Error> {
        let (document, rest) = bencode::decode_prefix(payload, LIMITS)?;
        let dict = document.root().as_dict().ok_or(Error::NotADict)?;
        let number = |key: &'static str| {
            let number = dict.uint(key.as_bytes()).and_then(|number| u32::try_from(number).ok());
            number.ok_or(Error::Field(key))
        };
        match dict.int(b"msg_type").ok_or(Error::Field("msg_type"))? {
            0 => Ok(Self::Request { piece: number("piece")? }),
            1 if rest.len() > METADATA_PIECE_LEN => Err(Error::Length),
            1 => Ok(Self::Data {
                piece: number("piece")?,
                total_size: number("total_size")?,
                bytes: rest.to_vec(),
            }),
            2 => Ok(Self::Reject { piece: number("piece")? }),
            _ => Ok(Self::Unknown),
        }
    }

    /// The payload. [`MetadataMessage::Unknown`] gives a message that every peer ignores.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let (kind, piece, total_size) = match self {
            Self::Request { piece } => (0, *piece, None),
            Self::Data { piece, total_size, .. } => (1, *piece, Some(*total_size)),
            Self::Reject { piece } => (2, *piece, None),
            Self::Unknown => (3, 0, None),
        };
        let mut encoder = Encoder::new();
        encoder.dict(|dict| {
            dict.int(b"msg_type", kind);
            dict.uint(b"piece", u64::from(piece));
            total_size.inspect(|size| dict.uint(b"total_size", u64::from(*size)));
        });
        let mut payload = encoder.finish();
        if let Self::Data { bytes, .. } = self {
            payload.extend_from_slice(bytes);
        }
        payload
    }
}
