//! What BEP 10 carries: the extension handshake, metadata (BEP 9), peer exchange (BEP 11),
//! upload-only (BEP 21), don't-have (BEP 54) and hole punching (BEP 55).
//!
//! Each side gives its own numbers to the extensions it understands, in its handshake's `m`. So a
//! message that arrives has one of **our** numbers, [`LOCAL_IDS`]; one that we send has **theirs**,
//! [`Handshake::ids`]:
//!
//! ```
//! use peerage_wire::Message;
//! use peerage_wire::extension::{self, Extended, Handshake, LOCAL_IDS, MetadataMessage};
//! let ours = Handshake { ids: LOCAL_IDS, reqq: Some(500), ..Handshake::default() };
//! let message = Message::Extended { id: extension::HANDSHAKE_ID, payload: ours.encode() };
//! // ... the peer's handshake arrives and gives ut_metadata the number 3:
//! let Ok(Extended::Handshake(theirs)) = extension::decode(0, b"d1:md11:ut_metadatai3eee") else { panic!() };
//! let request = MetadataMessage::Request { piece: 0 }.encode();
//! let message = Message::Extended { id: theirs.ids.metadata.unwrap(), payload: request };
//! ```

#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::unwrap_used)]

mod handshake;
mod holepunch;
mod metadata;
mod pex;

pub use handshake::{Handshake, Ids};
pub use holepunch::{Holepunch, HolepunchError};
pub use metadata::MetadataMessage;
pub use pex::{Pex, PexPeer, flags};

use crate::bencode;

/// The number of the extension handshake itself.
pub const HANDSHAKE_ID: u8 = 0;

/// The numbers under which peers address our extensions.
pub const LOCAL_IDS: Ids =
    Ids { pex: Some(1), metadata: Some(2), upload_only: Some(3), holepunch: Some(4), dont_have: Some(7) };

/// A message of the extension protocol that a peer sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Extended {
    /// The extension handshake. It may come again, and then changes what it names (BEP 10).
    Handshake(Box<Handshake>),
    /// A part of the info dictionary, or a request for one (BEP 9).
    Metadata(MetadataMessage),
    /// Peers that the sender came to know or lost (BEP 11).
    Pex(Pex),
    /// Whether the sender only uploads now (BEP 21, as libtorrent sends it: one byte).
    UploadOnly(bool),
    /// The sender does not have this piece any more (BEP 54).
    DontHave(u32),
    /// Peers introduce others (BEP 55).
    Holepunch(Holepunch),
    /// A number that we did not give: to be ignored.
    Unknown(u8),
}

/// Why a payload is not what its number says. A reason to disconnect.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Not bencode.
    #[error("extension message: {0}")]
    Bencode(#[from] bencode::Error),
    /// Not a dictionary.
    #[error("extension message is not a dictionary")]
    NotADict,
    /// A key which the message needs is missing or has a value of the wrong kind or range.
    #[error("extension message without a valid \"{0}\"")]
    Field(&'static str),
    /// A payload of the wrong length.
    #[error("extension message of the wrong length")]
    Length,
}

/// Reads the payload of [`crate::Message::Extended`]; `id` is one of [`LOCAL_IDS`].
///
/// # Errors
/// See [`Error`].
pub fn decode(id: u8, payload: &[u8]) -> Result<Extended, Error> {
    let is = |local: Option<u8>| local == Some(id);
    if id == HANDSHAKE_ID {
        Handshake::decode(payload).map(|handshake| Extended::Handshake(Box::new(handshake)))
    } else if is(LOCAL_IDS.metadata) {
        MetadataMessage::decode(payload).map(Extended::Metadata)
    } else if is(LOCAL_IDS.pex) {
        Pex::decode(payload).map(Extended::Pex)
    } else if is(LOCAL_IDS.upload_only) {
        let [byte] = payload else {
            return Err(Error::Length);
        };
        Ok(Extended::UploadOnly(*byte != 0))
    } else if is(LOCAL_IDS.dont_have) {
        let piece = payload.try_into().map_err(|_| Error::Length)?;
        Ok(Extended::DontHave(u32::from_be_bytes(piece)))
    } else if is(LOCAL_IDS.holepunch) {
        Holepunch::decode(payload).map(Extended::Holepunch)
    } else {
        Ok(Extended::Unknown(id))
    }
}

/// The payload of an upload-only message.
#[must_use]
pub fn encode_upload_only(upload_only: bool) -> Vec<u8> {
    vec![u8::from(upload_only)]
}

/// The payload of a don't-have message.
#[must_use]
pub fn encode_dont_have(piece: u32) -> Vec<u8> {
    piece.to_be_bytes().to_vec()
}

#[cfg(test)]
mod tests;
