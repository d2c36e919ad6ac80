//! STUN (RFC 8489): the Binding request and its answers, by which a host learns how it is seen.
//!
//! ```text
//! type: u16 | length of what follows the header: u16 | cookie 0x2112A442: u32 | transaction: 12
//! then attributes: type: u16 | length: u16 | value, padded to 4 bytes
//! ```
//!
//! Nothing is authenticated here: whoever sees the request can answer it. Its 96 random bits keep out
//! those who do not. What an answer says is a hint, as what any stranger says.

#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::unwrap_used)]

use crate::read::Reader;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// Bytes of the largest packet that is read. A path of unknown MTU carries 576 (RFC 8489, section 6.1);
/// some servers send more.
pub const PACKET_BYTES_MAX: usize = 1500;

/// Bytes of a request without attributes.
pub const REQUEST_BYTES: usize = 20;

const COOKIE: u32 = 0x2112_A442;

/// Message types: method Binding in its classes (RFC 8489, section 5).
mod kind {
    pub(super) const REQUEST: u16 = 0x0001;
    pub(super) const SUCCESS: u16 = 0x0101;
    pub(super) const ERROR: u16 = 0x0111;
}

/// Attributes (RFC 8489, section 18.3).
mod attribute {
    pub(super) const MAPPED_ADDRESS: u16 = 0x0001;
    pub(super) const ERROR_CODE: u16 = 0x0009;
    pub(super) const XOR_MAPPED_ADDRESS: u16 = 0x0020;
    /// Those that this RFC defines, must be understood, and change nothing for us: user name,
    /// integrity, realm, nonce, unknown attributes and their successors.
    pub(super) const UNUSED: [u16; 8] = [0x0006, 0x0008, 0x000A, 0x0014, 0x0015, 0x001C, 0x001D, 0x001E];
    /// From here on an attribute may be ignored.
    pub(super) const OPTIONAL: u16 = 0x8000;
}

/// Ties an answer to its request; random.
pub type Transaction = [u8; 12];

/// A message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Message {
    /// "How do you see me?"
    Request {
        /// Comes back in the answer.
        transaction: Transaction,
    },
    /// The answer.
    Success {
        /// The request's.
        transaction: Transaction,
        /// Where the request came from, as the server saw it.
        mapped: SocketAddr,
    },
    /// A refusal.
    Error {
        /// The request's.
        transaction: Transaction,
        /// 300 to 699 (RFC 8489, section 14.8).
        code: u16,
    },
}

/// A packet that is none of these: to be ignored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// No STUN message: another first byte, cookie or length, or too long.
    #[error("not a STUN message")]
    NotStun,
    /// Of another method or class.
    #[error("a STUN message of type {0:#06x}")]
    Kind(u16),
    /// An attribute that ends beyond the message, or has not the length of its kind.
    #[error("a malformed STUN attribute")]
    Attribute,
    /// It has an attribute that must be understood, and is not (RFC 8489, section 6.3).
    #[error("an unknown STUN attribute {0:#06x} that must be understood")]
    Unknown(u16),
    /// An answer that does not say what it is for.
    #[error("a STUN answer without an address or error code")]
    Empty,
}

/// Whether a packet may be STUN, on a port where other protocols are spoken too: the first two bits and
/// the cookie (RFC 8489, section 5).
#[must_use]
pub fn is_stun(packet: &[u8]) -> bool {
    let cookie = packet.get(4..8).is_some_and(|cookie| cookie == COOKIE.to_be_bytes());
    cookie && packet.len() >= REQUEST_BYTES && packet.first().is_some_and(|first| first & 0xC0 == 0)
}

impl Message {
    /// Reads a packet.
    ///
    /// # Errors
    /// See [`DecodeError`].
    pub fn decode(packet: &[u8]) -> Result<Self, DecodeError> {
        if !is_stun(packet) || packet.len() > PACKET_BYTES_MAX {
            return Err(DecodeError::NotStun);
        }
        let mut reader = Reader::new(packet);
        let (kind, length) = reader.u16().zip(reader.u16()).ok_or(DecodeError::NotStun)?;
        let (_, transaction) = reader.u32().zip(reader.array::<12>()).ok_or(DecodeError::NotStun)?;
        if reader.rest().len() != usize::from(length) || length % 4 != 0 {
            return Err(DecodeError::NotStun);
        }
        if ![kind::REQUEST, kind::SUCCESS, kind::ERROR].contains(&kind) {
            return Err(DecodeError::Kind(kind));
        }
        let found = Attributes::read(reader, &transaction)?;
        match kind {
            kind::REQUEST => Ok(Self::Request { transaction }),
            kind::SUCCESS => {
                let mapped = found.xored.or(found.plain).ok_or(DecodeError::Empty)?;
                Ok(Self::Success { transaction, mapped })
            }
            _ => Ok(Self::Error { transaction, code: found.code.ok_or(DecodeError::Empty)? }),
        }
    }

