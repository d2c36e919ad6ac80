//! Hole punching (BEP 55): two peers that cannot reach each other are introduced by one that both are
//! connected to, and open uTP connections at once.

use super::Error;
use crate::addr;
use core::net::SocketAddr;

/// An IPv4 endpoint, as `addr_type` says it.
const V4: u8 = 0;
/// An IPv6 endpoint.
const V6: u8 = 1;

/// A message to or from the one that introduces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Holepunch {
    /// Introduce me to this peer.
    Rendezvous(SocketAddr),
    /// Open a uTP connection to this endpoint, now: it does the same.
    Connect(SocketAddr),
    /// You cannot be introduced to this peer.
    Failed(SocketAddr, HolepunchError),
    /// A kind that we do not know: to be ignored.
    Unknown,
}

/// Why a peer cannot be introduced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HolepunchError {
    /// No such peer can be.
    NoSuchPeer,
    /// There is no connection with it.
    NotConnected,
    /// It does not speak this extension.
    NoSupport,
    /// It is the asking peer itself.
    NoSelf,
    /// Another reason.
    Other(u32),
}

impl HolepunchError {
    /// Its number in BEP 55.
    #[must_use]
    pub fn code(self) -> u32 {
        match self {
            Self::NoSuchPeer => 1,
            Self::NotConnected => 2,
            Self::NoSupport => 3,
            Self::NoSelf => 4,
            Self::Other(code) => code,
        }
    }

    pub(super) fn from_code(code: u32) -> Self {
        match code {
            1 => Self::NoSuchPeer,
            2 => Self::NotConnected,
            3 => Self::NoSupport,
            4 => Self::NoSelf,
            code => Self::Other(code),
        }
    }
}

impl Holepunch {
    /// Reads a payload. The code of an error may be missing elsewhere: libtorrent sends it in errors only.
    ///
    /// # Errors
    /// Too short for what it says to be.
    pub fn decode(payload: &[u8]) -> Result<Self, Error> {
        let (&[kind, family], rest) = payload.split_first_chunk::<2>().ok_or(Error::Length)?;
        let (endpoint, rest) = match family {
            V4 => rest.split_at_checked(6).map(|(bytes, rest)| (addr::decode_v4(bytes).next(), rest)),
            V6 => rest.split_at_checked(18).map(|(bytes, rest)| (addr::decode_v6(bytes).next(), rest)),
            _ => return Ok(Self::Unknown),
        }
        .ok_or(Error::Length)?;
        let endpoint = endpoint.ok_or(Error::Length)?;
        Ok(match kind {
            0 => Self::Rendezvous(endpoint),
            1 => Self::Connect(endpoint),
            2 => {
                let code = rest.first_chunk::<4>().ok_or(Error::Length)?;
                Self::Failed(endpoint, HolepunchError::from_code(u32::from_be_bytes(*code)))
            }
            _ => Self::Unknown,
        })
    }

    /// The payload. [`Self::Unknown`] has none.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let (kind, endpoint, code) = match self {
            Self::Rendezvous(endpoint) => (0, endpoint, 0),
            Self::Connect(endpoint) => (1, endpoint, 0),
            Self::Failed(endpoint, error) => (2, endpoint, error.code()),
            Self::Unknown => return Vec::new(),
        };
        let mut bytes = vec![kind, if endpoint.is_ipv4() { V4 } else { V6 }];
        bytes.extend(addr::encode_ip(endpoint.ip()));
        bytes.extend(endpoint.port().to_be_bytes());
        bytes.extend(code.to_be_bytes());
        bytes
    }
}
