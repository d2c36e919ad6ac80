//! Identifiers.

use core::fmt;
use data_encoding::{BASE32_NOPAD, HEXLOWER, HEXLOWER_PERMISSIVE};

/// A participant's identity: its Ed25519 public key. Shown as unpadded base32, in lower case.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PeerId(pub [u8; 32]);

impl fmt::Display for PeerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&BASE32_NOPAD.encode(&self.0).to_ascii_lowercase())
    }
}

impl fmt::Debug for PeerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PeerId({self})")
    }
}

impl core::str::FromStr for PeerId {
    type Err = BadPeerId;

    fn from_str(text: &str) -> Result<Self, BadPeerId> {
        let bytes = BASE32_NOPAD.decode(text.to_ascii_uppercase().as_bytes()).map_err(|_| BadPeerId)?;
        bytes.try_into().map(Self).map_err(|_| BadPeerId)
    }
}

/// Text that is no [`PeerId`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a peer's identity: 52 letters and digits of base32")]
pub struct BadPeerId;

/// SHA-1 of a version 1 info dictionary (BEP 3).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct InfoHashV1(pub [u8; 20]);

/// SHA-256 of a version 2 info dictionary (BEP 52).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct InfoHashV2(pub [u8; 32]);

impl InfoHashV2 {
    /// The first 20 bytes, which stand for this hash in handshakes, trackers and the DHT (BEP 52).
    #[must_use]
    pub fn truncated(&self) -> [u8; 20] {
        let mut short = [0; 20];
        short.copy_from_slice(&self.0[..20]);
        short
    }
}

macro_rules! hex_text {
    ($name:ident) => {
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&HEXLOWER.encode(&self.0))
            }
        }
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self)
            }
        }
        impl core::str::FromStr for $name {
            type Err = BadHex;
            fn from_str(text: &str) -> Result<Self, BadHex> {
                let bytes = HEXLOWER_PERMISSIVE.decode(text.as_bytes()).map_err(|_| BadHex)?;
                bytes.try_into().map(Self).map_err(|_| BadHex)
            }
        }
    };
}
hex_text!(InfoHashV1);
hex_text!(InfoHashV2);

/// Text that is not a hash in hexadecimal, or of another length.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a hash in hexadecimal of the right length")]
pub struct BadHex;

/// What names a torrent: a version 1 hash, a version 2 hash, or, for a hybrid, both.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct InfoHashes {
    /// The version 1 hash, where the torrent has one.
    pub v1: Option<InfoHashV1>,
    /// The version 2 hash, where the torrent has one.
    pub v2: Option<InfoHashV2>,
}

impl InfoHashes {
    /// The 20-byte forms that may stand in a handshake or an announce: version 1 first.
    pub fn wire(&self) -> impl Iterator<Item = [u8; 20]> + use<> {
        let v1 = self.v1.map(|hash| hash.0);
        let v2 = self.v2.map(|hash| hash.truncated());
        v1.into_iter().chain(v2)
    }

    /// The 20-byte form that stands first: version 1 where there is one. Zeros when there is none.
    #[must_use]
    pub fn primary(&self) -> [u8; 20] {
        self.wire().next().unwrap_or([0; 20])
    }

    /// Whether one of the 20-byte forms is `hash`.
    #[must_use]
    pub fn matches(&self, hash: &[u8; 20]) -> bool {
        self.wire().any(|own| own == *hash)
    }
}

/// A connection, as the driver and the peer machine name it. Never used again within a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnId(pub u64);

/// A torrent within one node. Never used again within a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TorrentId(pub u32);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hex_both_ways() {
        let text = "aabbccddeeff00112233445566778899aabbccdd";
        let hash: InfoHashV1 = text.parse().unwrap();
        assert_eq!(hash.to_string(), text);
        assert_eq!(text.to_uppercase().parse(), Ok(hash));
        assert_eq!("aabb".parse::<InfoHashV1>(), Err(BadHex));
        assert_eq!("zz".repeat(20).parse::<InfoHashV1>(), Err(BadHex));
    }

    #[test]
    fn a_peer_id_is_52_letters() {
        let id = PeerId([0xa5; 32]);
        assert_eq!(id.to_string().len(), 52);
        assert_eq!(id.to_string().parse(), Ok(id));
        assert_eq!(id.to_string().to_uppercase().parse(), Ok(id));
        for text in ["", "abc", &id.to_string()[1..], &"1".repeat(52)] {
            assert_eq!(text.parse::<PeerId>(), Err(BadPeerId), "{text}");
        }
    }

    #[test]
    fn a_hybrid_is_known_by_both_hashes() {
        let hashes = InfoHashes { v1: Some(InfoHashV1([1; 20])), v2: Some(InfoHashV2([2; 32])) };
        assert_eq!(hashes.primary(), [1; 20]);
        assert!(hashes.matches(&[2; 20]) && hashes.matches(&[1; 20]) && !hashes.matches(&[3; 20]));
        assert_eq!(InfoHashes { v1: None, ..hashes }.primary(), [2; 20]);
    }
}
