//! Peer exchange (BEP 11).

use super::Error;
use crate::addr;
use crate::bencode::{self, Encoder, Limits};
use core::net::SocketAddr;
use peerage_base::limits::PEX_PEERS_MAX;

/// What the bits of [`PexPeer::flags`] mean.
pub mod flags {
    /// Prefers encryption.
    pub const ENCRYPTION: u8 = 0x01;
    /// Is a seed, or only uploads.
    pub const SEED: u8 = 0x02;
    /// Speaks uTP.
    pub const UTP: u8 = 0x04;
    /// Speaks ut_holepunch.
    pub const HOLEPUNCH: u8 = 0x08;
    /// The sender connected to it, so others may be able to as well.
    pub const REACHABLE: u8 = 0x10;
}

/// A peer that the sender is connected to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct PexPeer {
    /// Where it listens. Not judged here: it may be any range, and port 0.
    pub addr: SocketAddr,
    /// See [`flags`].
    pub flags: u8,
}

/// Changes among the sender's peers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pex {
    /// New ones. At most [`PEX_PEERS_MAX`] are read, IPv4 first.
    pub added: Vec<PexPeer>,
    /// Lost ones. At most [`PEX_PEERS_MAX`] are read, IPv4 first.
    pub dropped: Vec<SocketAddr>,
}

/// Six strings; slack for other keys.
const LIMITS: Limits = Limits { depth: 8, tokens: 256, bytes: 64 * 1024, strict: false };

impl Pex {
    /// Reads a payload. A list whose length is no multiple of its entry's is read as far as it goes.
    ///
    /// # Errors
    /// Not bencode, or not a dictionary.
    pub fn decode(payload: &[u8]) -> Result<Self, Error> {
        let document = bencode::decode(payload, LIMITS)?;
        let dict = document.root().as_dict().ok_or(Error::NotADict)?;
        let bytes = |key: &[u8]| dict.bytes(key).unwrap_or_default();
        let flags = |key: &[u8]| bytes(key).iter().copied().chain(core::iter::repeat(0));
        let peer = |(addr, flags)| PexPeer { addr, flags };
        let v4 = addr::decode_v4(bytes(b"added")).zip(flags(b"added.f"));
        let v6 = addr::decode_v6(bytes(b"added6")).zip(flags(b"added6.f"));
        let dropped = addr::decode_v4(bytes(b"dropped")).chain(addr::decode_v6(bytes(b"dropped6")));
        Ok(Self {
            added: v4.chain(v6).map(peer).take(PEX_PEERS_MAX).collect(),
            dropped: dropped.take(PEX_PEERS_MAX).collect(),
        })
    }

    /// The payload.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let flags = |v4: bool| -> Vec<u8> {
            self.added.iter().filter(|peer| peer.addr.is_ipv4() == v4).map(|peer| peer.flags).collect()
        };
        let (added, added6) = addr::encode(self.added.iter().map(|peer| &peer.addr));
        let (dropped, dropped6) = addr::encode(&self.dropped);
        let mut encoder = Encoder::new();
        encoder.dict(|dict| {
            dict.bytes(b"added", &added);
            dict.bytes(b"added.f", &flags(true));
            dict.bytes(b"added6", &added6);
            dict.bytes(b"added6.f", &flags(false));
            dict.bytes(b"dropped", &dropped);
            dict.bytes(b"dropped6", &dropped6);
        });
        encoder.finish()
    }
}
