//! Packets of uTP (BEP 29): a stream over UDP that yields to other traffic.
//!
//! ```text
//! | type: 4 bits | version: 4 bits | extension: u8 | connection: u16 |
//! | timestamp: u32, microseconds                                     |
//! | timestamp difference: u32, microseconds                          |
//! | window: u32, bytes                                               |
//! | seq: u16                       | ack: u16                        |      20 bytes, big-endian
//! | next extension: u8 | length: u8 | its bytes |                           while extension is not 0
//! | payload                                                          |
//! ```

#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::unwrap_used)]

use crate::read::Reader;

/// Bytes of a packet without extensions and payload.
pub const HEADER_LEN: usize = 20;

/// Bytes of the longest selective ack that is made: the length's 8 bits, in steps of 4.
pub const SELECTIVE_ACK_BYTES_MAX: usize = 252;

/// Extensions in one packet. Two are known; more than this is nonsense that would only cost time.
pub const EXTENSIONS_MAX: usize = 8;

const VERSION: u8 = 1;
const EXTENSION_NONE: u8 = 0;
const EXTENSION_SELECTIVE_ACK: u8 = 1;

/// What a packet is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Carries payload, and takes a sequence number.
    Data,
    /// The last packet of a stream; takes a sequence number.
    Fin,
    /// Acknowledges, and takes no sequence number.
    State,
    /// The connection is over at once.
    Reset,
    /// Opens a connection; takes a sequence number.
    Syn,
}

/// The fixed part of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// What the packet is for.
    pub kind: Kind,
    /// The connection, as the receiver numbers it; a SYN carries the number of its sender.
    pub connection: u16,
    /// The sender's clock at sending, in microseconds; it wraps.
    pub timestamp: u32,
    /// The sender's clock minus the timestamp of what it received last, in microseconds; 0: nothing yet.
    pub timestamp_difference: u32,
    /// Bytes that the sender has room for, beyond what it acknowledges.
    pub window: u32,
    /// Number of this packet, or for a [`Kind::State`] that of the next one.
    pub seq: u16,
    /// Every packet up to this number has arrived.
    pub ack: u16,
}

/// A packet that was received.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Packet<'a> {
    /// The fixed part.
    pub header: Header,
    /// What arrived beyond the first gap.
    pub selective_ack: Option<SelectiveAck<'a>>,
    /// The rest.
    pub payload: &'a [u8],
}

/// A bit for each packet after `ack + 1`: whether it has arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SelectiveAck<'a>(&'a [u8]);

impl<'a> SelectiveAck<'a> {
    /// The bits as they travel: the lowest bit of the first byte is packet `ack + 2`.
    #[must_use]
    pub fn bytes(&self) -> &'a [u8] {
        self.0
    }

    /// The packets that arrived, as distances from `ack + 2`, upwards.
    pub fn arrived(&self) -> impl Iterator<Item = usize> + use<'a> {
        let bits = |(place, byte): (usize, &'a u8)| {
            (0..8_usize)
                .filter(move |bit| byte & (1 << bit) != 0)
                .map(move |bit| place.saturating_mul(8).saturating_add(bit))
        };
        self.0.iter().enumerate().filter(|(_, byte)| **byte != 0).flat_map(bits)
    }
}

/// Bytes that are no packet of uTP version 1: to be ignored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a uTP packet")]
pub struct BadPacket;

/// Whether a datagram that begins with this byte is for uTP: version 1 and a type that exists. No other
/// protocol that shares the port begins so (bencode begins with `d`).
#[must_use]
pub fn is_utp(first: u8) -> bool {
    first & 0x0f == VERSION && kind(first).is_some()
}

fn kind(first: u8) -> Option<Kind> {
    match first >> 4 {
        0 => Some(Kind::Data),
        1 => Some(Kind::Fin),
        2 => Some(Kind::State),
        3 => Some(Kind::Reset),
        4 => Some(Kind::Syn),
        _ => None,
    }
}

impl<'a> Packet<'a> {
    /// Reads a datagram. Unknown extensions are skipped.
    ///
    /// # Errors
    /// [`BadPacket`]: another version or type, too short, a selective ack that is empty or comes twice, more
    /// than [`EXTENSIONS_MAX`] extensions.
    pub fn decode(datagram: &'a [u8]) -> Result<Self, BadPacket> {
        Self::decode_opt(datagram).ok_or(BadPacket)
    }

    fn decode_opt(datagram: &'a [u8]) -> Option<Self> {
        let mut reader = Reader::new(datagram);
        let first = reader.u8()?;
        let kind = kind(first).filter(|_| is_utp(first))?;
        let mut extension = reader.u8()?;
        let header = Header {
            kind,
            connection: reader.u16()?,
            timestamp: reader.u32()?,
            timestamp_difference: reader.u32()?,
            window: reader.u32()?,
            seq: reader.u16()?,
            ack: reader.u16()?,
        };
        let mut selective_ack = None;
        for _ in 0..EXTENSIONS_MAX {
            if extension == EXTENSION_NONE {
                break;
            }
            let next = reader.u8()?;
            let len = usize::from(reader.u8()?);
            let bytes = reader.bytes(len)?;
            if extension == EXTENSION_SELECTIVE_ACK {
                // BEP 29 has it in steps of 4 bytes; libtorrent sends as many as it needs.
                if selective_ack.is_some() || bytes.is_empty() {
                    return None;
                }
                selective_ack = Some(SelectiveAck(bytes));
            }
            extension = next;
        }
        (extension == EXTENSION_NONE).then_some(Self { header, selective_ack, payload: reader.rest() })
    }
}

impl Header {
    /// Appends the packet up to its payload. `selective_ack` has at most 255 bytes, in steps of 4 (BEP 29);
    /// a longer one is left out.
    pub fn encode(&self, selective_ack: &[u8], out: &mut Vec<u8>) {
        let len = u8::try_from(selective_ack.len()).unwrap_or(0);
        let kind: u8 = match self.kind {
            Kind::Data => 0,
            Kind::Fin => 1,
            Kind::State => 2,
            Kind::Reset => 3,
            Kind::Syn => 4,
        };
        let extension = if len == 0 { EXTENSION_NONE } else { EXTENSION_SELECTIVE_ACK };
        out.extend_from_slice(&[kind << 4 | VERSION, extension]);
        out.extend_from_slice(&self.connection.to_be_bytes());
        out.extend_from_slice(&self.timestamp.to_be_bytes());
        out.extend_from_slice(&self.timestamp_difference.to_be_bytes());
        out.extend_from_slice(&self.window.to_be_bytes());
        out.extend_from_slice(&self.seq.to_be_bytes());
        out.extend_from_slice(&self.ack.to_be_bytes());
        if len > 0 {
            out.extend_from_slice(&[EXTENSION_NONE, len]);
            out.extend_from_slice(selective_ack);
        }
    }
}

#[cfg(test)]
mod tests;
