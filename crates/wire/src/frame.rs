//! Splits a receive buffer into frames without copying: the hot path of every download.
//!
//! The driver owns one contiguous buffer per connection. It reads from the socket behind what is
//! there, asks [`Splitter::next`] until that gives `None`, and drops what was consumed:
//!
//! ```
//! use peerage_wire::frame::{Frame, Splitter};
//! # use peerage_wire::{Block, Handshake, Message};
//! # let mut received = Handshake::new([1; 20], [2; 20]).encode().to_vec();
//! # Message::Have(7).encode(&mut received);
//! let mut splitter = Splitter::new();
//! let mut at = 0;
//! while let Some((frame, consumed)) = splitter.next(&received[at..]).unwrap() {
//!     match frame {
//!         Frame::Handshake(range) => { let _bytes = &received[at..][range]; }
//!         Frame::Message(range) => { let _bytes = &received[at..][range]; }
//!         Frame::Block { block, data } => { let _payload = (block, &received[at..][data]); }
//!     }
//!     at += consumed;
//! }
//! assert_eq!(at, received.len());
//! ```
//!
//! **Bounds.** A frame is judged by its first five bytes, before the rest is buffered: each kind of
//! message has its own largest length, at most 256 KiB and `hashes`, far below
//! [`peerage_base::limits::MESSAGE_BYTES_MAX`]. So a hostile prefix of `0xFFFF_FFFF` ends the
//! connection at once, and a buffer of [`FRAME_LEN_MAX`] bytes always suffices.

#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::unwrap_used)]

use crate::handshake::{self, HANDSHAKE_LEN, check_protocol};
use crate::message::{Block, PIECE_HEADER_LEN, id, length_range};
use core::ops::Range;
use peerage_base::limits::MESSAGE_BYTES_MAX;

/// Bytes of the longest frame that is accepted, its length prefix included: a full `hashes`.
pub const FRAME_LEN_MAX: usize = 4 + 49 + 32 * crate::message::HASHES_MAX as usize;

const PREFIX_LEN: usize = 4;

/// A whole frame; ranges count from the start of the buffer that was given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Frame {
    /// The 68 bytes for [`crate::Handshake::decode`].
    Handshake(Range<usize>),
    /// Id and payload, without the length prefix, for [`crate::Message::decode`]. Empty is a
    /// keep-alive. Never a `piece`.
    Message(Range<usize>),
    /// A `piece` message.
    Block {
        /// Which block it claims to be; `len` is that of the data, 1 to 16 KiB.
        block: Block,
        /// Where its payload is.
        data: Range<usize>,
    },
}

/// Why a stream is not the peer wire. Every one is a reason to disconnect.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The stream does not begin with a handshake.
    #[error(transparent)]
    Handshake(#[from] handshake::Error),
    /// No message is this long.
    #[error("a message with a length of {0} bytes")]
    TooLong(u32),
    /// A message with this id may not have this length.
    #[error("message {id} with a length of {len} bytes")]
    Length {
        /// The message's id.
        id: u8,
        /// The length it claims, id included.
        len: u32,
    },
}

/// Finds frames in one direction of one connection.
#[derive(Clone, Debug, Default)]
pub struct Splitter {
    past_handshake: bool,
    wanted: usize,
}

impl Splitter {
    /// For a stream from its first byte: the handshake is the first frame.
    #[must_use]
    pub fn new() -> Self {
        Self { past_handshake: false, wanted: HANDSHAKE_LEN }
    }

    /// For a stream whose handshake was read elsewhere.
    #[must_use]
    pub fn past_handshake() -> Self {
        Self { past_handshake: true, wanted: PREFIX_LEN }
    }

    /// How many bytes the buffer must hold before [`Self::next`] can say more, as far as the last
    /// call could tell. A hint for the size of a read; at most [`FRAME_LEN_MAX`].
    #[must_use]
    pub fn wanted(&self) -> usize {
        self.wanted
    }

    /// The first frame of `buf`, and how many bytes to drop from its start. `None` when more bytes
    /// are needed. `buf` must begin where the last frame ended.
    ///
    /// # Errors
    /// As soon as the bytes cannot become a frame any more; the stream is of no use then.
    #[inline]
    pub fn next(&mut self, buf: &[u8]) -> Result<Option<(Frame, usize)>, Error> {
        if !self.past_handshake {
            return self.handshake(buf);
        }
        let Some((prefix, rest)) = buf.split_first_chunk::<PREFIX_LEN>() else {
            self.wanted = PREFIX_LEN;
            return Ok(None);
        };
        let len = u32::from_be_bytes(*prefix);
        if len == 0 {
            return Ok(Some((Frame::Message(PREFIX_LEN..PREFIX_LEN), PREFIX_LEN)));
        }
        if len as usize > MESSAGE_BYTES_MAX {
            return Err(Error::TooLong(len));
        }
        let Some(&id) = rest.first() else {
            self.wanted = PREFIX_LEN.saturating_add(1);
            return Ok(None);
        };
        let (min, max) = length_range(id);
        if (len as usize) < min || len as usize > max {
            return Err(Error::Length { id, len });
        }
        let end = PREFIX_LEN.saturating_add(len as usize);
        if buf.len() < end {
            self.wanted = end;
            return Ok(None);
        }
        if id != id::PIECE {
            return Ok(Some((Frame::Message(PREFIX_LEN..end), end)));
        }
        let Some((header, _)) = buf.split_first_chunk::<PIECE_HEADER_LEN>() else {
            return Ok(None);
        };
        let [_, _, _, _, _, p0, p1, p2, p3, b0, b1, b2, b3] = *header;
        let block = Block {
            piece: u32::from_be_bytes([p0, p1, p2, p3]),
            begin: u32::from_be_bytes([b0, b1, b2, b3]),
            len: len.saturating_sub(9),
        };
        Ok(Some((Frame::Block { block, data: PIECE_HEADER_LEN..end }, end)))
    }

    fn handshake(&mut self, buf: &[u8]) -> Result<Option<(Frame, usize)>, Error> {
        check_protocol(buf)?;
        if buf.len() < HANDSHAKE_LEN {
            return Ok(None);
        }
        self.past_handshake = true;
        self.wanted = PREFIX_LEN;
        Ok(Some((Frame::Handshake(0..HANDSHAKE_LEN), HANDSHAKE_LEN)))
    }
}

#[cfg(test)]
mod tests;