    /// The packet.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let (kind, transaction, attribute) = match self {
            Self::Request { transaction } => (kind::REQUEST, transaction, None),
            Self::Success { transaction, mapped } => {
                let value = encode_xored(*mapped, transaction);
                (kind::SUCCESS, transaction, Some((attribute::XOR_MAPPED_ADDRESS, value)))
            }
            Self::Error { transaction, code } => {
                let [hundreds, rest] = [code / 100, code % 100].map(|part| part.to_be_bytes()[1]);
                (kind::ERROR, transaction, Some((attribute::ERROR_CODE, vec![0, 0, hundreds, rest])))
            }
        };
        let mut body = Vec::with_capacity(24);
        if let Some((kind, value)) = attribute {
            // An address or a code: 4, 8 or 20 bytes.
            let length = u16::try_from(value.len()).unwrap_or_default();
            body.extend_from_slice(&kind.to_be_bytes());
            body.extend_from_slice(&length.to_be_bytes());
            body.extend_from_slice(&value);
        }
        let length = u16::try_from(body.len()).unwrap_or_default();
        let mut packet = Vec::with_capacity(44);
        packet.extend_from_slice(&kind.to_be_bytes());
        packet.extend_from_slice(&length.to_be_bytes());
        packet.extend_from_slice(&COOKIE.to_be_bytes());
        packet.extend_from_slice(transaction);
        packet.extend_from_slice(&body);
        packet
    }
}

/// What the attributes say; of each kind the first counts (RFC 8489, section 14).
#[derive(Default)]
struct Attributes {
    xored: Option<SocketAddr>,
    plain: Option<SocketAddr>,
    code: Option<u16>,
}

impl Attributes {
    fn read(mut reader: Reader, transaction: &Transaction) -> Result<Self, DecodeError> {
        let mut found = Self::default();
        while !reader.is_empty() {
            let (kind, length) = reader.u16().zip(reader.u16()).ok_or(DecodeError::Attribute)?;
            let value = reader.bytes(usize::from(length)).ok_or(DecodeError::Attribute)?;
            // The message's length is a multiple of 4, so that the padding is there.
            let padding = usize::from(length.wrapping_neg() % 4);
            reader.bytes(padding).ok_or(DecodeError::Attribute)?;
            match kind {
                attribute::XOR_MAPPED_ADDRESS => {
                    let addr = decode_addr(value).ok_or(DecodeError::Attribute)?;
                    found.xored = found.xored.or(Some(canonical(xor(addr, transaction))));
                }
                attribute::MAPPED_ADDRESS => {
                    let addr = decode_addr(value).ok_or(DecodeError::Attribute)?;
                    found.plain = found.plain.or(Some(canonical(addr)));
                }
                attribute::ERROR_CODE => {
                    let code = decode_code(value).ok_or(DecodeError::Attribute)?;
                    found.code = found.code.or(Some(code));
                }
                kind if kind >= attribute::OPTIONAL || attribute::UNUSED.contains(&kind) => {}
                kind => return Err(DecodeError::Unknown(kind)),
            }
        }
        Ok(found)
    }
}

/// A zero byte, the family (1 or 2), the port, the address.
fn decode_addr(value: &[u8]) -> Option<SocketAddr> {
    let mut reader = Reader::new(value);
    let [_, family] = reader.array::<2>()?;
    let port = reader.u16()?;
    let ip = match family {
        1 => IpAddr::from(reader.array::<4>()?),
        2 => IpAddr::from(reader.array::<16>()?),
        _ => return None,
    };
    reader.is_empty().then_some(SocketAddr::new(ip, port))
}

/// Mapped IPv4 addresses as what they are, so that rules on address ranges see them.
fn canonical(addr: SocketAddr) -> SocketAddr {
    SocketAddr::new(addr.ip().to_canonical(), addr.port())
}

/// Hides an address from translators that rewrite addresses wherever they see them, or shows it again:
/// the port with the cookie, IPv4 with the cookie, IPv6 with cookie and transaction (section 14.2).
fn xor(addr: SocketAddr, transaction: &Transaction) -> SocketAddr {
    let [high, low, ..] = COOKIE.to_be_bytes();
    let port = addr.port() ^ u16::from_be_bytes([high, low]);
    let ip = match addr.ip() {
        IpAddr::V4(ip) => IpAddr::V4(Ipv4Addr::from_bits(ip.to_bits() ^ COOKIE)),
        IpAddr::V6(ip) => {
            let mut mask = [0; 16];
            for (to, from) in mask.iter_mut().zip(COOKIE.to_be_bytes().iter().chain(transaction)) {
                *to = *from;
            }
            IpAddr::V6(Ipv6Addr::from_bits(ip.to_bits() ^ u128::from_be_bytes(mask)))
        }
    };
    SocketAddr::new(ip, port)
}

fn encode_xored(addr: SocketAddr, transaction: &Transaction) -> Vec<u8> {
    let hidden = xor(canonical(addr), transaction);
    let mut value = vec![0, if hidden.is_ipv4() { 1 } else { 2 }];
    value.extend_from_slice(&hidden.port().to_be_bytes());
    value.extend_from_slice(&crate::addr::encode_ip(hidden.ip()));
    value
}

/// 21 bits of nothing, 3 of hundreds, 8 of the rest; then a text for people, which is not read.
fn decode_code(value: &[u8]) -> Option<u16> {
    let [_, _, hundreds, rest] = Reader::new(value).array::<4>()?;
    let hundreds = u16::from(hundreds & 7);
    let valid = (3..=6).contains(&hundreds) && rest < 100;
    valid.then(|| hundreds.saturating_mul(100).saturating_add(rest.into()))
}

#[cfg(test)]
mod tests;
