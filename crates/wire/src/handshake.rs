//! The first 68 bytes of each direction (BEP 3), with the feature bits of later BEPs.
//!
//! ```text
//! 0        1                    20         28          48        68
//! | 0x13   | BitTorrent protocol | reserved | info hash | peer id |
//! ```

#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::unwrap_used)]

use crate::read::Reader;

/// Bytes of a handshake.
pub const HANDSHAKE_LEN: usize = 68;

/// How a handshake begins: the length of the protocol's name, then the name (BEP 3).
pub const PROTOCOL: &[u8; 20] = b"\x13BitTorrent protocol";

/// A reserved bit: index of its byte and its mask.
type Bit = (usize, u8);
const EXTENSION: Bit = (5, 0x10);
const DHT: Bit = (7, 0x01);
const FAST: Bit = (7, 0x04);
const V2: Bit = (7, 0x10);
/// Peerage's own, where no BEP has one.
const TLS: Bit = (3, 0x50);

/// What each side says first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Handshake {
    /// Feature bits.
    pub reserved: [u8; 8],
    /// SHA-1 of the info dictionary, or the first 20 bytes of its SHA-256 (BEP 52).
    pub info_hash: [u8; 20],
    /// The sender's name for itself.
    pub peer_id: [u8; 20],
}

/// Bytes that are not a handshake of this protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The first bytes differ from [`PROTOCOL`]: another protocol, or an encrypted start.
    #[error("not the BitTorrent protocol")]
    Protocol,
    /// Fewer or more than [`HANDSHAKE_LEN`] bytes.
    #[error("a handshake has 68 bytes")]
    Length,
}

impl Handshake {
    /// A handshake that offers what Peerage speaks: extension protocol (BEP 10) and fast
    /// extension (BEP 6). Add [`Self::with_v2`] for a hybrid torrent and [`Self::with_dht`] where
    /// there is a DHT node.
    #[must_use]
    pub fn new(info_hash: [u8; 20], peer_id: [u8; 20]) -> Self {
        Self { reserved: [0; 8], info_hash, peer_id }.with(EXTENSION).with(FAST)
    }

    /// Sets the bit that says: I also know this torrent's version 2 (BEP 52, "upgrade path").
    #[must_use]
    pub fn with_v2(self) -> Self {
        self.with(V2)
    }

    /// Sets the bit that says: I have a DHT node (BEP 5), its port follows in a `port` message.
    #[must_use]
    pub fn with_dht(self) -> Self {
        self.with(DHT)
    }

    /// Sets the bits that say: I take TLS on this port, and prove there who I am.
    #[must_use]
    pub fn with_tls(self) -> Self {
        self.with(TLS)
    }

    /// Whether the sender takes TLS on its port. Only Peerage says and asks.
    #[must_use]
    pub fn tls(&self) -> bool {
        self.has(TLS)
    }

    /// Whether the sender speaks the extension protocol (BEP 10).
    #[must_use]
    pub fn extension(&self) -> bool {
        self.has(EXTENSION)
    }

    /// Whether the sender speaks the fast extension (BEP 6).
    #[must_use]
    pub fn fast(&self) -> bool {
        self.has(FAST)
    }

    /// Whether the sender has a DHT node (BEP 5).
    #[must_use]
    pub fn dht(&self) -> bool {
        self.has(DHT)
    }

    /// Whether the sender also knows the torrent's version 2 (BEP 52).
    #[must_use]
    pub fn v2(&self) -> bool {
        self.has(V2)
    }

    /// The 68 bytes.
    #[must_use]
    pub fn encode(&self) -> [u8; HANDSHAKE_LEN] {
        let parts = PROTOCOL.iter().chain(&self.reserved).chain(&self.info_hash).chain(&self.peer_id);
        let mut bytes = [0; HANDSHAKE_LEN];
        bytes.iter_mut().zip(parts).for_each(|(to, from)| *to = *from);
        bytes
    }

    /// Reads exactly 68 bytes.
    ///
    /// # Errors
    /// [`Error::Protocol`] as soon as one of the first 20 bytes differs, else [`Error::Length`].
    pub fn decode(bytes: &[u8]) -> Result<Self, Error> {
        check_protocol(bytes)?;
        let mut reader = Reader::new(bytes);
        let handshake = (|| {
            let _: [u8; PROTOCOL.len()] = reader.array()?;
            Some(Self { reserved: reader.array()?, info_hash: reader.array()?, peer_id: reader.array()? })
        })();
        handshake.filter(|_| reader.is_empty()).ok_or(Error::Length)
    }

    fn with(mut self, (index, mask): Bit) -> Self {
        if let Some(byte) = self.reserved.get_mut(index) {
            *byte |= mask;
        }
        self
    }

    fn has(&self, (index, mask): Bit) -> bool {
        self.reserved.get(index).is_some_and(|byte| byte & mask == mask)
    }
}

/// Refuses the start of a stream as soon as it differs from this protocol's; fewer bytes than the
/// protocol's name pass as long as they agree with it.
///
/// # Errors
/// [`Error::Protocol`].
pub fn check_protocol(start: &[u8]) -> Result<(), Error> {
    if start.iter().zip(PROTOCOL).all(|(byte, expected)| byte == expected) {
        Ok(())
    } else {
        Err(Error::Protocol)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::indexing_slicing)]
    use super::*;

    fn sample() -> Handshake {
        Handshake::new([0xAA; 20], *b"-PG0100-abcdefghijkl").with_v2()
    }

    #[test]
    fn the_68_bytes_of_the_beps() {
        let bytes = sample().encode();
        assert_eq!(&bytes[..20], b"\x13BitTorrent protocol");
        assert_eq!(bytes[20..28], [0, 0, 0, 0, 0, 0x10, 0, 0x14]);
        assert_eq!(bytes[28..48], [0xAA; 20]);
        assert_eq!(&bytes[48..], b"-PG0100-abcdefghijkl");
        assert_eq!(Handshake::decode(&bytes), Ok(sample()));
    }

    #[test]
    fn each_bit_is_its_own() {
        let plain = Handshake { reserved: [0; 8], ..sample() };
        assert!(!plain.extension() && !plain.fast() && !plain.dht() && !plain.v2());
        assert!(sample().extension() && sample().fast() && sample().v2() && !sample().dht());
        assert!(plain.with_dht().dht() && !plain.with_dht().fast());
        assert_eq!(plain.with_dht().reserved, [0, 0, 0, 0, 0, 0, 0, 1]);
    }

    #[test]
    fn every_flipped_byte_of_the_protocol_and_every_other_length_is_refused() {
        let bytes = sample().encode();
        for index in 0..20 {
            let mut wrong = bytes;
            wrong[index] ^= 1;
            assert_eq!(Handshake::decode(&wrong), Err(Error::Protocol));
            assert_eq!(check_protocol(&wrong[..=index]), Err(Error::Protocol));
            assert_eq!(check_protocol(&bytes[..=index]), Ok(()));
        }
        for len in 0..bytes.len() {
            assert_eq!(Handshake::decode(&bytes[..len]), Err(Error::Length));
        }
        assert_eq!(Handshake::decode(&[&bytes[..], b"x"].concat()), Err(Error::Length));
    }
}
