//! Frames of the search overlays: Chord, Pastry, flooding, random walks, superpeers, Gia.
//!
//! ```text
//! | version: u8 = 1 | protocol: u8 | kind: u8 | fields of that kind |          big-endian
//! ```
//!
//! One frame is one datagram, or one length-prefixed part of a stream. A field has the same form wherever it
//! stands: numbers big-endian; a key as its 20 bytes; an address as `4` or `6`, the IP address and the port; a
//! node as key and address; a list as its count in one byte and its items; an option as `0` or `1` and the value.
//! There is one encoding of each message, and nothing may follow it. Each protocol's messages are in its module.
//!
//! The transport must have proven the sender's address (TCP, QUIC): answers can be longer than questions.

#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::unwrap_used)]

pub mod chord;
mod codec;
pub mod flooding;
pub mod gia;
pub mod link;
pub mod pastry;
pub mod superpeer;
pub mod walk;

pub use crate::krpc::{Id, Node};

use crate::read::Reader;
use peerage_base::limits::OVERLAY_FRAME_BYTES_MAX;

/// The version that is spoken. Another one is refused as a whole.
pub const VERSION: u8 = 1;

/// One frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Frame {
    /// Of a Chord ring.
    Chord(chord::Message),
    /// Of a Pastry ring.
    Pastry(pastry::Message),
    /// Between neighbours of an unstructured overlay, whatever they search by.
    Link(link::Message),
    /// A flooded search.
    Flooding(flooding::Message),
    /// A random walk.
    Walk(walk::Message),
    /// Between superpeers and their leaves.
    Superpeer(superpeer::Message),
    /// A biased walk with flow control.
    Gia(gia::Message),
}

/// Why bytes are no frame. The sender is at fault; nothing of the frame is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// Longer than [`OVERLAY_FRAME_BYTES_MAX`].
    #[error("an overlay frame of {0} bytes is too long")]
    TooLong(usize),
    /// Another version than [`VERSION`].
    #[error("an overlay frame of version {0}, which is not spoken here")]
    Version(u8),
    /// A protocol number that nobody has.
    #[error("an overlay frame of an unknown protocol, {0}")]
    Protocol(u8),
    /// An unknown kind, a field out of range, too few bytes or too many.
    #[error("a malformed overlay frame")]
    Malformed,
}

macro_rules! protocols {
    ($($number:literal => $name:ident $module:ident),* $(,)?) => {
        impl Frame {
            /// The bytes of the frame. Lists longer than their maximum lose their end.
            #[must_use]
            pub fn encode(&self) -> Vec<u8> {
                let mut out = Vec::with_capacity(64);
                out.push(VERSION);
                match self {
                    $(Self::$name(message) => { out.push($number); message.put(&mut out); })*
                }
                out
            }

            /// Reads one frame, which takes all of `bytes`.
            ///
            /// # Errors
            /// See [`DecodeError`].
            pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
                if bytes.len() > OVERLAY_FRAME_BYTES_MAX {
                    return Err(DecodeError::TooLong(bytes.len()));
                }
                let mut reader = Reader::new(bytes);
                let version = reader.u8().ok_or(DecodeError::Malformed)?;
                if version != VERSION {
                    return Err(DecodeError::Version(version));
                }
                let protocol = reader.u8().ok_or(DecodeError::Malformed)?;
                let frame = match protocol {
                    $($number => $module::Message::take(&mut reader).map(Self::$name),)*
                    _ => return Err(DecodeError::Protocol(protocol)),
                };
                frame.filter(|_| reader.is_empty()).ok_or(DecodeError::Malformed)
            }
        }
    };
}

protocols! {
    1 => Chord chord,
    2 => Pastry pastry,
    3 => Link link,
    4 => Flooding flooding,
    5 => Walk walk,
    6 => Superpeer superpeer,
    7 => Gia gia,
}

#[cfg(test)]
mod tests;
